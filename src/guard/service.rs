use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tower_service::Service;

use super::{Admit, Answer, GuardFuture, Held, held::Shared};
use crate::{
    call::{Inside, Moment, quietly},
    protocol::{Protocol, Read},
};

/// A service inside its guards. Made by [`GuardLayer`](super::GuardLayer).
pub struct Guarded<S, G, P> {
    inner: S,
    shared: Arc<Shared<G, P>>,
    waiting: Waiting,
}

/// How long this handle has waited for readiness; only kept if a guard wants it.
#[derive(Clone, Copy, Debug, Default)]
enum Waiting {
    #[default]
    No,
    Since(Instant),
    For(Duration),
}

impl<S, G, P> Guarded<S, G, P> {
    pub(super) fn new(inner: S, shared: Arc<Shared<G, P>>) -> Self {
        Guarded {
            inner,
            shared,
            waiting: Waiting::No,
        }
    }

    /// The wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    fn note_wait(&mut self, ready: bool) {
        self.waiting = match (self.waiting, ready) {
            (Waiting::No, false) => Waiting::Since(Instant::now()),
            (Waiting::Since(start), true) => Waiting::For(start.elapsed()),
            (waiting, _) => waiting,
        };
    }

    fn take_wait(&mut self) -> Option<Duration> {
        match std::mem::take(&mut self.waiting) {
            Waiting::For(wait) => Some(wait),
            _ => Some(Duration::ZERO),
        }
    }
}

impl<S, G, P, Req> Service<Req> for Guarded<S, G, P>
where
    // The wrapped service.
    S: Service<Req>,
    // What may refuse the request.
    G: Admit<Req>,
    // How the request is read, and how its end is judged and answered.
    P: Read<Req> + Answer<S::Response, S::Error>,
{
    type Response = P::Response<G>;
    type Error = P::Error;
    type Future = GuardFuture<S::Future, G, P>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = self.inner.poll_ready(cx);
        if self.shared.wants.readiness {
            self.note_wait(ready.is_ready());
        }
        ready.map_err(|error| {
            quietly(|| self.shared.guards.unready());
            P::unready(error)
        })
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let _inside = Inside::call();
        let now = Moment::default();
        let notes = self.shared.protocol.read(&request);
        let admission = self.shared.guards.admit_partly(&mut request, &now);
        let mut held = Held::new(self.shared.clone(), admission.permit, notes, &now);
        if self.shared.wants.readiness {
            held.waited(self.take_wait());
        }
        if let Some(why) = admission.refused {
            return GuardFuture::refused(held, why);
        }
        let mut request = Some(request);
        GuardFuture::calling(held, || {
            let request = request.take().expect("a service is called once");
            self.inner.call(request)
        })
    }
}

/// A clone shares the guards and keeps no readiness: that belongs to the handle that was polled.
impl<S: Clone, G, P> Clone for Guarded<S, G, P> {
    #[inline]
    fn clone(&self) -> Self {
        Guarded::new(self.inner.clone(), self.shared.clone())
    }
}

impl<S: fmt::Debug, G, P: Protocol + fmt::Debug> fmt::Debug for Guarded<S, G, P> {
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
