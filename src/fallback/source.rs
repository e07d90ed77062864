//! Where the other answer comes from: a value, a closure, another service.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Pending},
    time::Duration,
};

use tokio::time::Instant;

use super::{Failed, Served, settings::Unserved};
use crate::{
    call::quietly,
    context::{callers_deadline, deadline, earlier},
};

/// Source of the other answer. Implemented by [`Value`], [`With`], [`Other`](super::Other) and
/// [`OtherHttp`](super::OtherHttp) only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no other answer to requests of type `{Req}`",
    note = "say `.with(closure)`, `.service(other)` or, for any service, `.value(answer)`",
    note = "another service is sent a clone of the request; over HTTP its body is a `ReplayBody`, or what `request_body` makes of it"
)]
pub trait Source<Req> {
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
    type Future: Future<Output = Result<Self::Response, (Unserved, Self::Error)>>;

    /// Before the call: what the wrapped service is sent, and what the source will need of it.
    #[doc(hidden)]
    fn keep(&self, request: Req, time_limit: Option<Duration>) -> (Self::Sent, Self::Kept);
    /// The answer, while the failed one is still there to look at.
    #[doc(hidden)]
    fn make(&self, failed: &Failed<'_>, kept: Self::Kept) -> Made<Self::Response, Self::Again>;
    /// Begins what takes longer.
    #[doc(hidden)]
    fn begin(&self, again: Self::Again, served: Served) -> Self::Future;
}

#[doc(hidden)]
#[derive(Debug)]
pub enum Made<Res, Again> {
    Answer(Res),
    /// Takes longer; at most until then.
    Later(Again, Option<Instant>),
    Not(Unserved),
}

/// Returns when the caller stops waiting, by what the request says and by what is known here. None if he has.
pub(super) fn time_left(own: Option<Instant>) -> Option<Option<Instant>> {
    let is_over = earlier(own, deadline()).is_some_and(|at| at <= Instant::now());
    // Limits around it end it by themselves.
    (!is_over).then(|| earlier(own, callers_deadline()))
}

/// Becomes the error of the layered service.
#[doc(hidden)]
pub trait Lift<E> {
    fn lift(self) -> E;
}

impl<E> Lift<E> for Infallible {
    fn lift(self) -> E {
        match self {}
    }
}

/// A value that is cloned for each answer.
#[derive(Clone, Copy, Debug)]
pub struct Value<V>(pub(super) V);

impl<Req, V: Clone> Source<Req> for Value<V> {
    type Response = V;
    type Sent = Req;
    type Error = Infallible;
    type Kept = ();
    type Again = Infallible;
    type Future = Pending<Result<V, (Unserved, Infallible)>>;

    fn keep(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }
    fn make(&self, _: &Failed<'_>, (): ()) -> Made<V, Infallible> {
        made(|| self.0.clone())
    }
    fn begin(&self, never: Infallible, _: Served) -> Self::Future {
        match never {}
    }
}

/// A closure that makes the answer out of the failure.
#[derive(Clone, Copy)]
pub struct With<F>(pub(super) F);

impl<Req, F, Res> Source<Req> for With<F>
where
    F: Fn(&Failed<'_>) -> Res,
{
    type Response = Res;
    type Sent = Req;
    type Error = Infallible;
    type Kept = ();
    type Again = Infallible;
    type Future = Pending<Result<Res, (Unserved, Infallible)>>;

    fn keep(&self, request: Req, _: Option<Duration>) -> (Req, ()) {
        (request, ())
    }
    fn make(&self, failed: &Failed<'_>, (): ()) -> Made<Res, Infallible> {
        made(|| (self.0)(failed))
    }
    fn begin(&self, never: Infallible, _: Served) -> Self::Future {
        match never {}
    }
}

fn made<Res>(make: impl FnOnce() -> Res) -> Made<Res, Infallible> {
    quietly(make).map_or(Made::Not(Unserved::Panicked), Made::Answer)
}

impl<F> fmt::Debug for With<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("With")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}
