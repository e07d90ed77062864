use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;

use super::{
    Reservation,
    observer::LimitObserver,
    target::LimitTarget,
    wrap_body::{HeadContext, WrapLimited},
};
use crate::{
    call::{Rejection, as_std_error},
    guard::Oneshot,
    protocol::{CallState, LocalFailure, Protocol, Respond},
    timeout::poll_sleep,
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call that may wait for a rate limit. Named, and boxed only while it waits.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitFuture<S, Req, P>
    where
        S: Service<Req>,
        P: Protocol,
    {
        #[pin]
        state: LimitedState<S::Future, DelayedCall<S, Req>>,
        call: P::Call,
        observer: LimitObserver,
    }
}

pin_project! {
    #[project = LimitedStateProj]
    enum LimitedState<F, D> {
        Calling { #[pin] future: F },
        // Boxed, or every call would have room for a service, a request and a timer.
        Waiting { call: Pin<Box<D>> },
        Rejected { rejection: Option<Rejection> },
        Done,
    }
}

pin_project! {
    /// A call that is made once its time has come and the service is ready.
    struct DelayedCall<S, Req> where S: Service<Req> {
        #[pin]
        sleep: Sleep,
        // None once its time has come.
        reservation: Option<Reservation>,
        #[pin]
        call: Oneshot<S, Req>,
    }

    impl<S, Req> PinnedDrop for DelayedCall<S, Req> where S: Service<Req> {
        fn drop(this: Pin<&mut Self>) {
            this.project().reservation.take().into_iter().for_each(Reservation::cancel);
        }
    }
}

impl<S: Service<Req>, Req> Future for DelayedCall<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.reservation.is_some() {
            ready!(poll_sleep(this.sleep, cx));
            *this.reservation = None;
        }
        this.call.poll(cx)
    }
}

impl<S: Service<Req>, Req, P: Protocol> RateLimitFuture<S, Req, P> {
    #[inline]
    pub(super) fn called(call: P::Call, observer: LimitObserver, future: S::Future) -> Self {
        RateLimitFuture {
            state: LimitedState::Calling { future },
            call,
            observer,
        }
    }

    #[cold]
    pub(super) fn waiting(
        call: P::Call,
        observer: LimitObserver,
        reservation: Reservation,
        inner: S,
        request: Req,
    ) -> Self {
        let delayed = DelayedCall {
            sleep: sleep_until(reservation.ready_at()),
            reservation: Some(reservation),
            call: Oneshot::new(inner, request),
        };
        RateLimitFuture {
            state: LimitedState::Waiting {
                call: Box::pin(delayed),
            },
            call,
            observer,
        }
    }

    #[cold]
    pub(super) fn rejected(
        call: P::Call,
        target: Option<LimitTarget>,
        rejection: Rejection,
    ) -> Self {
        RateLimitFuture {
            state: LimitedState::Rejected {
                rejection: Some(rejection),
            },
            call,
            observer: LimitObserver::of_rejection(target),
        }
    }
}

impl<S, Req, P> Future for RateLimitFuture<S, Req, P>
where
    S: Service<Req>,
    P: Respond<S::Response, S::Error>,
{
    type Output = Result<P::Response<WrapLimited>, P::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match this.state.as_mut().project() {
            LimitedStateProj::Calling { future } => ready!(future.poll(cx)),
            LimitedStateProj::Waiting { call } => ready!(call.as_mut().poll(cx)),
            LimitedStateProj::Rejected { rejection } => {
                let rejection = rejection.take().expect(POLLED_AFTER_COMPLETION);
                this.state.set(LimitedState::Done);
                let failure = LocalFailure::Rejected(rejection.into());
                let response = P::local_response(this.call, failure).map(|mut message| {
                    let (head, _) = P::message_head(&mut message);
                    this.observer
                        .append_fields::<P>(&mut head.headers, this.call.wire());
                    P::message_response::<WrapLimited>(message)
                });
                return Poll::Ready(response);
            }
            LimitedStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
        };
        // Dropped now: the caller may hold this future for longer than it needs it.
        this.state.set(LimitedState::Done);
        let wire = this.call.wire();
        Poll::Ready(match result {
            Ok(response) => {
                let mut observer = mem::take(this.observer);
                observer.on_head::<P>(P::response_head(&response), wire);
                let with = HeadContext::new::<P>(observer, wire);
                Ok(P::wrap_response::<WrapLimited>(response, with))
            }
            Err(error) => {
                let error = P::convert_error(error);
                this.observer.on_error::<P>(as_std_error(&error));
                Err(error)
            }
        })
    }
}
