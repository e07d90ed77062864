use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Failed, Served,
    settings::Unserved,
    source::{Lift, Made, Source, time_left},
};
use crate::guard::WhenReady;

/// Another service of any kind, which is sent a clone of the request.
#[derive(Clone, Copy, Debug)]
pub struct Other<T>(pub(super) T);

impl<Req: Clone, T: Service<Req> + Clone> Source<Req> for Other<T> {
    type Response = T::Response;
    type Sent = Req;
    type Error = Its<T::Error>;
    type Kept = Req;
    type Again = Req;
    type Future = OtherFuture<T, Req>;

    fn keep(&self, request: Req, _: Option<Duration>) -> (Req, Req) {
        let kept = request.clone();
        (request, kept)
    }
    fn make(&self, _: &Failed<'_>, kept: Req) -> Made<T::Response, Req> {
        match time_left(None) {
            Some(until) => Made::Later(kept, until),
            None => Made::Not(Unserved::Deadline),
        }
    }
    fn begin(&self, again: Req, _: Served) -> Self::Future {
        OtherFuture::new(self.0.clone(), again)
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

pin_project! {
    /// The other service's call, which waits until it is ready.
    pub struct OtherFuture<T: Service<Req>, Req> {
        #[pin]
        call: WhenReady<T, Req>,
    }
}

impl<T: Service<Req>, Req> OtherFuture<T, Req> {
    pub(super) fn new(other: T, request: Req) -> Self {
        OtherFuture {
            call: WhenReady::new(other, request),
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
