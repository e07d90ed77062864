//! Where the other answer comes from: a value, a closure, another service.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Pending},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Failed, Served, settings::Unserved};
use crate::{call::quietly, guard::WhenReady, resilience::may_be_done_twice};

/// Where the other answer comes from. Implemented by [`Value`], [`With`], [`Other`] and [`OtherHttp`] only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no other answer to requests of type `{Req}`",
    note = "say `.with(closure)`, `.service(other)` or, for any service, `.value(answer)`",
    note = "another service is sent a clone of the request; over HTTP an empty body, which must have a `Default`"
)]
pub trait Source<Req> {
    /// What it answers with.
    type Response;
    #[doc(hidden)]
    type Error;
    #[doc(hidden)]
    type Kept;
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Response, (Unserved, Self::Error)>>;

    /// Before the call: what the source will need of its request.
    #[doc(hidden)]
    fn keep(&self, request: &Req) -> Option<Self::Kept>;
    /// The answer, while the failed one is still there to look at.
    #[doc(hidden)]
    fn make(&self, failed: &Failed<'_>) -> Made<Self::Response>;
    /// Begins what takes longer.
    #[doc(hidden)]
    fn begin(&self, kept: Self::Kept, served: Served) -> Self::Future;
}

#[doc(hidden)]
#[derive(Debug)]
pub enum Made<Res> {
    Answer(Res),
    Later,
    Panicked,
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

/// The error of the other service.
#[doc(hidden)]
#[derive(Debug)]
pub struct Its<E>(E);

impl<E: Into<T>, T> Lift<T> for Its<E> {
    fn lift(self) -> T {
        self.0.into()
    }
}

/// A value that is cloned for each answer.
#[derive(Clone, Copy, Debug)]
pub struct Value<V>(pub(super) V);

impl<Req, V: Clone> Source<Req> for Value<V> {
    type Response = V;
    type Error = Infallible;
    type Kept = Infallible;
    type Future = Pending<Result<V, (Unserved, Infallible)>>;

    fn keep(&self, _: &Req) -> Option<Infallible> {
        None
    }
    fn make(&self, _: &Failed<'_>) -> Made<V> {
        quietly(|| self.0.clone()).map_or(Made::Panicked, Made::Answer)
    }
    fn begin(&self, kept: Infallible, _: Served) -> Self::Future {
        match kept {}
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
    type Error = Infallible;
    type Kept = Infallible;
    type Future = Pending<Result<Res, (Unserved, Infallible)>>;

    fn keep(&self, _: &Req) -> Option<Infallible> {
        None
    }
    fn make(&self, failed: &Failed<'_>) -> Made<Res> {
        quietly(|| (self.0)(failed)).map_or(Made::Panicked, Made::Answer)
    }
    fn begin(&self, kept: Infallible, _: Served) -> Self::Future {
        match kept {}
    }
}

impl<F> fmt::Debug for With<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("With")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}

/// Another service of any kind, which is sent a clone of the request.
#[derive(Clone, Copy, Debug)]
pub struct Other<T>(pub(super) T);

impl<Req: Clone, T: Service<Req> + Clone> Source<Req> for Other<T> {
    type Response = T::Response;
    type Error = Its<T::Error>;
    type Kept = Req;
    type Future = OtherFuture<T, Req>;

    fn keep(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
    fn make(&self, _: &Failed<'_>) -> Made<T::Response> {
        Made::Later
    }
    fn begin(&self, request: Req, _: Served) -> Self::Future {
        OtherFuture::new(self.0.clone(), request)
    }
}

/// Another HTTP service, which is sent what may be sent twice: requests without a body, of idempotent methods or
/// with an `Idempotency-Key`.
#[derive(Clone, Copy, Debug)]
pub struct OtherHttp<T>(pub(super) T);

impl<T, B> Source<Request<B>> for OtherHttp<T>
where
    T: Service<Request<B>> + Clone,
    // Only an empty one is sent again.
    B: Body + Default,
{
    type Response = T::Response;
    type Error = Its<T::Error>;
    type Kept = Request<B>;
    type Future = OtherFuture<T, Request<B>>;

    fn keep(&self, request: &Request<B>) -> Option<Request<B>> {
        let may_repeat = may_be_done_twice(request.method(), request.headers());
        if !may_repeat || !request.body().is_end_stream() {
            return None;
        }
        let mut kept = Request::new(B::default());
        *kept.method_mut() = request.method().clone();
        *kept.uri_mut() = request.uri().clone();
        *kept.version_mut() = request.version();
        *kept.headers_mut() = request.headers().clone();
        *kept.extensions_mut() = request.extensions().clone();
        Some(kept)
    }
    fn make(&self, _: &Failed<'_>) -> Made<T::Response> {
        Made::Later
    }
    fn begin(&self, mut request: Request<B>, served: Served) -> Self::Future {
        request.extensions_mut().insert(served);
        OtherFuture::new(self.0.clone(), request)
    }
}

pin_project! {
    /// The other service's call, which waits until it is ready.
    pub struct OtherFuture<T: Service<Req>, Req> {
        #[pin]
        call: WhenReady<T, Req>,
    }
}

impl<T: Service<Req>, Req> OtherFuture<T, Req> {
    fn new(other: T, request: Req) -> Self {
        OtherFuture {
            call: WhenReady::waiting(other, request),
        }
    }
}

impl<T: Service<Req>, Req> Future for OtherFuture<T, Req> {
    type Output = Result<T::Response, (Unserved, Its<T::Error>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut call = self.project().call;
        let result = ready!(call.as_mut().poll(cx));
        let why = match call.is_made() {
            true => Unserved::Failed,
            false => Unserved::NotReady,
        };
        Poll::Ready(result.map_err(|error| (why, Its(error))))
    }
}
