use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    caller_deadline::CallerDeadline,
    flight::{Landed, Received},
    seat::Seat,
    share::{CoalescedResult, Share},
    wrap_body::WrapCoalesced,
};
use crate::{
    call::{Rejection, drop_on_timeout},
    context::WithoutDeadline,
    guard::Oneshot,
    protocol::{LocalFailure, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// A caller's part in a call of this service.
type ServiceSeat<S, Req, P, K> = Seat<
    K,
    WithoutDeadline<
        <P as Share<<S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Collect<
            <S as Service<Req>>::Future,
        >,
    >,
    <P as Share<<S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Shared,
    <P as Share<<S as Service<Req>>::Response, <S as Service<Req>>::Error>>::Own,
>;

pin_project! {
    /// The future of a call that may be shared. Named; boxed is what is shared, and what a call needs that waits.
    #[must_use = "futures do nothing unless polled"]
    pub struct CoalesceFuture<S, Req, P, K>
    where
        S: Service<Req>,
        P: Share<S::Response, S::Error>,
    {
        #[pin]
        state: State<S::Future, ServiceSeat<S, Req, P, K>, Spare<S, Req>, Oneshot<S, Req>>,
        call: P::Call,
    }
}

/// The service and the request of a call that waits, should it have to make the call for itself.
pub(super) struct Spare<S, Req> {
    inner: S,
    request: Req,
}

impl<S, Req> Spare<S, Req> {
    pub(super) fn new(inner: S, request: Req) -> Self {
        Spare { inner, request }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, L, W, O> {
        Alone { #[pin] future: F },
        Sharing { seat: L, deadline: CallerDeadline, spare: Option<Box<W>> },
        CallingAgain { call: Pin<Box<O>> },
        Rejected { rejection: Option<Rejection> },
        Done,
    }
}

impl<S, Req, P, K> CoalesceFuture<S, Req, P, K>
where
    S: Service<Req>,
    P: Share<S::Response, S::Error>,
{
    pub(super) fn alone(call: P::Call, future: S::Future) -> Self {
        CoalesceFuture {
            state: State::Alone { future },
            call,
        }
    }

    pub(super) fn leading(
        call: P::Call,
        seat: ServiceSeat<S, Req, P, K>,
        deadline: CallerDeadline,
    ) -> Self {
        CoalesceFuture::sharing(call, seat, deadline, None)
    }

    pub(super) fn waiting(
        call: P::Call,
        seat: ServiceSeat<S, Req, P, K>,
        deadline: CallerDeadline,
        spare: Spare<S, Req>,
    ) -> Self {
        CoalesceFuture::sharing(call, seat, deadline, Some(Box::new(spare)))
    }

    fn sharing(
        call: P::Call,
        seat: ServiceSeat<S, Req, P, K>,
        deadline: CallerDeadline,
        spare: Option<Box<Spare<S, Req>>>,
    ) -> Self {
        CoalesceFuture {
            state: State::Sharing {
                seat,
                deadline,
                spare,
            },
            call,
        }
    }

    pub(super) fn rejected(call: P::Call, rejection: Rejection) -> Self {
        let rejection = Some(rejection);
        CoalesceFuture {
            state: State::Rejected { rejection },
            call,
        }
    }
}

/// Responds in the service's place.
fn respond_locally<P, Res, E>(
    call: &P::Call,
    why: LocalFailure<'_, P::Rejection>,
) -> CoalescedResult<P, Res, E>
where
    P: Respond<Res, E>,
{
    P::local_response(call, why).map(P::message_response::<WrapCoalesced>)
}

impl<S, Req, P, K> Future for CoalesceFuture<S, Req, P, K>
where
    S: Service<Req>,
    P: Share<S::Response, S::Error>,
{
    type Output = CoalescedResult<P, S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let result = match this.state.as_mut().project() {
                StateProj::Alone { future } => P::from_service(ready!(future.poll(cx))),
                StateProj::Sharing {
                    seat,
                    deadline,
                    spare,
                } => match seat.poll(cx) {
                    Poll::Pending => {
                        ready!(deadline.poll(cx));
                        let elapsed = seat.record_elapsed();
                        // The last caller drops the call, which learns why. Otherwise it goes on in another caller.
                        let elapsed = drop_on_timeout(elapsed, || this.state.set(State::Done));
                        let why = LocalFailure::TimedOut(elapsed);
                        respond_locally::<P, S::Response, S::Error>(this.call, why)
                    }
                    Poll::Ready(Landed::Own(own)) => P::from_own(own),
                    Poll::Ready(Landed::Shared(Received::Shared(shared))) => {
                        P::from_shared(Arc::unwrap_or_clone(shared))
                    }
                    Poll::Ready(Landed::Shared(Received::Panicked(message))) => {
                        let why = LocalFailure::Panicked(&message);
                        respond_locally::<P, S::Response, S::Error>(this.call, why)
                    }
                    Poll::Ready(Landed::Shared(Received::Unshared)) => {
                        seat.count_alone();
                        // Only one that waits gets this; the one that drove the call has its result.
                        let spare = *spare.take().expect(POLLED_AFTER_COMPLETION);
                        let call = Box::pin(Oneshot::new(spare.inner, spare.request));
                        this.state.set(State::CallingAgain { call });
                        continue;
                    }
                },
                StateProj::CallingAgain { call } => P::from_service(ready!(call.as_mut().poll(cx))),
                StateProj::Rejected { rejection } => {
                    let rejection = rejection.take().expect(POLLED_AFTER_COMPLETION);
                    let why = LocalFailure::Rejected(rejection.into());
                    respond_locally::<P, S::Response, S::Error>(this.call, why)
                }
                StateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
            };
            // Dropped now: the caller may hold this future for longer than it needs it.
            this.state.set(State::Done);
            return Poll::Ready(result);
        }
    }
}

impl<S, Req, P, K> fmt::Debug for CoalesceFuture<S, Req, P, K>
where
    S: Service<Req>,
    P: Share<S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceFuture").finish_non_exhaustive()
    }
}
