use std::{hash::Hash, mem::size_of, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{metrics::CacheEvent, misses::Miss, shared::CacheShared};

/// A result that is kept, other than over HTTP.
struct Entry<K, T> {
    key: K,
    value: T,
    stored_at: Instant,
}

/// The age up to which a result is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Fresh,
    /// Only if the call fails.
    Stale,
    Never,
}

/// Decides what a result of this age is good for.
fn use_of(age: Duration, ttl: Duration, stale_if_error: Option<Duration>) -> Use {
    match stale_if_error {
        _ if age < ttl => Use::Fresh,
        Some(time) if age < ttl.saturating_add(time) => Use::Stale,
        _ => Use::Never,
    }
}

/// The place of one call in the cache: where its result is, and where it is kept.
pub(super) struct Place<K> {
    shared: Arc<CacheShared>,
    key: K,
}

/// Returns the fresh result of a key, or what keeps that of the call that is to be made.
///
/// By references: calls that find a result count none that all threads share.
pub(super) fn find_fresh<K, T>(shared: &CacheShared, key: &K) -> Result<T, Miss>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    let hash = shared.hash::<Entry<K, T>>(key);
    if let Some(found) = find(shared, hash, key, Use::Fresh) {
        shared.count(CacheEvent::Hit);
        return Ok(found);
    }
    shared.count(CacheEvent::Miss);
    Err(shared.begin(hash))
}

fn find<K, T>(shared: &CacheShared, hash: u64, key: &K, wanted: Use) -> Option<T>
where
    K: Eq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    let entry = shared.get::<Entry<K, T>>(hash)?;
    let (age, times) = (entry.stored_at.elapsed(), shared.times());
    let is_wanted = use_of(age, times.ttl(), times.stale_if_error()) == wanted;
    (is_wanted && entry.key == *key).then(|| entry.value.clone())
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Place<K> {
    pub(super) fn new(shared: Arc<CacheShared>, key: K) -> Self {
        Place { shared, key }
    }

    /// Returns a fresh result, or what keeps that of the call that is to be made.
    pub(super) fn find_fresh<T: Clone + Send + Sync + 'static>(&self) -> Result<T, Miss> {
        find_fresh(&self.shared, &self.key)
    }

    /// Returns a result for a call that has failed.
    pub(super) fn find_stale<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        let hash = self.shared.hash::<Entry<K, T>>(&self.key);
        let find = |wanted| find(&self.shared, hash, &self.key, wanted);
        // A fresh one that another call has stored meanwhile is as good.
        let found = find(Use::Stale).or_else(|| find(Use::Fresh));
        if found.is_some() {
            self.shared.count(CacheEvent::Stale);
        }
        found
    }

    /// Keeps the result of a call.
    pub(super) fn store<T: Clone + Send + Sync + 'static>(&self, miss: &Miss, value: &T) {
        let entry = Entry {
            key: self.key.clone(),
            value: value.clone(),
            stored_at: Instant::now(),
        };
        self.shared.insert(miss, entry, size_of::<Entry<K, T>>());
    }

    /// Removes the result of the type `T`.
    pub(super) fn remove<T: 'static>(&self) -> bool {
        self.shared
            .remove(self.shared.hash::<Entry<K, T>>(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_is_fresh_for_its_time_and_then_stale_where_that_is_set() {
        let second = Duration::from_secs(1);
        let uses = |stale| [0, 9, 10, 19, 20].map(|age| use_of(second * age, second * 10, stale));
        assert_eq!(
            uses(None),
            [Use::Fresh, Use::Fresh, Use::Never, Use::Never, Use::Never]
        );
        let stale = uses(Some(second * 10));
        assert_eq!(
            stale,
            [Use::Fresh, Use::Fresh, Use::Stale, Use::Stale, Use::Never]
        );
    }
}
