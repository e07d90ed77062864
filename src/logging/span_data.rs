use super::span_fields::SpanFields;
use crate::context::Context;

/// The parts of a span that lines need, stored as one of its extensions.
#[derive(Debug)]
pub(super) struct SpanData {
    /// The call that the span was created in, so that a task inside of the span has the IDs.
    pub(super) context: Option<Context>,
    pub(super) fields: SpanFields,
}
