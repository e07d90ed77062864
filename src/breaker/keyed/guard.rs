use std::{fmt, sync::Arc};

use http::Request;

use super::{KeyedBreaker, authority_key};
use crate::{
    breaker::{CircuitBreaker, permit::BreakerPermit},
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, GuardLayerBuilder, Head, ReadySignal, Rejects},
    protocol::upload::Upload,
};

/// The breakers of many keys as a guard; made by [`KeyedBreaker::keyed_by`] and its siblings.
///
/// `F` finds the breaker of a request; `()` takes that of its authority. A service that fails to become ready does not count:
/// there is no request yet, and so no key.
///
/// For the same reason, services of its [`layer`](Self::layer) are ready while the circuit of any key is open: a request is
/// rejected or admitted by its key first, and waits for the wrapped service then, inside of its future. Use
/// [`pass_through`](crate::GuardLayer::pass_through) where callers must feel the back pressure of that service all the time.
pub struct KeyedGuard<K, F = ()> {
    breakers: KeyedBreaker<K>,
    find: Arc<F>,
}

impl<K, F> KeyedGuard<K, F> {
    pub(super) fn new(breakers: &KeyedBreaker<K>, find: F) -> Self {
        KeyedGuard {
            breakers: breakers.clone(),
            find: Arc::new(find),
        }
    }

    /// Returns the breakers as a layer, for the protocol that is named next.
    ///
    /// ```
    /// use tower_keep::breaker::KeyedBreaker;
    ///
    /// let shards: KeyedBreaker<u32> = KeyedBreaker::new("shards");
    /// let layer = shards.keyed_by(|row: &u32| Some(row % 16)).layer().any();
    /// # let _ = layer;
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<KeyedGuard<K, F>> {
        GuardLayerBuilder(self.clone())
    }
}

impl<K, F> Clone for KeyedGuard<K, F> {
    fn clone(&self) -> Self {
        KeyedGuard {
            breakers: self.breakers.clone(),
            find: self.find.clone(),
        }
    }
}

impl<K, F> fmt::Debug for KeyedGuard<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedGuard")
            .field("breakers", &self.breakers)
            .finish_non_exhaustive()
    }
}

impl<K, F> Guard for KeyedGuard<K, F> {
    /// The permit with its breaker, so that a call completes in the one that admitted it. `None` for a request without key.
    type Permit = Option<(CircuitBreaker, BreakerPermit)>;

    /// Returns `Some` while the circuit of any key is open: which key a call has is not known yet.
    #[inline]
    fn rejects(&self, clock: &CallClock) -> Rejects {
        match self.rejects_any(clock) {
            true => Rejects::Some,
            false => Rejects::None,
        }
    }

    #[inline]
    fn rejects_any(&self, clock: &CallClock) -> bool {
        self.breakers.shared.metrics.rejects_any(clock)
    }

    fn ready_signals(&self, add: &mut dyn FnMut(&ReadySignal)) {
        if let Some(signal) = self.breakers.shared.metrics.ready_signal() {
            add(signal);
        }
    }

    fn on_head(&self, permit: &mut Self::Permit, head: &mut Head<'_>) {
        if let Some((breaker, permit)) = permit {
            breaker.shared.on_head(permit, head);
        }
    }

    fn on_end(&self, permit: Self::Permit, end: &CallEnd<'_>) {
        if let Some((breaker, permit)) = permit {
            breaker.shared.complete(permit, end, None);
        }
    }

    fn on_upload(&self, permit: &mut Self::Permit, upload: &Upload) {
        if let Some((breaker, permit)) = permit {
            breaker.shared.core.watch_upload(permit, upload);
        }
    }
}

impl<Req, K, F> Admit<Req> for KeyedGuard<K, F>
where
    F: Fn(&KeyedBreaker<K>, &Req) -> Option<CircuitBreaker>,
{
    fn admit(&self, request: &mut Req, clock: &CallClock) -> Result<Self::Permit, Rejection> {
        admit((self.find)(&self.breakers, request), clock)
    }
}

impl<B> Admit<Request<B>> for KeyedGuard<String> {
    fn admit(
        &self,
        request: &mut Request<B>,
        clock: &CallClock,
    ) -> Result<Self::Permit, Rejection> {
        let authority = authority_key::from_request(request);
        admit(authority.map(|key| self.breakers.get(&*key)), clock)
    }
}

fn admit(
    breaker: Option<CircuitBreaker>,
    clock: &CallClock,
) -> Result<Option<(CircuitBreaker, BreakerPermit)>, Rejection> {
    let Some(breaker) = breaker else {
        return Ok(None);
    };
    let permit = breaker.shared.admit(clock)?;
    Ok(Some((breaker, permit)))
}
