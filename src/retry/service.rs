use std::{
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    HttpAttempts, HttpRetry, MapBody, RetryBody, RetryFuture, RetryLayer, RetryPolicy,
    ServiceAttempts,
};
use crate::{
    call::BoxError,
    protocol::{AnyService, HttpExchange, Protocol, ReadRequest, Respond},
};

/// A service with retries. Made by [`RetryLayer`].
pub struct RetryService<S, P, R = HttpRetry> {
    inner: S,
    layer: RetryLayer<P, R>,
}

impl<S, P, R> RetryService<S, P, R> {
    pub(super) fn new(inner: S, layer: RetryLayer<P, R>) -> Self {
        RetryService { inner, layer }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Moves the service that was polled ready into the call. The clone that stays must be polled before it is used.
    fn take_ready_service(&mut self) -> (S, RetryLayer<P, R>)
    where
        S: Clone,
    {
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        (ready, self.layer.clone())
    }
}

impl<S, T, Req> Service<Req> for RetryService<S, AnyService, T>
where
    // The wrapped service, and what is called again.
    S: Service<Req, Response: 'static, Error: Into<BoxError>> + Clone,
    // How requests are cloned, and what is retried.
    T: RetryPolicy<Req, S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = RetryFuture<ServiceAttempts<S, Req, T>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (ready, layer) = self.take_ready_service();
        ServiceAttempts::start_call(ready, request, layer)
    }
}

impl<S, P, M, B, RB> Service<Request<B>> for RetryService<S, P, HttpRetry<M>>
where
    // The request's body, and what the service takes in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The wrapped service, and what is called again.
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    // The response's body.
    RB: Body<Data = Bytes, Error: 'static>,
    // How an attempt is classified.
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Response = Response<RetryBody<RB>>;
    type Error = BoxError;
    type Future = RetryFuture<HttpAttempts<S, P, M, B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (ready, layer) = self.take_ready_service();
        HttpAttempts::start_call(ready, request, layer)
    }
}

/// A clone shares settings and budget; it is not ready.
impl<S: Clone, P, R> Clone for RetryService<S, P, R> {
    fn clone(&self) -> Self {
        RetryService::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S: fmt::Debug, P, R> fmt::Debug for RetryService<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("inner", &self.inner)
            .field("retry", self.layer.retry())
            .finish_non_exhaustive()
    }
}
