use super::{Attempt, RetryDecision};
use crate::{call::BoxError, util::hook::catch_hook};

/// A policy that decides from request, result and attempt whether there is another attempt; for
/// [`RetryLayer::with_policy`](super::RetryLayer::with_policy).
///
/// Attempts, budget and deadline of the [`Retry`](super::Retry) still limit it. A policy that panics does not retry.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, retry::{AttemptResult, Retry, RetryDecision, RetryLayer, RetryPolicy}};
///
/// // Not `Clone`, and repeatable only with a key.
/// struct Order { key: Option<u32> }
///
/// struct RetryKeyed;
/// impl RetryPolicy<Order, &'static str> for RetryKeyed {
///     fn clone_request(&self, order: &Order) -> Option<Order> {
///         order.key.map(|key| Order { key: Some(key) })
///     }
///     fn decide(&self, attempt: &AttemptResult<'_, Order, &'static str>) -> RetryDecision {
///         match attempt.result {
///             Ok(answer) if *answer == "not yet" => RetryDecision::Retry,
///             _ => attempt.default_decision,
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::with_policy(Retry::new("orders"), RetryKeyed))
///     .service(service_fn(|_: Order| {
///         calls.set(calls.get() + 1);
///         let answer = if calls.get() == 1 { "not yet" } else { "done" };
///         async move { Ok::<_, BoxError>(answer) }
///     }));
/// assert_eq!(service.oneshot(Order { key: Some(7) }).await?, "done");
/// # Ok(()) }
/// ```
pub trait RetryPolicy<Req, Res> {
    /// Clones the request for another attempt. Returns `None` if it must not be sent twice. Called before each attempt
    /// but the last.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Decides about an attempt. With [`RetryDecision::Stop`], its result is that of the call.
    fn decide(&self, attempt: &AttemptResult<'_, Req, Res>) -> RetryDecision;

    /// Calls a method of the policy. Reports a panic, and returns `None` then.
    #[doc(hidden)]
    #[inline]
    fn call_caught<T>(&self, call: impl FnOnce(&Self) -> T) -> Option<T>
    where
        Self: Sized,
    {
        catch_hook(|| call(self))
    }
}

/// An attempt that has ended, as a [`RetryPolicy`] sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptResult<'a, Req, Res> {
    /// The request that would be sent again; `None` after the last attempt, which keeps no clone.
    pub request: Option<&'a Req>,
    /// The result of the service.
    pub result: &'a Result<Res, BoxError>,
    /// Number and deadline of the attempt.
    pub attempt: Attempt,
    /// The decision without a policy: errors that are failures, overload or timeouts are retried, as the peer asks. A
    /// response is never a failure here, whatever it says: [`RetryDecision::Stop`].
    pub default_decision: RetryDecision,
}
