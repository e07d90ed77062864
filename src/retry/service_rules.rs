use super::{AttemptResult, RetryDecision, RetryPolicy};
use crate::{
    call::{BoxError, Outcome},
    protocol::{AnyService, error_outcome},
    util::hook::catch_hook,
};

/// How requests of any kind are cloned and their attempts are with_classifier. Implemented here only.
pub trait ServiceRules<Req, Res> {
    #[doc(hidden)]
    fn clone_request(&self, request: &Req) -> Option<Req>;
    #[doc(hidden)]
    fn outcome(&self, result: &Result<Res, BoxError>) -> Outcome;
    #[doc(hidden)]
    fn decide(&self, attempt: &AttemptResult<'_, Req, Res>) -> RetryDecision;
}

/// Marks rules for services of any kind. The compiler needs it to see that rules for HTTP are none of them.
pub trait NonHttp {}
impl NonHttp for AnyService {}
impl<T> NonHttp for WithPolicy<T> {}

impl<Req: Clone, Res: 'static> ServiceRules<Req, Res> for AnyService {
    #[inline]
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    #[inline]
    fn outcome(&self, result: &Result<Res, BoxError>) -> Outcome {
        self.classify(result.as_ref()).outcome
    }

    #[inline]
    fn decide(&self, attempt: &AttemptResult<'_, Req, Res>) -> RetryDecision {
        attempt.default_decision
    }
}

/// Retries by a [`RetryPolicy`]. Part of a [`RetryLayer`](super::RetryLayer)'s type.
#[derive(Clone, Copy, Debug)]
pub struct WithPolicy<T>(pub(super) T);

impl<T: RetryPolicy<Req, Res>, Req, Res> ServiceRules<Req, Res> for WithPolicy<T> {
    #[inline]
    fn clone_request(&self, request: &Req) -> Option<Req> {
        catch_hook(|| self.0.clone_request(request)).flatten()
    }

    fn outcome(&self, result: &Result<Res, BoxError>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => error_outcome(&**error),
        }
    }

    fn decide(&self, attempt: &AttemptResult<'_, Req, Res>) -> RetryDecision {
        catch_hook(|| self.0.decide(attempt)).unwrap_or(RetryDecision::Stop)
    }
}
