//! A bounded store of groups: without clock, lock or log.

mod change;
mod entry;
mod evicted;
mod fingerprinted_record;
mod limits;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::mem;

pub(super) use self::{
    change::GroupChange,
    fingerprinted_record::FingerprintedRecord,
    limits::{StoreLimits, check_limit},
};
use self::{
    entry::{EvictionKey, GroupEntry},
    evicted::EvictedGroups,
};
use super::{
    fingerprint::{Fingerprint, FingerprintInput},
    group::{ErrorGroup, OVERFLOW_MESSAGE},
    group_status::GroupStatus,
    record::ErrorRecord,
};
use crate::call::ConfigError;

/// The number of evicted groups that are remembered per group of `max_groups`: some fifty bytes each.
const EVICTED_PER_GROUP: usize = 8;

/// A store of a bounded number of groups.
///
/// Recording takes logarithmic time in the number of groups. When the store is full, it evicts the group whose last record
/// is oldest: resolved groups first, then open ones, ignored ones last. It remembers the fingerprint and status of evicted
/// groups, eight for each of `max_groups`, so that one that comes back is not reported as new.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupStore {
    limits: StoreLimits,
    groups: HashMap<Fingerprint, GroupEntry>,
    /// Every group once, the next to evict first.
    eviction_order: BTreeSet<EvictionKey>,
    /// The number of messages per kind and route, by the fingerprint of their overflow group.
    variants: HashMap<Fingerprint, usize>,
    /// Evicted groups, which are not reported as new if they come back.
    evicted_groups: EvictedGroups,
    total: u64,
    evicted: u64,
}

impl GroupStore {
    /// Creates an empty store.
    ///
    /// # Errors
    ///
    /// Returns an error if a limit is zero or above 65,536.
    pub(super) fn new(limits: StoreLimits) -> Result<Self, ConfigError> {
        limits.check()?;
        Ok(GroupStore {
            limits,
            ..GroupStore::default()
        })
    }

    /// Counts a record. Returns the fingerprint of its group, and the effect on that.
    pub(super) fn record(&mut self, record: FingerprintedRecord) -> (Fingerprint, GroupChange) {
        // It is the clock of the store, too: the number of a record says when it came.
        self.total += 1;
        if let Some(change) = self.record_existing(&record) {
            return (record.fingerprint, change);
        }
        let overflow = overflow_fingerprint(&record.sample.record);
        // The fingerprint of the overflow group stands for kind and route, so no key has to be allocated.
        let variants = self.variants.get(&overflow).copied().unwrap_or(0);
        if variants < self.limits.max_variants {
            // Evict first: that may remove another message of this kind and route.
            self.make_room();
            *self.variants.entry(overflow).or_default() += 1;
            return self.insert_group(record);
        }
        // The overflow group itself is not one of the variants, so it is always allowed.
        let record = record.into_overflow(overflow);
        match self.record_existing(&record) {
            Some(change) => (overflow, change),
            None => {
                self.make_room();
                self.insert_group(record)
            }
        }
    }

    /// Counts a record if its group is in the store.
    fn record_existing(&mut self, record: &FingerprintedRecord) -> Option<GroupChange> {
        let total = self.total;
        let entry = self.groups.get_mut(&record.fingerprint)?;
        // The key depends on the entry: remove it before, and insert it after the change.
        self.eviction_order.remove(&entry.eviction_key());
        entry.last_seen = total;
        entry.group.add_sample(&record.sample);
        let change = entry.group.on_recurrence(GroupChange::Known);
        self.eviction_order.insert(entry.eviction_key());
        Some(change)
    }

    /// Creates the group of a record, with its former status if it was evicted.
    fn insert_group(&mut self, record: FingerprintedRecord) -> (Fingerprint, GroupChange) {
        let fingerprint = record.fingerprint;
        let mut group = ErrorGroup::new(fingerprint, record.message, record.cause, record.sample);
        let change = match self.evicted_groups.remove(fingerprint) {
            None => GroupChange::New,
            // A resolved group regresses, although its earlier errors are no longer counted.
            Some(status) => {
                group.status = status;
                group.on_recurrence(GroupChange::Returned)
            }
        };
        let entry = GroupEntry {
            group,
            last_seen: self.total,
        };
        self.eviction_order.insert(entry.eviction_key());
        self.groups.insert(fingerprint, entry);
        (fingerprint, change)
    }

    /// Evicts a group if the store is full.
    fn make_room(&mut self) {
        if self.groups.len() < self.limits.max_groups {
            return;
        }
        // Never empty, since the store is full and each group is in the order.
        let Some((_, _, fingerprint)) = self.eviction_order.pop_first() else {
            return;
        };
        let Some(entry) = self.groups.remove(&fingerprint) else {
            return;
        };
        self.evicted += 1;
        let max = EVICTED_PER_GROUP * self.limits.max_groups;
        let status = entry.group.status;
        self.evicted_groups.insert(fingerprint, status, max);
        // An overflow group has not been counted as a message.
        if !entry.group.is_overflow() {
            self.remove_variant(overflow_fingerprint(&entry.group.first.record));
        }
    }

    /// Counts one message less for the kind and route of an overflow group.
    fn remove_variant(&mut self, overflow: Fingerprint) {
        if let Some(variants) = self.variants.get_mut(&overflow) {
            *variants -= 1;
            if *variants == 0 {
                self.variants.remove(&overflow);
            }
        }
    }

    /// Sets the status of a group. Returns its status before, or `None` if the group does not exist.
    pub(super) fn set_status(
        &mut self,
        fingerprint: Fingerprint,
        status: GroupStatus,
    ) -> Option<GroupStatus> {
        let entry = self.groups.get_mut(&fingerprint)?;
        // As in `record_existing`: the key depends on the status.
        self.eviction_order.remove(&entry.eviction_key());
        let before = mem::replace(&mut entry.group.status, status);
        self.eviction_order.insert(entry.eviction_key());
        Some(before)
    }

    /// Returns a group.
    pub(super) fn group(&self, fingerprint: Fingerprint) -> Option<&ErrorGroup> {
        self.groups.get(&fingerprint).map(|entry| &entry.group)
    }

    /// Returns all groups, the one with the latest record first.
    pub(super) fn groups(&self) -> Vec<&ErrorGroup> {
        let mut entries: Vec<_> = self.groups.values().collect();
        entries.sort_unstable_by_key(|entry| Reverse(entry.last_seen));
        entries.into_iter().map(|entry| &entry.group).collect()
    }

    /// Returns the number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns the number of records, those of evicted groups included.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Returns the number of evictions.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// Returns the fingerprint of the overflow group for the kind and route of a record.
fn overflow_fingerprint(record: &ErrorRecord) -> Fingerprint {
    Fingerprint::compute(FingerprintInput {
        kind: record.kind(),
        route: record.route(),
        message: OVERFLOW_MESSAGE,
        ..FingerprintInput::default()
    })
}
