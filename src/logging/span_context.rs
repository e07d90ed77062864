use crate::context::Context;

/// The context of the call that a span was created in. It is an extension of the span, so a task inside of the span has
/// the IDs.
pub(super) struct SpanContext(pub(super) Context);
