use super::{SpanId, TraceFlags, TraceId, Traceparent, Tracestate};

/// The trace that a call belongs to, and the span of the call.
#[derive(Clone, Debug)]
pub(super) struct TraceContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    pub(super) flags: TraceFlags,
    /// B3's debug flag, which other formats do not have.
    pub(super) is_debug: bool,
    pub(super) tracestate: Option<Tracestate>,
    pub(super) linked_trace: Option<Traceparent>,
}

impl TraceContext {
    /// Starts a trace.
    pub(super) fn new_root(sampled: bool) -> Self {
        TraceContext {
            trace_id: TraceId::generate(),
            span_id: SpanId::generate(),
            parent_id: None,
            // All bits of a generated ID are random.
            flags: TraceFlags::RANDOM.with_sampled(sampled),
            is_debug: false,
            tracestate: None,
            linked_trace: None,
        }
    }

    /// Returns a child span in the same trace.
    pub(super) fn child(&self) -> Self {
        TraceContext {
            span_id: SpanId::generate(),
            parent_id: Some(self.span_id),
            // The link is that of the span which began the trace.
            linked_trace: None,
            ..self.clone()
        }
    }

    /// Returns the span as a `traceparent`.
    pub(super) fn traceparent(&self) -> Traceparent {
        Traceparent {
            trace_id: self.trace_id,
            parent_id: self.span_id,
            flags: self.flags,
        }
    }
}
