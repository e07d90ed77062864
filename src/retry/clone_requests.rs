use super::{AttemptResult, RetryDecision, RetryPolicy};

/// The policy of [`RetryLayer::any`](super::RetryLayer::any): clones requests, and decides by the outcome alone.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequests;

impl<Req: Clone, Res> RetryPolicy<Req, Res> for CloneRequests {
    #[inline]
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    #[inline]
    fn decide(&self, attempt: &AttemptResult<'_, Req, Res>) -> RetryDecision {
        attempt.default_decision
    }

    // A request that panics when it is cloned is no hook: the panic is the caller's.
    #[inline]
    fn call_caught<T>(&self, call: impl FnOnce(&Self) -> T) -> Option<T> {
        Some(call(self))
    }
}
