use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tower_service::Service;

use super::{
    Bulkhead, QueueFuture,
    deadline::{request_deadline, request_quantile},
    permit::SlotPermit,
    reservation::SlotReservation,
    shared::{BulkheadShared, WaiterKind},
    waiter::{Waiter, Waiting},
    waiting_call::WaitingCall,
};
use crate::{
    call::{CallClock, Rejection},
    guard::{BackPressure, FailFast, FailFastFuture, GuardFuture, Guarded, WrapGuarded},
    protocol::{ReadRequest, Respond},
};

/// A service in a bulkhead. Made by [`BulkheadLayer`](super::BulkheadLayer).
pub struct BulkheadService<S, P, M = FailFast> {
    guarded: Guarded<S, Bulkhead, P, M>,
    /// The slot of a handle that is ready, or its place in the queue. Boxed: only back pressure has one.
    reservation: Option<Box<SlotReservation>>,
}

impl<S, P, M> BulkheadService<S, P, M> {
    pub(super) fn new(guarded: Guarded<S, Bulkhead, P, M>) -> Self {
        BulkheadService {
            guarded,
            reservation: None,
        }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        self.guarded.get_ref()
    }

    fn shared(&self) -> &Arc<BulkheadShared> {
        &self.guarded.guards().shared
    }
}

/// Returns what admits a call that has a slot, or rejects one that has none.
#[inline]
pub(super) fn admit<Req>(
    result: Result<SlotPermit, Rejection>,
) -> impl FnOnce(&Bulkhead, &mut Req, &CallClock, &mut Option<SlotPermit>) -> Option<Rejection> {
    move |_, _, clock, permit| match result {
        Ok(slot) => {
            *permit = Some(slot);
            // So that the call knows how long it has lasted, without the wait.
            clock.now();
            None
        }
        Err(rejection) => Some(rejection),
    }
}

impl<S, P, Req> Service<Req> for BulkheadService<S, P, FailFast>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // How the request is read, the end classified, and a response made.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<Bulkhead, P>>;
    type Error = P::Error;
    type Future = QueueFuture<S, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Ready at once while no slot is free: a call that waits holds nothing of the wrapped service.
        self.guarded.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        // Nothing between here and the call may panic, or the slot would be lost.
        let result = match self.shared().take_slot() {
            true => Ok(self.shared().permit()),
            false => match self.wait(&mut request) {
                Waiting::Granted(permit) => Ok(permit),
                Waiting::Rejected(rejection) => Err(rejection),
                Waiting::Waits(waiter) => {
                    // A clone, which holds nothing of the wrapped service.
                    let call = WaitingCall::new(waiter, self.guarded.clone(), request);
                    return QueueFuture::waiting(call);
                }
            },
        };
        QueueFuture::calling(self.guarded.call_admitted(request, admit(result)))
    }
}

impl<S: Clone, P> BulkheadService<S, P, FailFast> {
    #[cold]
    fn wait<Req>(&mut self, request: &mut Req) -> Waiting
    where
        P: ReadRequest<Req>,
    {
        let deadline = request_deadline(self.guarded.protocol(), request);
        // What was taken from the wrapped service while a slot was free.
        self.guarded.release_inner();
        let quantile = request_quantile::<P, Req>(request);
        Waiter::start(self.shared(), WaiterKind::Call { deadline, quantile })
    }
}

impl<S, P, Req> Service<Req> for BulkheadService<S, P, BackPressure>
where
    // The wrapped service.
    S: Service<Req>,
    // How the request is read, the end classified, and a response made.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<Bulkhead, P>>;
    type Error = P::Error;
    type Future = GuardFuture<S::Future, Bulkhead, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let shared = &self.guarded.guards().shared;
        let reservation = self.reservation.get_or_insert_default();
        // Before the wrapped service: a handle that waits for a slot holds nothing of it.
        ready!(reservation.poll(shared, cx));
        let ready = ready!(self.guarded.poll_inner(cx));
        if ready.is_err() {
            self.reservation = None;
        }
        Poll::Ready(ready)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let reserved = self.reservation.as_mut().and_then(|it| it.take());
        // A handle that was not polled ready has none.
        let result = match reserved {
            Some(permit) => Ok(permit),
            None => self.shared().try_acquire(),
        };
        self.reservation = None;
        self.guarded.call_inner(request, admit(result))
    }
}

/// A clone shares the bulkhead, and has neither a slot nor readiness.
impl<S: Clone, P, M> Clone for BulkheadService<S, P, M> {
    #[inline]
    fn clone(&self) -> Self {
        BulkheadService::new(self.guarded.clone())
    }
}

impl<S: fmt::Debug, P, M> fmt::Debug for BulkheadService<S, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadService")
            .field("inner", self.get_ref())
            .field("bulkhead", self.guarded.guards())
            .finish_non_exhaustive()
    }
}

/// The future of a call whose slot was free, or was waited for.
pub(super) type CalledFuture<S, P, Req> = GuardFuture<FailFastFuture<S, Req>, Bulkhead, P>;
