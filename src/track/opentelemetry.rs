//! The spans of calls as `tracing-opentelemetry` exports them.
//!
//! A span gets its IDs when it starts: from the tracer's ID generator, sampler and parent. Here it starts right after it was
//! opened, and the context of the call takes its IDs over, so that what is sent on, logged and shown to handlers is what
//! is exported, whatever the application's tracer looks like.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context as OtelContext,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::span_ids::ExportedIds;
use crate::{
    context::{Context, SpanId, TraceFlags, TraceId, Traceparent, Tracestate},
    protocol::Side,
};

/// Sets the parent of a span that has not started, as the current context has it: the caller's span on a server, and
/// elsewhere only if no enclosing span is exported. Links the trace that the context has left.
pub(crate) fn set_parent(span: &Span, side: Side) {
    let Some(context) = Context::current() else {
        return;
    };
    if let Some(parent) = parent_of(&context)
        && !is_enclosed(&context, side)
    {
        let parent = OtelContext::current().with_remote_span_context(parent);
        // Fails where no layer exports the span: then there is nothing to be the parent of.
        let _ = span.set_parent(parent);
    }
    if let Some(linked) = context.linked_trace() {
        span.add_link(span_context(linked, TraceState::NONE));
    }
}

/// Returns whether the span that encloses a new one is its parent.
fn is_enclosed(context: &Context, side: Side) -> bool {
    let enclosing = Span::current().context();
    let enclosing = enclosing.span().span_context().clone();
    match side {
        // A span of another trace, such as that of a connection, is not what the caller waits for.
        Side::Server => enclosing.trace_id().to_bytes() == context.trace_id().to_bytes(),
        Side::Client => enclosing.is_valid(),
    }
}

/// Returns the parent of a span that is opened in a context: the context's own span if that is exported, which was opened
/// elsewhere, such as that of a call which has spawned a task.
fn parent_of(context: &Context) -> Option<SpanContext> {
    let parent = match context.has_exported_span() {
        true => context.traceparent(),
        false => Traceparent {
            parent_id: context.parent_id()?,
            ..context.traceparent()
        },
    };
    let state = context.tracestate().and_then(Tracestate::to_header_value);
    let state = state.and_then(|state| TraceState::from_str(state.to_str().ok()?).ok());
    Some(span_context(parent, state.unwrap_or_default()))
}

fn span_context(span: Traceparent, state: TraceState) -> SpanContext {
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(span.trace_id.to_bytes()),
        opentelemetry::SpanId::from_bytes(span.parent_id.to_bytes()),
        opentelemetry::TraceFlags::new(span.flags.bits()),
        true,
        state,
    )
}

/// Starts a span, and returns the IDs under which it is exported. If it is not exported itself, those of the span that
/// encloses it: whatever is sent on then continues that one.
pub(crate) fn exported_ids(span: Option<&Span>) -> Option<ExportedIds> {
    span.and_then(read_ids)
        .or_else(|| read_ids(&Span::current()))
}

fn read_ids(span: &Span) -> Option<ExportedIds> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    Some(ExportedIds {
        traceparent: Traceparent {
            trace_id: TraceId::from_bytes(span.trace_id().to_bytes())?,
            parent_id: SpanId::from_bytes(span.span_id().to_bytes())?,
            flags: TraceFlags::from_bits(span.trace_flags().to_u8()),
        },
        tracestate: read_tracestate(span.trace_state()),
    })
}

fn read_tracestate(state: &TraceState) -> Option<Tracestate> {
    let state = state.header();
    if state.is_empty() {
        return None;
    }
    let mut headers = HeaderMap::new();
    headers.insert(Tracestate::HEADER, HeaderValue::from_str(&state).ok()?);
    Tracestate::from_headers(&headers).ok().flatten()
}
