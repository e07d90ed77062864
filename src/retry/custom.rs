//! Who decides about another attempt at a request of any kind: the outcome, or a policy of one's own.

use super::{Advice, Attempt, RetryLayer, policy::Policy};
use crate::{
    call::{BoxError, Outcome, quietly},
    protocol::{Any, error_verdict},
};

/// An attempt that has ended, as a [`RetryPolicy`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried<'a, Req, Res> {
    /// The request that would be sent again; none after the last attempt, which keeps no copy.
    pub request: Option<&'a Req>,
    /// What the service gave.
    pub result: &'a Result<Res, BoxError>,
    /// Which attempt it was.
    pub attempt: Attempt,
    /// What would be done without a policy: errors that are failures, overload or timeouts are tried again, as the
    /// peer's hints allow.
    pub usual: Advice,
}

/// Decides from request, result and attempt whether there is another attempt. For [`RetryLayer::with`].
///
/// Limits, budget and deadline of the [`Retry`](super::Retry) hold all the same. A policy that panics decides for no
/// further attempt.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, retry::{Advice, Retry, RetryLayer, RetryPolicy, Tried}};
///
/// // Cannot be cloned as it is, and must not be sent twice unless it says so.
/// struct Order { key: Option<u32> }
///
/// struct Keyed;
/// impl RetryPolicy<Order, &'static str> for Keyed {
///     fn copy(&self, order: &Order) -> Option<Order> {
///         order.key.map(|key| Order { key: Some(key) })
///     }
///     fn advise(&self, tried: &Tried<'_, Order, &'static str>) -> Advice {
///         match tried.result {
///             Ok(answer) if *answer == "not yet" => Advice::Retry,
///             _ => tried.usual,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::with(Retry::named("orders"), Keyed))
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
    fn copy(&self, request: &Req) -> Option<Req>;

    /// Returns what to do about an attempt that was judged. [`Advice::Stop`] makes its result the answer.
    fn advise(&self, tried: &Tried<'_, Req, Res>) -> Advice;
}

/// Retries by a policy of one's own. Part of a [`RetryLayer`]'s type.
#[derive(Clone, Copy, Debug)]
pub struct ByPolicy<T>(T);

impl<T> RetryLayer<ByPolicy<T>> {
    /// Retries over a service of any kind by a policy, which also makes the copies of requests; its error becomes a
    /// `BoxError`.
    pub fn with(retry: super::Retry, policy: T) -> Self {
        RetryLayer::new(retry, ByPolicy(policy))
    }
}

/// How a request of any kind is copied and its attempts are judged. Not meant to be implemented elsewhere.
pub trait Rules<Req, Res> {
    #[doc(hidden)]
    fn copy(&self, request: &Req) -> Option<Req>;
    #[doc(hidden)]
    fn judge(&self, judge: Judge<'_, Req, Res>) -> (Outcome, Advice);
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Judge<'a, Req, Res> {
    pub(super) request: Option<&'a Req>,
    pub(super) result: &'a Result<Res, BoxError>,
    pub(super) attempt: Attempt,
    pub(super) policy: &'a Policy,
}

impl<Req, Res> Judge<'_, Req, Res> {
    /// What would be done about this outcome without a policy of one's own.
    fn usual(&self, outcome: Outcome) -> Advice {
        let error = self.result.as_ref().err().map(|error| &**error as _);
        self.policy.advise(outcome, error, None)
    }
}

/// Rules for services of any kind, as opposed to those that know HTTP.
pub trait OfAnyKind {}
impl OfAnyKind for Any {}
impl<T> OfAnyKind for ByPolicy<T> {}

impl<Req: Clone, Res: 'static> Rules<Req, Res> for Any {
    #[inline]
    fn copy(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn judge(&self, judge: Judge<'_, Req, Res>) -> (Outcome, Advice) {
        let outcome = self.judged(judge.result.as_ref()).outcome;
        (outcome, judge.usual(outcome))
    }
}

impl<T: RetryPolicy<Req, Res>, Req, Res> Rules<Req, Res> for ByPolicy<T> {
    #[inline]
    fn copy(&self, request: &Req) -> Option<Req> {
        quietly(|| self.0.copy(request)).flatten()
    }

    fn judge(&self, judge: Judge<'_, Req, Res>) -> (Outcome, Advice) {
        let outcome = match judge.result {
            Ok(_) => Outcome::Success,
            Err(error) => error_verdict(&**error),
        };
        let tried = Tried {
            request: judge.request,
            result: judge.result,
            attempt: judge.attempt,
            usual: judge.usual(outcome),
        };
        let advice = quietly(|| self.0.advise(&tried)).unwrap_or(Advice::Stop);
        match (outcome, advice) {
            // What is worth another attempt was no success, whatever it looked like.
            (Outcome::Success, Advice::Stop) => (outcome, advice),
            (Outcome::Success, _) => (Outcome::Failure, advice),
            _ => (outcome, advice),
        }
    }
}
