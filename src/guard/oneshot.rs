use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{call::mark_never_called, util::poll::POLLED_AFTER_COMPLETION};

pin_project! {
    /// A call that waits in its future until the service is ready, and is made on the very handle that became so.
    #[must_use = "futures do nothing unless polled"]
    pub struct Oneshot<S, Req> where S: Service<Req> {
        #[pin]
        state: OneshotState<S, S::Future, Req>,
    }

    impl<S, Req> PinnedDrop for Oneshot<S, Req> where S: Service<Req> {
        // A timeout that drops it may include the wait, and must not blame the peer then.
        fn drop(this: Pin<&mut Self>) {
            if !this.is_called() {
                mark_never_called();
            }
        }
    }
}

pin_project! {
    /// The call of a service in the mode [`FailFast`](super::FailFast): one that was ready, or one that waits for readiness.
    #[must_use = "futures do nothing unless polled"]
    pub struct FailFastFuture<S, Req> where S: Service<Req> {
        #[pin]
        kind: FailFastState<S::Future, Oneshot<S, Req>>,
    }
}

pin_project! {
    #[project = FailFastStateProj]
    enum FailFastState<F, W> {
        Calling { #[pin] future: F },
        // Boxed, or every call would have room for a service and a request.
        Waiting { call: Pin<Box<W>>, made: Arc<AtomicBool> },
    }
}

impl<S: Service<Req>, Req> FailFastFuture<S, Req> {
    #[inline]
    pub(super) fn called(future: S::Future) -> Self {
        FailFastFuture {
            kind: FailFastState::Calling { future },
        }
    }

    /// Creates a call that waits for readiness, and sets the flag when it is made.
    pub(super) fn waiting(inner: S, request: Req, made: Arc<AtomicBool>) -> Self {
        let call = Box::pin(Oneshot::new(inner, request));
        FailFastFuture {
            kind: FailFastState::Waiting { call, made },
        }
    }
}

impl<S: Service<Req>, Req> Future for FailFastFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            FailFastStateProj::Calling { future } => future.poll(cx),
            FailFastStateProj::Waiting { call, made } => {
                let polled = call.as_mut().poll(cx);
                if call.is_called() {
                    made.store(true, Ordering::Relaxed);
                }
                polled
            }
        }
    }
}

pin_project! {
    #[project = OneshotStateProj]
    enum OneshotState<S, F, Req> {
        Waiting { inner: S, request: Option<Req> },
        Calling { #[pin] future: F },
    }
}

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    pub(crate) fn new(inner: S, request: Req) -> Self {
        let request = Some(request);
        Oneshot {
            state: OneshotState::Waiting { inner, request },
        }
    }

    /// Returns whether the service was called.
    pub(crate) fn is_called(&self) -> bool {
        matches!(self.state, OneshotState::Calling { .. })
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                OneshotStateProj::Waiting { inner, request } => {
                    ready!(inner.poll_ready(cx))?;
                    let request = request.take().expect(POLLED_AFTER_COMPLETION);
                    let future = inner.call(request);
                    state.set(OneshotState::Calling { future });
                }
                OneshotStateProj::Calling { future } => return future.poll(cx),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
    };

    use super::*;

    /// Not ready when it is polled first.
    struct Slow(bool);

    impl Service<u8> for Slow {
        type Response = u8;
        type Error = Infallible;
        type Future = Ready<Result<u8, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            match std::mem::replace(&mut self.0, true) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }

        fn call(&mut self, request: u8) -> Self::Future {
            ready(Ok(request))
        }
    }

    #[test]
    fn call_is_made_once_the_service_is_ready() {
        let mut call = std::pin::pin!(Oneshot::new(Slow(false), 7));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert!(!call.is_called());
        assert_eq!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
        assert!(call.is_called());
    }
}
