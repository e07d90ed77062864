use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{CircuitBreaker, waiters::Waiting};
use crate::resilience::WhenReady;

/// Makes a service ready while a circuit refuses; made by [`CircuitBreaker::open_ready`].
#[derive(Clone, Debug)]
pub struct OpenReadyLayer(CircuitBreaker);

impl OpenReadyLayer {
    pub(super) fn new(breaker: CircuitBreaker) -> Self {
        OpenReadyLayer(breaker)
    }
}

impl<S> Layer<S> for OpenReadyLayer {
    type Service = OpenReady<S>;

    fn layer(&self, inner: S) -> OpenReady<S> {
        OpenReady {
            inner,
            granted: false,
            breaker: self.0.clone(),
            waiting: None,
        }
    }
}

/// Ready while the circuit refuses; a call that passes after all waits inside of its future.
///
/// A task that waits for readiness is woken when the circuit opens. One that waits inside of a call is not: it was let
/// pass, and only its own timeout ends it.
#[derive(Debug)]
pub struct OpenReady<S> {
    inner: S,
    granted: bool,
    breaker: CircuitBreaker,
    waiting: Option<Waiting>,
}

/// A clone keeps no readiness: that belongs to the handle that was polled.
impl<S: Clone> Clone for OpenReady<S> {
    fn clone(&self) -> Self {
        OpenReady {
            inner: self.inner.clone(),
            granted: false,
            breaker: self.breaker.clone(),
            waiting: None,
        }
    }
}

impl<S> OpenReady<S> {
    /// Ready if the circuit refuses; else the task is woken when it does.
    fn poll_refusal<E>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let breaker = &self.breaker;
        if !breaker.would_refuse() {
            let waiting = self.waiting.get_or_insert_with(|| Waiting::new(breaker));
            waiting.register(cx.waker());
            // Asked again: it may have opened before there was anybody to be woken.
            if !breaker.would_refuse() {
                return Poll::Pending;
            }
        }
        self.waiting = None;
        Poll::Ready(Ok(()))
    }
}

impl<S: Service<Req> + Clone, Req> Service<Req> for OpenReady<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WhenReady<S, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.granted = false;
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() {
            return self.poll_refusal(cx);
        }
        self.waiting = None;
        self.granted = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        if std::mem::take(&mut self.granted) {
            return WhenReady::calling(|| self.inner.call(request));
        }
        // The handle that waits is the one that was polled; the spare is polled before it is used.
        let spare = self.inner.clone();
        WhenReady::waiting(std::mem::replace(&mut self.inner, spare), request)
    }
}
