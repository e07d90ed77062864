use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use tower_service::Service;

use super::{
    Admit, BackPressure, FailFast, Guard, GuardFuture, GuardStack, InFlightCall, PassThrough,
    Rejects, WrapGuarded,
    oneshot::FailFastFuture,
    readiness::{ReadyWait, ReadyWaiter, ask_rejects, ask_rejects_any},
};
use crate::{
    call::{CallClock, CatchScope, Rejection, catch_hook, catch_nested_hook},
    protocol::{Protocol, ReadRequest, Respond},
    util::sharded_arc::ShardedArc,
};

/// The number of times that guards are asked again whose time has come.
const MAX_RECHECKS: usize = 3;

const CALLED_ONCE: &str = "a request is sent once";

/// A service inside its guards. Made by [`GuardLayer`](super::GuardLayer).
pub struct Guarded<S, G, P, M = FailFast> {
    inner: S,
    stack: ShardedArc<GuardStack<G, P>>,
    ready_waiter: ReadyWaiter,
    ready_wait: ReadyWait,
    inner_state: InnerState,
    mode: PhantomData<fn() -> M>,
}

/// The state of the handle of the wrapped service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InnerState {
    /// Holds nothing.
    #[default]
    Idle,
    /// May hold a place in a queue: it was polled, and was not ready.
    Waiting,
    /// Holds a slot: it was polled ready, and is still to be called.
    Ready,
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    pub(super) fn new(inner: S, stack: ShardedArc<GuardStack<G, P>>) -> Self {
        Guarded {
            inner,
            stack,
            ready_waiter: ReadyWaiter::default(),
            ready_wait: ReadyWait::None,
            inner_state: InnerState::Idle,
            mode: PhantomData,
        }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    #[inline]
    pub(crate) fn guards(&self) -> &G {
        &self.stack.guards
    }

    #[inline]
    pub(crate) fn protocol(&self) -> &P {
        &self.stack.protocol
    }

    /// Polls the wrapped service, without asking the guards.
    #[inline]
    pub(crate) fn poll_inner<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>>
    where
        S: Service<Req>,
        G: Guard,
        P: Respond<S::Response, S::Error>,
    {
        self.poll_inner_untold(cx).map_err(|error| {
            self.tell_not_ready();
            P::convert_error(error)
        })
    }

    /// Polls the wrapped service. If it fails, the guards are not told: the caller does so, or lets the call fail.
    #[inline]
    pub(crate) fn poll_inner_untold<Req>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        let ready = self.inner.poll_ready(cx);
        if self.stack.measure.readiness_wait {
            self.ready_wait.on_poll_ready(ready.is_ready());
        }
        self.inner_state = match ready {
            Poll::Pending => InnerState::Waiting,
            Poll::Ready(Ok(())) => InnerState::Ready,
            Poll::Ready(Err(_)) => InnerState::Idle,
        };
        ready
    }

    /// Tells the guards that the wrapped service has failed before it was called.
    pub(crate) fn tell_not_ready(&self)
    where
        G: Guard,
    {
        catch_hook(|| self.stack.guards.on_not_ready());
    }

    /// Reads the request. The guards are asked by the future, where it stays: it would be copied on its way from here.
    #[inline]
    fn new_call<F, Req>(&mut self, request: &mut Req) -> GuardFuture<F, G, P>
    where
        G: Guard,
        P: ReadRequest<Req>,
    {
        let stack = &self.stack;
        let exchange = stack.protocol.read(request);
        let wait = stack.measure.readiness_wait.then(|| self.ready_wait.take());
        GuardFuture::new(InFlightCall::new(stack.reference(), exchange, wait))
    }

    /// Rejects a call for which there is no service.
    #[cfg(feature = "balance")]
    #[cold]
    pub(crate) fn reject<F, Req>(
        &mut self,
        mut request: Req,
        rejection: Rejection,
    ) -> GuardFuture<F, G, P>
    where
        G: Guard,
        P: ReadRequest<Req>,
    {
        let _scope = CatchScope::enter_call();
        let mut future = self.new_call(&mut request);
        future.admit(|_, _, _| Some(rejection));
        drop_rejected(&mut Some(request));
        future
    }

    /// Calls the wrapped service, which is ready, unless `admit` rejects the call.
    #[inline]
    pub(crate) fn call_inner<Req>(
        &mut self,
        mut request: Req,
        admit: impl FnOnce(&G, &mut Req, &CallClock, &mut Option<G::Permit>) -> Option<Rejection>,
    ) -> GuardFuture<S::Future, G, P>
    where
        S: Service<Req>,
        G: Guard,
        P: ReadRequest<Req>,
    {
        let _scope = CatchScope::enter_call();
        let mut future = self.new_call(&mut request);
        future.admit(|guards, clock, permit| admit(guards, &mut request, clock, permit));
        // Taken where it is sent: a closure that owned the request would copy it on its way.
        let request = &mut Some(request);
        if future.is_rejected() {
            drop_rejected(request);
        } else {
            future.call_service(|| self.inner.call(request.take().expect(CALLED_ONCE)));
        }
        future
    }

    /// Gives back what this handle has taken from the wrapped service, or its place in a queue there: nobody would poll
    /// it when its turn comes.
    #[inline]
    pub(crate) fn release_inner(&mut self)
    where
        S: Clone,
    {
        if std::mem::take(&mut self.inner_state) != InnerState::Idle {
            let spare = self.inner.clone();
            self.inner = spare;
        }
    }
}

/// Drops a request that goes nowhere. A panic of that drop is counted: passed on, it would leave the future undropped, and
/// with it the permits of the guards.
fn drop_rejected<Req>(request: &mut Option<Req>) {
    catch_nested_hook(|| *request = None);
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, FailFast>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What may reject the request.
    G: Admit<Req>,
    // How the request is read, the end classified, and a response made.
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
            self.ready_waiter.register(&*self.stack.guards, cx);
            if self.yield_if_rejecting() {
                return Poll::Ready(Ok(()));
            }
        } else {
            self.ready_waiter.clear();
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        self.call_admitted(request, G::try_admit)
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, FailFast> {
    /// Gives back what it holds if the guards reject any call, and returns whether they do.
    #[inline]
    fn yield_if_rejecting(&mut self) -> bool {
        let rejects = ask_rejects_any(&*self.stack.guards);
        if rejects {
            self.ready_waiter.clear();
            self.release_inner();
        }
        rejects
    }
}

impl<S: Clone, G: Guard, P: Protocol> Guarded<S, G, P, FailFast> {
    /// Calls the wrapped service at once, or in the future when it is ready, unless `admit` rejects the call.
    #[inline]
    pub(crate) fn call_admitted<Req>(
        &mut self,
        mut request: Req,
        admit: impl FnOnce(&G, &mut Req, &CallClock, &mut Option<G::Permit>) -> Option<Rejection>,
    ) -> GuardFuture<FailFastFuture<S, Req>, G, P>
    where
        S: Service<Req>,
        P: ReadRequest<Req>,
    {
        let _scope = CatchScope::enter_call();
        let mut future = self.new_call(&mut request);
        future.admit(|guards, clock, permit| admit(guards, &mut request, clock, permit));
        // Taken where it is sent: a closure that owned the request would copy it on its way.
        let request = &mut Some(request);
        if future.is_rejected() {
            drop_rejected(request);
            self.ready_waiter.clear();
            self.release_inner();
        } else if std::mem::take(&mut self.inner_state) == InnerState::Ready {
            future.call_service(|| {
                let request = request.take().expect(CALLED_ONCE);
                FailFastFuture::called(self.inner.call(request))
            });
        } else {
            self.call_when_ready(&mut future, request);
        }
        future
    }

    /// Leaves the call to the future, which waits until the wrapped service is ready for it.
    #[cold]
    fn call_when_ready<Req>(
        &mut self,
        future: &mut GuardFuture<FailFastFuture<S, Req>, G, P>,
        request: &mut Option<Req>,
    ) where
        S: Service<Req>,
    {
        let called = Arc::<AtomicBool>::default();
        future.set_called_flag(called.clone());
        future.call_service(|| {
            // The handle that was polled waits; the spare is polled before it is used.
            let spare = self.inner.clone();
            let waiting = std::mem::replace(&mut self.inner, spare);
            let request = request.take().expect(CALLED_ONCE);
            FailFastFuture::waiting(waiting, request, called)
        });
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, BackPressure>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What may reject the request.
    G: Admit<Req>,
    // How the request is read, the end classified, and a response made.
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
            self.ready_waiter.clear();
            return ready;
        }
        // The guards may begin to reject while it waits, and its place in the queue must not wait with it.
        self.ready_waiter.register(&*self.stack.guards, cx);
        self.yield_if_rejecting_all(cx);
        Poll::Pending
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let future = self.call_inner(request, G::try_admit);
        if future.is_rejected() {
            self.release_inner();
        }
        self.inner_state = InnerState::Idle;
        future
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, BackPressure> {
    /// Gives back what it holds if the guards reject every call, and returns whether they do.
    #[inline]
    fn yield_if_rejecting_all(&mut self, cx: &mut Context<'_>) -> bool {
        let held_up =
            ask_rejects(&*self.stack.guards).is_all() && self.poll_guards(cx).is_pending();
        if held_up {
            self.release_inner();
        }
        held_up
    }

    /// Returns ready once the guards no longer reject every call.
    #[cold]
    fn poll_guards(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready_waiter.register(&*self.stack.guards, cx);
        // Asked after that: they may change their mind at any time. A guard whose moments are always over already
        // decides when the call is made.
        for _ in 0..MAX_RECHECKS {
            match ask_rejects(&*self.stack.guards) {
                Rejects::AllUntil(until) => ready!(self.ready_waiter.poll_until(until, cx)),
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
    // What may reject the request.
    G: Admit<Req>,
    // How the request is read, the end classified, and a response made.
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
        self.call_inner(request, G::try_admit)
    }
}

/// A clone shares the guards and keeps no readiness: that belongs to the handle that was polled.
impl<S: Clone, G, P, M> Clone for Guarded<S, G, P, M> {
    #[inline]
    fn clone(&self) -> Self {
        Guarded::new(self.inner.clone(), self.stack.clone())
    }
}

impl<S: fmt::Debug, G, P: Protocol + fmt::Debug, M> fmt::Debug for Guarded<S, G, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("inner", &self.inner)
            .field("protocol", &self.stack.protocol)
            .finish_non_exhaustive()
    }
}

/// Gives the service back, and says at compile time why it is not a `Service<Req>`.
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
