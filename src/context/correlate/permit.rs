use crate::context::Context;

/// What [`Correlate`](super::Correlate) holds of a call.
#[doc(hidden)]
#[derive(Debug)]
pub struct CorrelatePermit {
    pub(super) context: Option<Context>,
    pub(super) respond_traceparent: bool,
}
