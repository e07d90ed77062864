use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    HttpAttempts, HttpRetry, MapBody, RetryBody, RetryFuture, RetryLayer, RetryPolicy,
    ServiceAttempts, stack::RetryStack,
};
use crate::{
    call::BoxError,
    protocol::{AnyService, HttpExchange, Protocol, ReadRequest, Respond},
};

/// A service with retries. Made by [`RetryLayer`].
pub struct RetryService<S, P, R = HttpRetry> {
    /// Makes the first attempt of each call.
    inner: S,
    // One reference is all that a call takes: counting it is a good part of what one costs that succeeds at once.
    stack: Arc<RetryStack<S, P, R>>,
}

impl<S, P, R> RetryService<S, P, R> {
    pub(super) fn new(inner: S, layer: RetryLayer<P, R>) -> Self
    where
        S: Clone,
    {
        let stack = Arc::new(RetryStack::new(&inner, layer));
        RetryService { inner, stack }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
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

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        ServiceAttempts::start_call(&mut self.inner, request, self.stack.clone())
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

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        HttpAttempts::start_call(&mut self.inner, request, self.stack.clone())
    }
}

/// A clone shares settings and budget; it is not ready.
impl<S: Clone, P, R> Clone for RetryService<S, P, R> {
    fn clone(&self) -> Self {
        RetryService {
            inner: self.inner.clone(),
            stack: self.stack.clone(),
        }
    }
}

impl<S: fmt::Debug, P, R> fmt::Debug for RetryService<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("inner", &self.inner)
            .field("retry", self.stack.layer.retry())
            .finish_non_exhaustive()
    }
}
