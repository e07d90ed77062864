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
    // Boxed, since most calls have neither.
    pub(super) tracestate: Option<Box<Tracestate>>,
    pub(super) linked_trace: Option<Box<Traceparent>>,
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

    /// Returns the same call under the IDs of its exported span. Without a `tracestate` that of the trace stays.
    pub(super) fn with_exported_span(
        &self,
        span: Traceparent,
        tracestate: Option<Tracestate>,
    ) -> Self {
        let is_same_trace = span.trace_id == self.trace_id;
        TraceContext {
            trace_id: span.trace_id,
            span_id: span.parent_id,
            // The parent is a span of the trace, or there is none.
            parent_id: self.parent_id.filter(|_| is_same_trace),
            // Exporters know one flag. The others belong to the trace ID, which they describe.
            flags: match is_same_trace {
                true => self.flags.with_sampled(span.flags.is_sampled()),
                false => span.flags,
            },
            is_debug: self.is_debug && is_same_trace,
            tracestate: match tracestate {
                Some(tracestate) => Some(Box::new(tracestate)),
                None => self.tracestate.clone().filter(|_| is_same_trace),
            },
            linked_trace: self.linked_trace.clone(),
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
