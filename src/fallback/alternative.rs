//! Where the other answer comes from: a value, a closure, another service.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Pending},
    time::Duration,
};

use tokio::time::Instant;

use super::{FailedCall, FallbackInfo, settings::FallbackError};
use crate::{
    call::catch_hook,
    context::{caller_deadline, deadline, min_some},
};

/// Source of the other answer. Implemented by [`FromValue`], [`FromFn`], [`FromService`](super::FromService) and
/// [`FromHttpService`](super::FromHttpService) only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no other answer to requests of type `{Req}`",
    note = "say `.with(closure)`, `.service(other)` or, for any service, `.value(answer)`",
    note = "another service is sent a clone of the request; over HTTP its body is a `ReplayBody`, or what `request_body` makes of it"
)]
pub trait Alternative<Req> {
    /// What it answers with.
    type Response;
    /// The request that the wrapped service is sent.
    type Sent;
    #[doc(hidden)]
    type Error;
    #[doc(hidden)]
    type Kept;
    #[doc(hidden)]
    type Again;
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Response, (FallbackError, Self::Error)>>;

    /// Before the call: what the wrapped service is sent, and what the source will need of it.
    #[doc(hidden)]
    fn retain_request(
        &self,
        request: Req,
        time_limit: Option<Duration>,
    ) -> (Self::Sent, Self::Kept);
    /// The answer, while the failed one is still there to look at.
    #[doc(hidden)]
    fn respond(
        &self,
        failed: &FailedCall<'_>,
        kept: Self::Kept,
    ) -> Produced<Self::Response, Self::Again>;
    /// Begins what takes longer.
    #[doc(hidden)]
    fn call(&self, again: Self::Again, served: FallbackInfo) -> Self::Future;
}

#[doc(hidden)]
#[derive(Debug)]
pub enum Produced<Res, Again> {
    Ready(Res),
    /// Takes longer; at most until then.
    NeedsCall(Again, Option<Instant>),
    Unavailable(FallbackError),
}

/// Returns when the caller stops waiting, by what the request says and by what is known here. None if he has.
pub(super) fn remaining_deadline(own: Option<Instant>) -> Option<Option<Instant>> {
    let is_over = min_some(own, deadline()).is_some_and(|at| at <= Instant::now());
    // Limits around it end it by themselves.
    (!is_over).then(|| min_some(own, caller_deadline()))
}

/// Becomes the error of the layered service.
#[doc(hidden)]
pub trait IntoLayerError<E> {
    fn into_layer_error(self) -> E;
}

impl<E> IntoLayerError<E> for Infallible {
    fn into_layer_error(self) -> E {
        match self {}
    }
}

/// A value that is cloned for each answer.
#[derive(Clone, Copy, Debug)]
pub struct FromValue<V>(pub(super) V);

impl<Req, V: Clone> Alternative<Req> for FromValue<V> {
    type Response = V;
    type Sent = Req;
    type Error = Infallible;
    type Kept = ();
    type Again = Infallible;
    type Future = Pending<Result<V, (FallbackError, Infallible)>>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }
    fn respond(&self, _: &FailedCall<'_>, (): ()) -> Produced<V, Infallible> {
        produce_caught(|| self.0.clone())
    }
    fn call(&self, never: Infallible, _: FallbackInfo) -> Self::Future {
        match never {}
    }
}

/// A closure that makes the answer out of the failure.
#[derive(Clone, Copy)]
pub struct FromFn<F>(pub(super) F);

impl<Req, F, Res> Alternative<Req> for FromFn<F>
where
    F: Fn(&FailedCall<'_>) -> Res,
{
    type Response = Res;
    type Sent = Req;
    type Error = Infallible;
    type Kept = ();
    type Again = Infallible;
    type Future = Pending<Result<Res, (FallbackError, Infallible)>>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }
    fn respond(&self, failed: &FailedCall<'_>, (): ()) -> Produced<Res, Infallible> {
        produce_caught(|| (self.0)(failed))
    }
    fn call(&self, never: Infallible, _: FallbackInfo) -> Self::Future {
        match never {}
    }
}

fn produce_caught<Res>(make: impl FnOnce() -> Res) -> Produced<Res, Infallible> {
    catch_hook(make).map_or(
        Produced::Unavailable(FallbackError::Panicked),
        Produced::Ready,
    )
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("With")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}
