use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use tower_service::Service;

use super::{
    Admit, BackPressure, Guard, GuardFuture, Held, InGuards, OpenFirst, PassThrough, Refuses,
    future::ONCE,
    held::Shared,
    readiness::{GuardWait, WaitTime, refuses, refuses_any},
    when_ready::OpenFirstFuture,
};
use crate::{
    call::{Inside, quietly},
    protocol::{Notes, Protocol, Read, Respond},
};

/// Number of times that guards are asked again whose moment has come.
const ROUNDS: usize = 3;

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
pub struct Guarded<S, G, P, M = OpenFirst> {
    inner: S,
    shared: Arc<Shared<G, P>>,
    wait: GuardWait,
    wait_time: WaitTime,
    inner_state: InnerState,
    mode: PhantomData<fn() -> M>,
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    pub(super) fn new(inner: S, shared: Arc<Shared<G, P>>) -> Self {
        Guarded {
            inner,
            shared,
            wait: GuardWait::default(),
            wait_time: WaitTime::No,
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
        if self.shared.wants.readiness {
            self.wait_time.note(ready.is_ready());
        }
        self.inner_state = match ready {
            Poll::Pending => InnerState::Waiting,
            Poll::Ready(Ok(())) => InnerState::Ready,
            Poll::Ready(Err(_)) => InnerState::Idle,
        };
        ready.map_err(|error| {
            quietly(|| self.shared.guards.unready());
            P::error(error)
        })
    }

    /// Asks the guards. What comes of it lies in the future from the start: a call is large, and copies are felt.
    #[inline]
    fn admit<F, Req>(&mut self, inside: &Inside, request: &mut Option<Req>) -> GuardFuture<F, G, P>
    where
        G: Admit<Req>,
        P: Read<Req>,
    {
        let shared = &self.shared;
        let request = request.as_mut().expect(ONCE);
        let notes = shared.protocol.read(request);
        let now = notes.moment();
        let admission = shared.guards.admit_partly(request, &now, inside);
        let wait = shared.wants.readiness.then(|| self.wait_time.take());
        let began = Held::<G, P>::began(&notes, &now);
        let held = Held::new(self.shared.clone(), admission.permit, notes, began, wait);
        GuardFuture::new(held, admission.refused)
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P, OpenFirst>
where
    // The wrapped service.
    S: Service<Req> + Clone,
    // What may refuse the request.
    G: Admit<Req>,
    // How the request is read, and how its end is judged and answered.
    P: Read<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<InGuards<G, P>>;
    type Error = P::Error;
    type Future = GuardFuture<OpenFirstFuture<S, Req>, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.steps_aside() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.poll_inner(cx);
        if ready.is_pending() {
            self.wait.register(&*self.shared.guards, cx);
            if self.steps_aside() {
                return Poll::Ready(Ok(()));
            }
        } else {
            self.wait.clear();
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let inside = &Inside::call();
        let request = &mut Some(request);
        let mut future = self.admit(inside, request);
        future.show_upload(inside);
        if future.is_refused() {
            drop_refused(inside, request);
            self.wait.clear();
            self.leave_inner();
        } else if std::mem::take(&mut self.inner_state) == InnerState::Ready {
            future.call(inside, request, |request| {
                OpenFirstFuture::calling(self.inner.call(request))
            });
        } else {
            self.call_later(inside, &mut future, request);
        }
        future
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, OpenFirst> {
    /// Gives back what it holds if the guards refuse any call, and returns whether they do.
    #[inline]
    fn steps_aside(&mut self) -> bool {
        let refuses = refuses_any(&*self.shared.guards);
        if refuses {
            self.wait.clear();
            self.leave_inner();
        }
        refuses
    }
}

impl<S: Clone, G: Guard, P: Protocol> Guarded<S, G, P, OpenFirst> {
    /// Leaves the call to the future, which waits until the wrapped service is ready for it.
    #[cold]
    fn call_later<Req>(
        &mut self,
        inside: &Inside,
        future: &mut GuardFuture<OpenFirstFuture<S, Req>, G, P>,
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
            OpenFirstFuture::waiting(waiting, request, made.clone())
        });
    }
}

impl<S: Clone, G, P, M> Guarded<S, G, P, M> {
    /// Gives back what this handle has taken from the wrapped service, or its place in a queue there: nobody would poll
    /// it when its turn comes.
    #[inline]
    fn leave_inner(&mut self) {
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
    P: Read<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<InGuards<G, P>>;
    type Error = P::Error;
    type Future = GuardFuture<S::Future, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.is_held_up(cx) {
            return Poll::Pending;
        }
        let ready = self.poll_inner(cx);
        if ready.is_ready() {
            self.wait.clear();
            return ready;
        }
        // The guards may begin to refuse while it waits, and its place in the queue must not wait with it.
        self.wait.register(&*self.shared.guards, cx);
        self.is_held_up(cx);
        Poll::Pending
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let future = self.call_inner(request);
        if future.is_refused() {
            self.leave_inner();
        }
        self.inner_state = InnerState::Idle;
        future
    }
}

impl<S: Clone, G: Guard, P> Guarded<S, G, P, BackPressure> {
    /// Gives back what it holds if the guards refuse every call, and returns whether they do.
    #[inline]
    fn is_held_up(&mut self, cx: &mut Context<'_>) -> bool {
        let held_up = refuses(&*self.shared.guards).all() && self.poll_guards(cx).is_pending();
        if held_up {
            self.leave_inner();
        }
        held_up
    }

    /// Ready once the guards do not refuse every call any more.
    #[cold]
    fn poll_guards(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.register(&*self.shared.guards, cx);
        // Asked after that: they may change their mind at any time. A guard whose moments are always over already
        // decides when the call is made.
        for _ in 0..ROUNDS {
            match refuses(&*self.shared.guards) {
                Refuses::Until(until) => ready!(self.wait.poll_until(until, cx)),
                Refuses::Yes => return Poll::Pending,
                Refuses::No | Refuses::Some => break,
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
    P: Read<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<InGuards<G, P>>;
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
fn drop_refused<Req>(inside: &Inside, request: &mut Option<Req>) {
    inside.quietly(|| *request = None);
}

impl<S, G, P, M> Guarded<S, G, P, M> {
    /// Calls the wrapped service, which is ready, unless the guards refuse.
    #[inline]
    fn call_inner<Req>(&mut self, request: Req) -> GuardFuture<S::Future, G, P>
    where
        S: Service<Req>,
        G: Admit<Req>,
        P: Read<Req>,
    {
        let inside = &Inside::call();
        let request = &mut Some(request);
        let mut future = self.admit(inside, request);
        future.show_upload(inside);
        if future.is_refused() {
            drop_refused(inside, request);
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
/// let service = tower_keep::guard::checked::<u32, _>(service);
/// # let _ = service;
/// ```
pub fn checked<Req, S: Service<Req>>(service: S) -> S {
    service
}
