use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{Hedge, HedgeFuture, HedgeLayer};
use crate::{
    call::BoxError,
    protocol::{AnyService, HttpExchange, Protocol, ReadRequest, Respond},
    retry::{
        CallConfig, HttpAttempts, HttpRetry, MapBody, RetryBody, RetryPolicy, RetryStack,
        ServiceAttempts,
    },
};

/// A service with hedges. Made by [`HedgeLayer`].
pub struct HedgeService<S, P, R = HttpRetry> {
    /// Makes the first attempt of each call.
    inner: S,
    hedge: Hedge,
    stack: Arc<RetryStack<S, P, R>>,
}

impl<S, P, R> HedgeService<S, P, R> {
    pub(super) fn new(inner: S, layer: &HedgeLayer<P, R>) -> Self
    where
        S: Clone,
    {
        let stack = Arc::new(RetryStack::new(&inner, layer.attempts.clone()));
        HedgeService {
            inner,
            hedge: layer.hedge.clone(),
            stack,
        }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, T, Req> Service<Req> for HedgeService<S, AnyService, T>
where
    // The wrapped service, and what is called beside it.
    S: Service<Req, Response: 'static, Error: Into<BoxError>> + Clone,
    // How requests are cloned, and which results another attempt may better.
    T: RetryPolicy<Req, S::Response>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = HedgeFuture<ServiceAttempts<S, Req, T>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let config = CallConfig::new(&self.hedge.shared.retry);
        let attempts = ServiceAttempts::new(self.stack.clone());
        let (hedge, ready) = (self.hedge.clone(), &mut self.inner);
        HedgeFuture::started(attempts, hedge, config, None, |attempts, attempt, _| {
            attempts.start_first(ready, request, attempt)
        })
    }
}

impl<S, P, M, B, RB> Service<Request<B>> for HedgeService<S, P, HttpRetry<M>>
where
    // The request's body, and what the service takes in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The wrapped service, and what is called beside it.
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    // The response's body.
    RB: Body<Data = Bytes, Error: 'static>,
    // How an attempt is classified.
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Response = Response<RetryBody<RB>>;
    type Error = BoxError;
    type Future = HedgeFuture<HttpAttempts<S, P, M, B>>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(P::convert_error)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let config = CallConfig::new(&self.hedge.shared.retry);
        let (attempts, parts, body) = HttpAttempts::new(request, self.stack.clone(), &config);
        let (hedge, time_limit) = (self.hedge.clone(), attempts.time_limit());
        let ready = &mut self.inner;
        HedgeFuture::started(
            attempts,
            hedge,
            config,
            time_limit,
            |attempts, _, context| attempts.start_first(ready, parts, body, context),
        )
    }
}

/// A clone is the same hedge; it is not ready.
impl<S: Clone, P, R> Clone for HedgeService<S, P, R> {
    fn clone(&self) -> Self {
        HedgeService {
            inner: self.inner.clone(),
            hedge: self.hedge.clone(),
            stack: self.stack.clone(),
        }
    }
}

impl<S: fmt::Debug, P, R> fmt::Debug for HedgeService<S, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeService")
            .field("inner", &self.inner)
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}
