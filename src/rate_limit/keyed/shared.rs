use std::{hash::Hash, time::Duration};

use tokio::time::Instant;

use super::table::KeyTable;
use crate::{
    call::{Label, Rejection},
    rate_limit::{
        RateLimitBuilder, RateLimitSettings, control::LimitControl, limit_metrics::LimitEvent,
        quota::Quota, target::Reserved, ticks::ticks,
    },
};

/// The keyed rate limit behind all of its handles.
pub(in crate::rate_limit) struct KeyedShared {
    pub(in crate::rate_limit) control: LimitControl,
    pub(super) table: KeyTable,
    /// The key of calls without one, by its hash; `None` if they are admitted.
    without_key: Option<u64>,
}

impl KeyedShared {
    pub(super) fn new(
        template: RateLimitBuilder,
        quota: Quota,
        (max_keys, idle_time): (usize, Duration),
        admits_without_key: bool,
    ) -> Self {
        let table = KeyTable::new(quota, max_keys, ticks(idle_time));
        KeyedShared {
            without_key: (!admits_without_key).then(|| table.hash(&())),
            control: LimitControl::new(template),
            table,
        }
    }

    pub(in crate::rate_limit) fn name(&self) -> &Label {
        self.control.name()
    }

    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.table.hash(key)
    }

    /// Returns the hash of a key, or of those that have none; `None` if the call is not limited.
    #[inline]
    pub(super) fn hash_or_shared(&self, hash: Option<u64>) -> Option<u64> {
        hash.or(self.without_key)
    }

    /// Takes cells of a key that are there now.
    #[inline]
    pub(super) fn admit(&self, hash: u64, now: Instant, cells: u32) -> Result<(), Rejection> {
        let (result, is_overflow) = self.table.take(hash, self.control.ticks(now), cells, 0);
        if is_overflow {
            self.count_overflow();
        }
        match result {
            Ok(_) => Ok(()),
            Err(denial) => self.control.reject(denial),
        }
    }

    /// Takes cells of a key that are there now, or within the wait.
    pub(in crate::rate_limit) fn reserve(
        &self,
        hash: u64,
        now: Instant,
        cells: u32,
        max_wait: Duration,
    ) -> Result<Option<Reserved>, Rejection> {
        let max_wait = self.control.effective_wait(max_wait);
        let (result, is_overflow) = self
            .table
            .take(hash, self.control.ticks(now), cells, max_wait);
        if is_overflow {
            self.count_overflow();
        }
        match result {
            Ok(grant) => Ok(Some(Reserved { grant, is_overflow })),
            Err(denial) => self.control.reject(denial).map(|()| None),
        }
    }

    #[cold]
    fn count_overflow(&self) {
        self.control.metrics.count(LimitEvent::Overflowed);
    }

    pub(in crate::rate_limit) fn put_back(&self, hash: u64, reserved: Reserved, cells: u32) {
        self.table.put_back(hash, reserved, cells);
    }

    /// Empties the bucket of a key, since a peer says that it is called too often.
    pub(in crate::rate_limit) fn empty_for_peer(
        &self,
        hash: u64,
        now: Instant,
        pause: Option<Duration>,
    ) {
        if let Some(pause) = self.control.pause_for_peer(pause) {
            self.table.empty(hash, self.control.ticks(now), pause);
        }
    }

    /// Returns the state of the limit of a key, its quota, and the time.
    pub(in crate::rate_limit) fn read(&self, hash: u64, now: Instant) -> (u64, Quota, u64) {
        let (state, quota) = self.table.read(hash);
        (state, quota, self.control.ticks(now))
    }

    pub(super) fn apply(
        &self,
        settings: &RateLimitSettings,
    ) -> Result<(), crate::call::ConfigError> {
        self.control
            .apply(settings, |now, quota| self.table.set_quota(now, quota))
    }

    /// Removes all keys, and makes the limit reject calls again.
    pub(super) fn reset(&self) {
        self.control.enable();
        self.table.clear();
    }
}
