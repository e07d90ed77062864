//! Who decides about another attempt at a request of any kind: the outcome, or a policy of one's own.

use super::{Attempt, RetryDecision, RetryLayer, policy::RetryConfig};
use crate::{
    call::{BoxError, Outcome, catch_hook},
    protocol::{AnyService, error_outcome},
};

/// An attempt that has ended, as a [`RetryPolicy`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptResult<'a, Req, Res> {
    /// The request that would be sent again; none after the last attempt, which keeps no copy.
    pub request: Option<&'a Req>,
    /// What the service gave.
    pub result: &'a Result<Res, BoxError>,
    /// Which attempt it was.
    pub attempt: Attempt,
    /// What would be done without a policy: errors that are failures, overload or timeouts are tried again, as the
    /// peer's hints allow.
    pub default_decision: RetryDecision,
}

/// Decides from request, result and attempt whether there is another attempt. For [`RetryLayer::with_policy`].
///
/// Limits, budget and deadline of the [`Retry`](super::Retry) hold all the same. A policy that panics decides for no
/// further attempt.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, retry::{RetryDecision, Retry, RetryLayer, RetryPolicy, AttemptResult}};
///
/// // Cannot be cloned as it is, and must not be sent twice unless it says so.
/// struct Order { key: Option<u32> }
///
/// struct Keyed;
/// impl RetryPolicy<Order, &'static str> for Keyed {
///     fn copy(&self, order: &Order) -> Option<Order> {
///         order.key.map(|key| Order { key: Some(key) })
///     }
///     fn advise(&self, tried: &AttemptResult<'_, Order, &'static str>) -> RetryDecision {
///         match tried.result {
///             Ok(answer) if *answer == "not yet" => RetryDecision::Retry,
///             _ => tried.usual,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::with_policy(Retry::new("orders"), Keyed))
///     .service(service_fn(|_: Order| {
///         calls.set(calls.get() + 1);
///         let answer = if calls.get() == 1 { "not yet" } else { "done" };
///         async move { Ok::<_, BoxError>(answer) }
///     }));
/// assert_eq!(service.oneshot(Order { key: Some(7) }).await?, "done");
/// # Ok(()) }
/// ```
pub trait RetryPolicy<Req, Res> {
    /// A copy for another attempt, or none if the request must not be sent twice. Asked before each attempt but the
    /// last.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Returns what to do about an attempt that was judged. [`RetryDecision::Stop`] makes its result the answer.
    fn decide(&self, tried: &AttemptResult<'_, Req, Res>) -> RetryDecision;
}

/// Retries by a policy of one's own. Part of a [`RetryLayer`]'s type.
#[derive(Clone, Copy, Debug)]
pub struct WithPolicy<T>(T);

impl<T> RetryLayer<WithPolicy<T>> {
    /// Retries over a service of any kind by a policy, which also makes the copies of requests; its error becomes a
    /// `BoxError`.
    pub fn with_policy(retry: super::Retry, policy: T) -> Self {
        RetryLayer::new(retry, WithPolicy(policy))
    }
}

/// How a request of any kind is copied and its attempts are judged. Not meant to be implemented elsewhere.
pub trait ServiceRules<Req, Res> {
    #[doc(hidden)]
    fn clone_request(&self, request: &Req) -> Option<Req>;
    #[doc(hidden)]
    fn classify(&self, judge: FinishedAttempt<'_, Req, Res>) -> (Outcome, RetryDecision);
}

#[doc(hidden)]
#[derive(Debug)]
pub struct FinishedAttempt<'a, Req, Res> {
    pub(super) request: Option<&'a Req>,
    pub(super) result: &'a Result<Res, BoxError>,
    pub(super) attempt: Attempt,
    pub(super) config: &'a RetryConfig,
}

impl<Req, Res> FinishedAttempt<'_, Req, Res> {
    /// What would be done about this outcome without a policy of one's own.
    fn default_decision(&self, outcome: Outcome) -> RetryDecision {
        let error = self.result.as_ref().err().map(|error| &**error as _);
        self.config.decide(outcome, error, None)
    }
}

/// Rules for services of any kind, as opposed to those that know HTTP.
pub trait NonHttp {}
impl NonHttp for AnyService {}
impl<T> NonHttp for WithPolicy<T> {}

impl<Req: Clone, Res: 'static> ServiceRules<Req, Res> for AnyService {
    #[inline]
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn classify(&self, judge: FinishedAttempt<'_, Req, Res>) -> (Outcome, RetryDecision) {
        let outcome = self.classify(judge.result.as_ref()).outcome;
        (outcome, judge.default_decision(outcome))
    }
}

impl<T: RetryPolicy<Req, Res>, Req, Res> ServiceRules<Req, Res> for WithPolicy<T> {
    #[inline]
    fn clone_request(&self, request: &Req) -> Option<Req> {
        catch_hook(|| self.0.clone_request(request)).flatten()
    }

    fn classify(&self, judge: FinishedAttempt<'_, Req, Res>) -> (Outcome, RetryDecision) {
        let outcome = match judge.result {
            Ok(_) => Outcome::Success,
            Err(error) => error_outcome(&**error),
        };
        let tried = AttemptResult {
            request: judge.request,
            result: judge.result,
            attempt: judge.attempt,
            default_decision: judge.default_decision(outcome),
        };
        let advice = catch_hook(|| self.0.decide(&tried)).unwrap_or(RetryDecision::Stop);
        match (outcome, advice) {
            // What is worth another attempt was no success, whatever it looked like.
            (Outcome::Success, RetryDecision::Stop) => (outcome, advice),
            (Outcome::Success, _) => (Outcome::Failure, advice),
            _ => (outcome, advice),
        }
    }
}
