use std::{
    fmt,
    hash::Hash,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use tokio::time::Instant;
use tower_service::Service;

use super::{
    Balance, EndpointGuard, Endpoints,
    endpoint_table::EndpointTable,
    pick::{Candidate, pick},
    polled::{Polled, Readiness},
    pool::{Pool, PoolEntry},
};
use crate::{
    call::Rejection,
    guard::{FailFastFuture, GuardFuture, Guarded, WrapGuarded},
    protocol::{ReadRequest, Respond},
};

/// A service that sends each call to one of several endpoints. Made by [`Balance`].
///
/// It is always ready: a call that finds no endpoint ready waits for its own in its future.
///
/// # Clones
///
/// Clones share the endpoints.
pub struct Balancer<K, S, P> {
    pool: Arc<Pool<K, S, P>>,
}

impl<K, S, P> Balancer<K, S, P> {
    pub(super) fn new(pool: Pool<K, S, P>) -> Self {
        Balancer {
            pool: Arc::new(pool),
        }
    }

    /// Returns the handle.
    pub fn balance(&self) -> Balance {
        Balance {
            shared: self.pool.shared.clone(),
        }
    }
}

impl<K, S, P> Balancer<K, S, P>
where
    // Seen in logs and statistics.
    K: Hash + Eq + Clone + fmt::Display + Send + Sync + 'static,
    // The service of an endpoint, which all calls clone.
    S: Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
{
    /// Returns the endpoints, to add and remove some.
    pub fn endpoints(&self) -> Endpoints<K> {
        let table: Weak<Pool<K, S, P>> = Arc::downgrade(&self.pool);
        let table: Weak<dyn EndpointTable<K>> = table;
        Endpoints::new(table, self.pool.alive.subscribe())
    }
}

impl<K, S, P> Balancer<K, S, P> {
    /// Returns the service of the endpoint of a call; `None` if there is no endpoint. One that is not ready leaves the call to
    /// another one that is.
    fn choose<Req>(&self, now: Instant) -> Option<Guarded<S, EndpointGuard, P>>
    where
        S: Service<Req> + Clone,
    {
        let entries = self.pool.entries();
        let is_retry =
            crate::Context::peek(|context| context.is_some_and(|context| context.attempt() > 1));
        let first = self.pick(&entries, None, is_retry, now)?;
        let one = Polled::new::<Req>(&entries[first].service);
        if one.readiness == Readiness::Ready {
            return Some(one.take());
        }
        let Some(other) = self.pick(&entries, Some(first), is_retry, now) else {
            return Some(one.take());
        };
        let other = Polled::new::<Req>(&entries[other].service);
        let (chosen, left) = match other.readiness > one.readiness {
            true => (other, one),
            false => (one, other),
        };
        left.leave();
        Some(chosen.take())
    }

    fn pick(
        &self,
        entries: &[Arc<PoolEntry<K, S, P>>],
        other_than: Option<usize>,
        is_retry: bool,
        now: Instant,
    ) -> Option<usize> {
        let random = self.pool.shared.random();
        let look = |index: usize| match entries[index].endpoint() {
            Some(endpoint) if Some(index) != other_than => endpoint.candidate(now),
            _ => Candidate::Out,
        };
        let picked = pick(entries.len(), random, is_retry, look);
        // None is in rotation, although the last one is never ejected: endpoints of another balancer of the handle are.
        let any = || entries.first().map(|_| random as usize % entries.len());
        picked.or_else(|| other_than.is_none().then(any).flatten())
    }
}

impl<K, S, P, Req> Service<Req> for Balancer<K, S, P>
where
    // The service of an endpoint.
    S: Service<Req> + Clone,
    // How the request is read, the end classified, and a response made.
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Response = P::Response<WrapGuarded<EndpointGuard, P>>;
    type Error = P::Error;
    type Future = GuardFuture<FailFastFuture<S, Req>, EndpointGuard, P>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.pool.shared.report_to_new_recorder();
        let now = Instant::now();
        let Some(mut service) = self.choose::<Req>(now) else {
            let shared = &self.pool.shared;
            shared.metrics.count_rejection();
            let rejection = Rejection::overloaded(shared.name().clone());
            let rejection = rejection.with_reason("there is no endpoint");
            return self.pool.lobby.clone().reject(request, rejection);
        };
        service.call_admitted(request, |guard, _, clock, permit| {
            *permit = guard.begin(clock, now);
            None
        })
    }
}

impl<K, S, P> Clone for Balancer<K, S, P> {
    fn clone(&self) -> Self {
        Balancer {
            pool: self.pool.clone(),
        }
    }
}

impl<K, S, P> fmt::Debug for Balancer<K, S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("balance", &self.balance())
            .finish_non_exhaustive()
    }
}
