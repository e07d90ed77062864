use std::{
    collections::HashSet,
    fmt::Display,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    EndpointGuard, endpoint::Endpoint, endpoint_table::EndpointTable, rotation::EndpointId,
    shared::BalanceShared,
};
use crate::{
    call::{Label, catch_hook},
    guard::{GuardLayer, Guarded},
    util::text::clean_text,
};

/// The maximum number of endpoints: a name server, or a channel of changes, may have more than anybody needs.
pub(super) const MAX_ENDPOINTS: usize = 1_000;
/// The maximum number of keys that are read to set the endpoints: they may be repeated, and without an end.
const MAX_READ: usize = 16 * MAX_ENDPOINTS;
/// The maximum length of the text of an endpoint, in bytes.
const MAX_LABEL: usize = 128;

/// The function that makes the service of an endpoint.
pub(super) type MakeService<K, S> = Box<dyn Fn(&K) -> S + Send + Sync>;
type Entries<K, S, P> = Vec<Arc<PoolEntry<K, S, P>>>;
/// The list of before and that of after.
type Replaced<K, S, P> = (Arc<Entries<K, S, P>>, Arc<Entries<K, S, P>>);

/// The services of a balancer, by their keys.
pub(super) struct Pool<K, S, P> {
    pub(super) shared: Arc<BalanceShared>,
    make: MakeService<K, S>,
    protocol: P,
    /// Replaced as a whole, so that a call takes a reference and looks at it without the lock.
    entries: Mutex<Arc<Entries<K, S, P>>>,
    /// The guard of calls that find no endpoint.
    pub(super) lobby: Guarded<(), EndpointGuard, P>,
    /// Closed when the pool is dropped, which ends those who follow changes for it.
    pub(super) alive: watch::Sender<()>,
}

/// An endpoint: its key, and its service with its guard.
pub(super) struct PoolEntry<K, S, P> {
    key: K,
    id: EndpointId,
    pub(super) service: Guarded<S, EndpointGuard, P>,
}

impl<K, S, P> PoolEntry<K, S, P> {
    /// Returns the state of the endpoint.
    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.service.guards().endpoint()
    }
}

impl<K, S, P: Clone> Pool<K, S, P> {
    pub(super) fn new(shared: Arc<BalanceShared>, make: MakeService<K, S>, protocol: P) -> Self {
        use tower_layer::Layer;
        let guard = EndpointGuard::without_endpoint();
        Pool {
            shared,
            make,
            lobby: GuardLayer::with_protocol(guard, protocol.clone()).layer(()),
            protocol,
            entries: Mutex::default(),
            alive: watch::Sender::new(()),
        }
    }
}

impl<K, S, P> Pool<K, S, P> {
    /// Returns the endpoints as they are now.
    pub(super) fn entries(&self) -> Arc<Entries<K, S, P>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Entries<K, S, P>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the list by what `change` makes of it; `None` changes nothing. Keys are compared, and services dropped, without the
    /// lock: where another thread has been faster, `change` is asked again. Returns the list of before and of after.
    fn replace(
        &self,
        mut change: impl FnMut(&Entries<K, S, P>) -> Option<Entries<K, S, P>>,
    ) -> Option<Replaced<K, S, P>> {
        loop {
            let before = self.entries();
            let after = Arc::new(change(&before)?);
            let mut entries = self.lock();
            if Arc::ptr_eq(&entries, &before) {
                *entries = after.clone();
                drop(entries);
                return Some((before, after));
            }
        }
    }

    /// Removes the endpoints of entries which the list does not have from the balancer.
    fn remove_lost<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a Arc<PoolEntry<K, S, P>>>,
        list: &Entries<K, S, P>,
    ) where
        PoolEntry<K, S, P>: 'a,
    {
        let kept: HashSet<EndpointId> = list.iter().map(|entry| entry.id).collect();
        let ids = entries.into_iter().map(|entry| entry.id);
        let lost: Vec<EndpointId> = ids.filter(|id| !kept.contains(id)).collect();
        if !lost.is_empty() {
            self.shared.remove(&lost);
        }
    }
}

impl<K: Hash + Eq + Display, S, P: Clone> Pool<K, S, P> {
    /// Makes the services of endpoints, without a lock. All that may panic comes before the first one is added to the balancer.
    fn new_entries(&self, keys: Vec<K>) -> Entries<K, S, P> {
        let make = |key: K| {
            let service = (self.make)(&key);
            (Label::from(clean_text(&key, MAX_LABEL)), key, service)
        };
        let made: Vec<(Label, K, S)> = keys.into_iter().map(make).collect();
        let add = |(label, key, service)| self.new_entry(label, key, service);
        made.into_iter().map(add).collect()
    }

    fn new_entry(&self, label: Label, key: K, service: S) -> Arc<PoolEntry<K, S, P>> {
        use tower_layer::Layer;
        let endpoint = self.shared.add(label);
        let id = endpoint.id;
        let layer = GuardLayer::with_protocol(EndpointGuard::new(endpoint), self.protocol.clone());
        let service = layer.layer(service);
        Arc::new(PoolEntry { key, id, service })
    }

    fn has(entries: &Entries<K, S, P>, key: &K) -> bool {
        entries.iter().any(|entry| entry.key == *key)
    }

    fn log_overflow(&self) {
        let balance = self.shared.name().as_str();
        catch_hook(|| {
            tracing::warn!(target: "tower_keep::balance", balance, max = MAX_ENDPOINTS, "too many endpoints: the rest is ignored");
        });
    }
}

impl<K, S, P> EndpointTable<K> for Pool<K, S, P>
where
    K: Hash + Eq + Clone + Display + Send + Sync,
    S: Send + Sync,
    P: Clone + Send + Sync,
{
    fn insert(&self, key: K) -> bool {
        let entries = self.entries();
        if Self::has(&entries, &key) {
            return false;
        }
        if entries.len() >= MAX_ENDPOINTS {
            self.log_overflow();
            return false;
        }
        let new = self.new_entries(vec![key]);
        let replaced = self.replace(|entries| {
            // Another thread may have been faster.
            let is_free = |new: &Arc<PoolEntry<K, S, P>>| !Self::has(entries, &new.key);
            let has_room = entries.len() < MAX_ENDPOINTS && new.iter().all(is_free);
            has_room.then(|| entries.iter().chain(&new).cloned().collect())
        });
        if replaced.is_none() {
            self.remove_lost(&new, &Entries::new());
        }
        replaced.is_some()
    }

    fn remove(&self, key: &K) -> bool {
        let replaced = self.replace(|entries| {
            let others = || entries.iter().filter(|entry| entry.key != *key).cloned();
            Self::has(entries, key).then(|| others().collect())
        });
        if let Some((before, after)) = &replaced {
            self.remove_lost(before.iter(), after);
        }
        replaced.is_some()
    }

    fn set(&self, keys: &mut dyn Iterator<Item = K>) {
        let mut wanted = HashSet::new();
        let mut order = Vec::new();
        for key in keys.take(MAX_READ) {
            if wanted.insert(key.clone()) {
                order.push(key);
            }
        }
        let is_wanted = |entry: &&Arc<PoolEntry<K, S, P>>| wanted.contains(&entry.key);
        let entries = self.entries();
        // Those that are there come first: a name that has too many addresses, in another order each time, must not replace them each time.
        let room = MAX_ENDPOINTS - entries.iter().filter(is_wanted).count();
        order.retain(|key| !Self::has(&entries, key));
        if order.len() > room {
            self.log_overflow();
            order.truncate(room);
        }
        let new = self.new_entries(order);
        // At once: a call in between finds those of before or those of after, and not the few that are in both.
        let replaced = self.replace(|entries| {
            let kept = entries.iter().filter(is_wanted);
            let added = new.iter().filter(|new| !Self::has(entries, &new.key));
            Some(kept.chain(added).take(MAX_ENDPOINTS).cloned().collect())
        });
        if let Some((before, after)) = &replaced {
            self.remove_lost(before.iter().chain(&new), after);
        }
    }

    fn keys(&self) -> Vec<K> {
        let entries = self.entries();
        entries.iter().map(|entry| entry.key.clone()).collect()
    }

    fn count_lookup_failure(&self) {
        self.shared.metrics.count_lookup_failure();
    }

    fn name(&self) -> Label {
        self.shared.name().clone()
    }
}

impl<K, S, P> Drop for Pool<K, S, P> {
    fn drop(&mut self) {
        let ids: Vec<EndpointId> = self.entries().iter().map(|entry| entry.id).collect();
        self.shared.remove(&ids);
    }
}
