use opentelemetry::trace::TraceContextExt;
use tracing::{Dispatch, span::Id};
use tracing_opentelemetry::get_otel_context;

use crate::context::TraceId;

/// Returns the IDs under which `tracing-opentelemetry` exports a span, if it does. That starts the span: to be called when it is
/// entered, which starts it as well. No extensions of the span may be borrowed.
pub(super) fn exported_ids(id: &Id, dispatch: &Dispatch) -> Option<(TraceId, u64)> {
    let context = get_otel_context(id, dispatch)?;
    let span = context.span();
    let ids = span.span_context();
    let span_id = u64::from_be_bytes(ids.span_id().to_bytes());
    let trace_id = TraceId::from_bytes(ids.trace_id().to_bytes())?;
    (span_id != 0).then_some((trace_id, span_id))
}
