use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    FailedCall, FallbackInfo,
    alternative::{Alternative, IntoLayerError, Produced, remaining_deadline},
    settings::FallbackError,
};
use crate::guard::Oneshot;

/// Another service of any kind, which is sent a clone of the request.
#[derive(Clone, Copy, Debug)]
pub struct FromService<T>(pub(super) T);

impl<Req: Clone, T: Service<Req> + Clone> Alternative<Req> for FromService<T> {
    type Response = T::Response;
    type Sent = Req;
    type Error = ServiceError<T::Error>;
    type Kept = Req;
    type Again = Req;
    type Future = FromServiceFuture<T, Req>;

    fn retain_request(&self, request: Req, _: Option<Duration>) -> (Req, Req) {
        let kept = request.clone();
        (request, kept)
    }
    fn respond(&self, _: &FailedCall<'_>, kept: Req) -> Produced<T::Response, Req> {
        match remaining_deadline(None) {
            Some(until) => Produced::NeedsCall(kept, until),
            None => Produced::Unavailable(FallbackError::Deadline),
        }
    }
    fn call(&self, again: Req, _: FallbackInfo) -> Self::Future {
        FromServiceFuture::new(self.0.clone(), again)
    }
}

/// The error of the other service.
#[doc(hidden)]
#[derive(Debug)]
pub struct ServiceError<E>(E);

impl<E: Into<T>, T> IntoLayerError<T> for ServiceError<E> {
    fn into_layer_error(self) -> T {
        self.0.into()
    }
}

pin_project! {
    /// The other service's call, which waits until it is ready.
    pub struct FromServiceFuture<T: Service<Req>, Req> {
        #[pin]
        call: Oneshot<T, Req>,
    }
}

impl<T: Service<Req>, Req> FromServiceFuture<T, Req> {
    pub(super) fn new(other: T, request: Req) -> Self {
        FromServiceFuture {
            call: Oneshot::new(other, request),
        }
    }
}

impl<T: Service<Req>, Req> Future for FromServiceFuture<T, Req> {
    type Output = Result<T::Response, (FallbackError, ServiceError<T::Error>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut call = self.project().call;
        let result = ready!(call.as_mut().poll(cx));
        let why = match call.is_called() {
            true => FallbackError::Failed,
            false => FallbackError::NotReady,
        };
        Poll::Ready(result.map_err(|error| (why, ServiceError(error))))
    }
}
