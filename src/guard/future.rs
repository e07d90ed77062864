use std::{
    borrow::Borrow,
    future::Future,
    mem::{forget, replace},
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Completion, Guard, InFlightCall,
    respond::{GuardedResult, respond, respond_to_panic, respond_to_rejection},
};
use crate::{
    call::{CallClock, CapturedPanic, CatchScope, PanicPayload, Rejection},
    protocol::{CallState, Protocol, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a guarded call. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<F, G: Guard, P: Protocol> {
        #[pin]
        state: CallFutureState<F, P::Rejection>,
        // None once the body owns it.
        call: Option<InFlightCall<G, P>>,
    }

    impl<F, G: Guard, P: Protocol> PinnedDrop for GuardFuture<F, G, P> {
        // The service's future is dropped in the scopes of the guards, so that its last events carry the call's IDs; the
        // call completes after it.
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(call) = this.call
                && call.is_in_flight()
            {
                drop_early(this.state, call);
            }
        }
    }
}

/// Drops a call before its end.
#[cold]
#[inline(never)]
fn drop_early<F, G, P>(
    mut state: Pin<&mut CallFutureState<F, P::Rejection>>,
    call: &mut InFlightCall<G, P>,
) where
    G: Guard,
    P: Protocol,
{
    let _scope = CatchScope::enter_call();
    let clock = call.start_phase();
    match state.as_mut().project() {
        CallFutureStateProj::Rejected {
            rejection: Some(rejection),
        } => call.complete(Completion::Rejected((*rejection).borrow()), &clock),
        CallFutureStateProj::Panicked { panic: Some(panic) } => {
            call.complete(Completion::Panicked(panic), &clock)
        }
        _ => call.drop_service(&clock, || state.set(CallFutureState::Done)),
    }
}

pin_project! {
    #[project = CallFutureStateProj]
    enum CallFutureState<F, R> {
        Calling { #[pin] future: F },
        Rejected { rejection: Option<R> },
        Panicked { panic: Option<CapturedPanic> },
        Done,
    }
}

impl<F, G: Guard, P: Protocol> GuardFuture<F, G, P> {
    /// Creates the future of a call that is to be admitted.
    #[inline]
    pub(super) fn new(call: InFlightCall<G, P>) -> Self {
        GuardFuture {
            state: CallFutureState::Done,
            call: Some(call),
        }
    }

    /// Has `admit` ask the guards, and shows them the request's body if it is watched. The rejection is the result of the
    /// future.
    #[inline]
    pub(super) fn admit(
        &mut self,
        admit: impl FnOnce(&G, &CallClock, &mut Option<G::Permit>) -> Option<Rejection>,
    ) {
        let Some(call) = &mut self.call else {
            return;
        };
        if let Some(rejection) = call.admit(admit) {
            self.state = CallFutureState::Rejected {
                rejection: Some(rejection.into()),
            };
        }
        if call.exchange().has_upload() {
            call.on_upload();
        }
    }

    /// Calls the service. If it panics in its `call`, the protocol decides: the panic is passed on at once, or the future
    /// responds to it when it is polled.
    #[inline]
    pub(super) fn call_service(&mut self, call_service: impl FnOnce() -> F) {
        let Some(call) = &mut self.call else {
            return;
        };
        let state = &mut self.state;
        // Stored in there: a future that was handed up through `run_service` would be copied on its way.
        let run = call.run_service(|| {
            let future = call_service();
            // The state before has nothing to drop, which the compiler does not know.
            forget(replace(state, CallFutureState::Calling { future }));
        });
        if let Err(payload) = run {
            self.on_panic(CapturedPanic::new(payload));
        }
    }

    /// Sets the flag that tells when the service is called, for a call that waits for its readiness.
    pub(super) fn set_called_flag(&mut self, called: Arc<AtomicBool>) {
        if let Some(call) = &mut self.call {
            call.set_called_flag(called);
        }
    }

    #[cold]
    fn on_panic(&mut self, panic: CapturedPanic) {
        if !P::CATCHES_PANICS
            && let Some(call) = &mut self.call
        {
            let clock = call.start_phase();
            call.complete(Completion::Panicked(&panic), &clock);
            panic.resume();
        }
        self.state = CallFutureState::Panicked { panic: Some(panic) };
    }

    /// Returns whether a guard has rejected the call.
    #[inline]
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self.state, CallFutureState::Rejected { .. })
    }
}

impl<F, G, P, Res, E> Future for GuardFuture<F, G, P>
where
    F: Future<Output = Result<Res, E>>,
    G: Guard,
    P: Respond<Res, E>,
{
    type Output = GuardedResult<G, P, Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _scope = CatchScope::enter_call();
        let mut this = self.project();
        let call = this.call.as_mut().expect(POLLED_AFTER_COMPLETION);
        let clock = &call.start_phase();
        if !matches!(*this.state, CallFutureState::Calling { .. }) {
            return Poll::Ready(respond_early::<F, G, P, Res, E>(this.state, call, clock));
        }
        let mut polled = Poll::Pending;
        // Responses are large: one that was handed up through `run_service` would be copied on its way.
        let run = call.run_service(|| poll_and_drop(this.state.as_mut(), cx, &mut polled));
        if let Err(payload) = run {
            return Poll::Ready(drop_panicked::<F, G, P, Res, E>(
                this.state, call, payload, clock,
            ));
        }
        let result = ready!(polled);
        Poll::Ready(respond::<G, P, Res, E>(this.call, result, clock))
    }
}

/// Drops a future that has panicked, which may do so again, and responds to its panic.
#[cold]
#[inline(never)]
fn drop_panicked<F, G, P, Res, E>(
    mut state: Pin<&mut CallFutureState<F, P::Rejection>>,
    call: &mut InFlightCall<G, P>,
    payload: PanicPayload,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    let panic = CapturedPanic::new(payload);
    if let Err(again) = call.run_service(|| state.set(CallFutureState::Done)) {
        drop(CapturedPanic::new(again));
    }
    respond_to_panic::<G, P, Res, E>(call, panic, clock)
}

/// Polls the service's future, and drops it when it is done: a panic in that drop is one of the call, too.
#[inline(always)]
fn poll_and_drop<F: Future, R>(
    mut state: Pin<&mut CallFutureState<F, R>>,
    cx: &mut Context<'_>,
    polled: &mut Poll<F::Output>,
) {
    let CallFutureStateProj::Calling { future } = state.as_mut().project() else {
        panic!("{POLLED_AFTER_COMPLETION}");
    };
    *polled = future.poll(cx);
    if polled.is_ready() {
        state.set(CallFutureState::Done);
    }
}

/// Responds to a call whose service was not called, or panicked when it was.
#[inline(never)]
fn respond_early<F, G, P, Res, E>(
    mut state: Pin<&mut CallFutureState<F, P::Rejection>>,
    call: &mut InFlightCall<G, P>,
    clock: &CallClock,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    match state.as_mut().project() {
        CallFutureStateProj::Rejected { rejection } => {
            let rejection = rejection.take().expect(POLLED_AFTER_COMPLETION);
            state.set(CallFutureState::Done);
            respond_to_rejection::<G, P, Res, E>(call, rejection, clock)
        }
        CallFutureStateProj::Panicked { panic } => {
            let panic = panic.take().expect(POLLED_AFTER_COMPLETION);
            state.set(CallFutureState::Done);
            respond_to_panic::<G, P, Res, E>(call, panic, clock)
        }
        CallFutureStateProj::Calling { .. } | CallFutureStateProj::Done => {
            panic!("{POLLED_AFTER_COMPLETION}")
        }
    }
}
