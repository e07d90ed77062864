use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use tower_service::Service;

use super::{
    Admit, BackPressure, FailFast, Guard, GuardFuture, InFlightCall, PassThrough, Rejects,
    WrapGuarded,
    future::CALLED_ONCE,
    in_flight::GuardStack,
    oneshot::FailFastFuture,
    readiness::{ReadyWait, ReadyWaiter, ask_rejects, ask_rejects_any},
};
use crate::{
    call::{CatchScope, catch_hook},
    protocol::{CallState, Protocol, ReadRequest, Respond},
};

/// Number of times that guards are asked again whose moment has come.
const MAX_RECHECKS: usize = 3;

/// Says what the handle of the wrapped service holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InnerState {
    /// Nothing.
    #[default]
    Idle,
    /// Perhaps a place in a queue: it was polled, and was not ready.
    Waiting,
    /// A slot: it was polled ready, and is still to be called.
    Ready,
}

/// A service inside its guards. Made by [`GuardLayer`](super::GuardLayer).
pub struct Guarded<S, G, P, M = FailFast> {
    inner: S,
    shared: Arc<GuardStack<G, P>>,
    wait: ReadyWaiter,
    wait_time: ReadyWait,
    inner_state: InnerState,
    mode: PhantomData<fn() -> M>,
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    pub(super) fn new(inner: S, shared: Arc<GuardStack<G, P>>) -> Self {
        Guarded {
            inner,
            shared,
            wait: ReadyWaiter::default(),
            wait_time: ReadyWait::None,
            inner_state: InnerState::Idle,
            mode: PhantomData,
        }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    #[inline]
    fn poll_inner<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>>
    where
        S: Service<Req>,
        G: Admit<Req>,
        P: Respond<S::Response, S::Error>,
    {
        let ready = self.inner.poll_ready(cx);
        if self.shared.measure.readiness_wait {
            self.wait_time.on_poll_ready(ready.is_ready());
        }
        self.inner_state = match ready {
            Poll::Pending => InnerState::Waiting,
            Poll::Ready(Ok(())) => InnerState::Ready,
            Poll::Ready(Err(_)) => InnerState::Idle,
        };
        ready.map_err(|error| {
            catch_hook(|| self.shared.guards.on_not_ready());
            P::convert_error(error)
        })
    }

    /// Asks the guards. What comes of it lies in the future from the start: a call is large, and copies are felt.
    #[inline]
    fn admit<F, Req>(
        &mut self,
        inside: &CatchScope,
        request: &mut Option<Req>,
    ) -> GuardFuture<F, G, P>
    where
        G: Admit<Req>,
        P: ReadRequest<Req>,
    {
        let shared = &self.shared;
        let request = request.as_mut().expect(CALLED_ONCE);
        let notes = shared.protocol.read(request);
        let now = notes.clock();
        let admission = shared.guards.try_admit(request, &now, inside);
        let wait = shared.measure.readiness_wait.then(|| self.wait_time.take());
        let began = InFlightCall::<G, P>::admission_time(&notes, &now);
        let held = InFlightCall::new(self.shared.clone(), admission.permit, notes, began, wait);
        GuardFuture::new(held, admission.rejection)
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, FailFast>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What may refuse the request.
    G: Admit<Req>,
    // How the request is read, and how its end is judged and answered.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<G, P>>;
    type Error = P::Error;
    type Future = GuardFuture<FailFastFuture<S, Req>, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.yield_if_rejecting() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.poll_inner(cx);
        if ready.is_pending() {
            self.wait.register(&*self.shared.guards, cx);
            if self.yield_if_rejecting() {
                return Poll::Ready(Ok(()));
            }
        } else {
            self.wait.clear();
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let inside = &CatchScope::enter_call();
        let request = &mut Some(request);
        let mut future = self.admit(inside, request);
        future.show_upload(inside);
        if future.is_refused() {
            drop_rejected(inside, request);
            self.wait.clear();
            self.release_inner();
        } else if std::mem::take(&mut self.inner_state) == InnerState::Ready {
            future.call(inside, request, |request| {
                FailFastFuture::called(self.inner.call(request))
            });
        } else {
            self.call_when_ready(inside, &mut future, request);
        }
        future
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, FailFast> {
    /// Gives back what it holds if the guards refuse any call, and returns whether they do.
    #[inline]
    fn yield_if_rejecting(&mut self) -> bool {
        let refuses = ask_rejects_any(&*self.shared.guards);
        if refuses {
            self.wait.clear();
            self.release_inner();
        }
        refuses
    }
}

impl<S: Clone, G: Guard, P: Protocol> Guarded<S, G, P, FailFast> {
    /// Leaves the call to the future, which waits until the wrapped service is ready for it.
    #[cold]
    fn call_when_ready<Req>(
        &mut self,
        inside: &CatchScope,
        future: &mut GuardFuture<FailFastFuture<S, Req>, G, P>,
        request: &mut Option<Req>,
    ) where
        S: Service<Req>,
    {
        let made = Arc::<AtomicBool>::default();
        future.made_when(made.clone());
        future.call(inside, request, |request| {
            // The handle that was polled waits; the spare is polled before it is used.
            let spare = self.inner.clone();
            let waiting = std::mem::replace(&mut self.inner, spare);
            FailFastFuture::waiting(waiting, request, made.clone())
        });
    }
}

impl<S: Clone, G, P, M> Guarded<S, G, P, M> {
    /// Gives back what this handle has taken from the wrapped service, or its place in a queue there: nobody would poll
    /// it when its turn comes.
    #[inline]
    fn release_inner(&mut self) {
        if std::mem::take(&mut self.inner_state) != InnerState::Idle {
            let spare = self.inner.clone();
            self.inner = spare;
        }
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, BackPressure>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What may refuse the request.
    G: Admit<Req>,
    // How the request is read, and how its end is judged and answered.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<G, P>>;
    type Error = P::Error;
    type Future = GuardFuture<S::Future, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.yield_if_rejecting_all(cx) {
            return Poll::Pending;
        }
        let ready = self.poll_inner(cx);
        if ready.is_ready() {
            self.wait.clear();
            return ready;
        }
        // The guards may begin to refuse while it waits, and its place in the queue must not wait with it.
        self.wait.register(&*self.shared.guards, cx);
        self.yield_if_rejecting_all(cx);
        Poll::Pending
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let future = self.call_inner(request);
        if future.is_refused() {
            self.release_inner();
        }
        self.inner_state = InnerState::Idle;
        future
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, BackPressure> {
    /// Gives back what it holds if the guards refuse every call, and returns whether they do.
    #[inline]
    fn yield_if_rejecting_all(&mut self, cx: &mut Context<'_>) -> bool {
        let held_up =
            ask_rejects(&*self.shared.guards).is_all() && self.poll_guards(cx).is_pending();
        if held_up {
            self.release_inner();
        }
        held_up
    }

    /// Ready once the guards do not refuse every call any more.
    #[cold]
    fn poll_guards(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.register(&*self.shared.guards, cx);
        // Asked after that: they may change their mind at any time. A guard whose moments are always over already
        // decides when the call is made.
        for _ in 0..MAX_RECHECKS {
            match ask_rejects(&*self.shared.guards) {
                Rejects::AllUntil(until) => ready!(self.wait.poll_until(until, cx)),
                Rejects::All => return Poll::Pending,
                Rejects::None | Rejects::Some => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, PassThrough>
where
    // The wrapped service.
    S: Service<Req>,
    // What may refuse the request.
    G: Admit<Req>,
    // How the request is read, and how its end is judged and answered.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<G, P>>;
    type Error = P::Error;
    type Future = GuardFuture<S::Future, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_inner(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        self.call_inner(request)
    }
}

/// Drops a request that goes nowhere. One that panicked once the future lies where it is returned to would leave that one
/// undropped, and with it what the guards hold.
fn drop_rejected<Req>(inside: &CatchScope, request: &mut Option<Req>) {
    inside.catch_hook(|| *request = None);
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    /// Calls the wrapped service, which is ready, unless the guards refuse.
    #[inline]
    fn call_inner<Req>(&mut self, request: Req) -> GuardFuture<S::Future, G, P>
    where
        S: Service<Req>,
        G: Admit<Req>,
        P: ReadRequest<Req>,
    {
        let inside = &CatchScope::enter_call();
        let request = &mut Some(request);
        let mut future = self.admit(inside, request);
        future.show_upload(inside);
        if future.is_refused() {
            drop_rejected(inside, request);
        } else {
            future.call(inside, request, |request| self.inner.call(request));
        }
        future
    }
}

/// A clone shares the guards and keeps no readiness: that belongs to the handle that was polled.
impl<S: Clone, G, P, M> Clone for Guarded<S, G, P, M> {
    #[inline]
    fn clone(&self) -> Self {
        Guarded::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, G, P: Protocol + fmt::Debug, M> fmt::Debug for Guarded<S, G, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("inner", &self.inner)
            .field("protocol", &self.shared.protocol)
            .finish_non_exhaustive()
    }
}

/// Gives the service back, and says at compile time why it is none for `Req`.
///
/// Compilers hide the true cause behind `ServiceExt` and `Router::layer`; this call shows it.
///
/// ```
/// let service = tower::service_fn(|n: u32| async move { Ok::<_, std::io::Error>(n) });
/// let service = tower_keep::guard::assert_service::<u32, _>(service);
/// # let _ = service;
/// ```
pub fn assert_service<Req, S: Service<Req>>(service: S) -> S {
    service
}
