use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{error::FallbackError, layer_error::ServiceError};
use crate::guard::Oneshot;

pin_project! {
    /// The call of a fallback service, which waits until that is ready.
    pub struct FromServiceFuture<T: Service<Req>, Req> {
        #[pin]
        call: Oneshot<T, Req>,
    }
}

impl<T: Service<Req>, Req> FromServiceFuture<T, Req> {
    pub(super) fn new(service: T, request: Req) -> Self {
        FromServiceFuture {
            call: Oneshot::new(service, request),
        }
    }
}

impl<T: Service<Req>, Req> Future for FromServiceFuture<T, Req> {
    type Output = Result<T::Response, (FallbackError, ServiceError<T::Error>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut call = self.project().call;
        let result = ready!(call.as_mut().poll(cx));
        // A failure before the call is one of readiness.
        let reason = match call.is_called() {
            true => FallbackError::Failed,
            false => FallbackError::NotReady,
        };
        Poll::Ready(result.map_err(|error| (reason, ServiceError(error))))
    }
}
