use crate::context::Context;

/// The permit of [`Correlate`](super::Correlate) for a call.
#[doc(hidden)]
#[derive(Debug)]
pub struct CorrelatePermit {
    pub(super) context: Option<Context>,
    pub(super) respond_traceparent: bool,
}
