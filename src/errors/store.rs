//! Groups in a bounded space: decides only, without clock, lock or log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::evicted::EvictedGroups;
use super::fingerprint::{Fingerprint, FingerprintInput};
use super::group::{ErrorGroup, ErrorSample, GroupStatus, OVERFLOW_MESSAGE};
use super::normalize::normalize_message;
use super::record::ErrorRecord;
use crate::call::ConfigError;

/// Enough for every fault a service of some fifty routes has at once; half a MiB with messages of the usual
/// length.
const DEFAULT_MAX_GROUPS: usize = 512;

/// An eighth of the groups: one endpoint that puts names into its messages cannot drive out the others.
const DEFAULT_MAX_VARIANTS: usize = 64;

const MAX_LIMIT: usize = 65_536;

/// Number of evicted groups that are remembered for each group that has room: some fifty bytes each.
const EVICTED_PER_GROUP: usize = 8;

/// The message of records that say [`OVERFLOW_MESSAGE`] themselves.
const ESCAPED_OVERFLOW_MESSAGE: &str = "<str>";

/// How much a [`GroupStore`] may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// How many groups in all. 1 to 65536. Default: 512.
    pub max_groups: usize,
    /// How many messages one kind and route may have before all others become one group. 1 to 65536.
    /// Default: 64.
    pub max_variants: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            max_groups: DEFAULT_MAX_GROUPS,
            max_variants: DEFAULT_MAX_VARIANTS,
        }
    }
}

/// What a record did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupChange {
    /// It began the group.
    New,
    /// The group was resolved, and is open again.
    Regressed,
    /// The group was open already.
    Known,
    /// The group is ignored.
    Ignored,
    /// The group had to go for want of room, and is back: it counts anew, but is no news.
    Returned,
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordResult {
    /// The group it went to.
    pub fingerprint: Fingerprint,
    /// What it did to that group.
    pub change: GroupChange,
    /// The group that had to go to make room.
    pub evicted: Option<Fingerprint>,
}

/// A bounded number of groups.
///
/// To record costs the logarithm of the number of groups, whatever the records are. When the store is full,
/// the group that was not seen for the longest time goes; resolved groups go before open ones, and ignored
/// ones last. What had to go is remembered by name and status, eight names for each group that there is room for, so that
/// it is no news when it comes back.
#[derive(Clone, Debug, Default)]
pub struct GroupStore {
    limits: StoreLimits,
    groups: HashMap<Fingerprint, GroupEntry>,
    /// Every group once, the next to go first.
    eviction_order: BTreeSet<EvictionKey>,
    /// How many messages there are for a kind and route, under the fingerprint of their overflow group.
    variants: HashMap<Fingerprint, usize>,
    /// Groups that had to go, and will be no news if they come back.
    evicted_groups: EvictedGroups,
    total: u64,
    evicted: u64,
}

#[derive(Clone, Debug)]
struct GroupEntry {
    group: ErrorGroup,
    /// The number of its latest record: wall clocks go back, this does not.
    last_seen: u64,
}

type EvictionKey = (u8, u64, Fingerprint);

impl GroupEntry {
    fn eviction_key(&self) -> EvictionKey {
        let rank = match self.group.status {
            GroupStatus::Resolved => 0,
            GroupStatus::Open => 1,
            GroupStatus::Ignored => 2,
        };
        (rank, self.last_seen, self.group.fingerprint)
    }
}

/// A record with the name of its group, which is worked out before anything is locked.
pub(super) struct FingerprintedRecord {
    fingerprint: Fingerprint,
    message: Arc<str>,
    cause: Option<Arc<str>>,
    sample: Arc<ErrorSample>,
}

impl FingerprintedRecord {
    pub(super) fn new(record: ErrorRecord, at: SystemTime) -> Self {
        let cause = record.normalized_root_cause();
        let mut message = normalize_message(record.message());
        if message == OVERFLOW_MESSAGE {
            // Somebody's text must not pass for the group of what is too much.
            message = ESCAPED_OVERFLOW_MESSAGE.into();
        }
        FingerprintedRecord {
            fingerprint: record.fingerprint_with(&message, cause.as_deref()),
            message: message.into(),
            cause: cause.map(Arc::from),
            sample: Arc::new(ErrorSample {
                timestamp: at,
                record,
            }),
        }
    }
}

impl GroupStore {
    /// An empty store.
    ///
    /// # Errors
    ///
    /// A limit that is zero or too high.
    pub fn new(limits: StoreLimits) -> Result<Self, ConfigError> {
        check_limit("max_groups", limits.max_groups)?;
        check_limit("max_variants", limits.max_variants)?;
        Ok(GroupStore {
            limits,
            ..GroupStore::default()
        })
    }

    /// Counts a record, and says what that changed.
    pub fn record(&mut self, record: ErrorRecord, now: SystemTime) -> RecordResult {
        self.insert(FingerprintedRecord::new(record, now))
    }

    pub(super) fn insert(&mut self, named: FingerprintedRecord) -> RecordResult {
        self.total += 1;
        let FingerprintedRecord {
            mut fingerprint,
            mut message,
            mut cause,
            sample,
        } = named;
        if let Some(change) = self.record_existing(fingerprint, &sample) {
            return RecordResult {
                fingerprint,
                change,
                evicted: None,
            };
        }
        let overflow = overflow_fingerprint(&sample.record);
        let variants = self.variants.get(&overflow).copied().unwrap_or(0);
        if &*message != OVERFLOW_MESSAGE && variants >= self.limits.max_variants {
            (fingerprint, message, cause) = (overflow, OVERFLOW_MESSAGE.into(), None);
            if let Some(change) = self.record_existing(fingerprint, &sample) {
                return RecordResult {
                    fingerprint,
                    change,
                    evicted: None,
                };
            }
        }
        let full = self.groups.len() >= self.limits.max_groups;
        let evicted = if full { self.evict() } else { None };
        if &*message != OVERFLOW_MESSAGE {
            *self.variants.entry(overflow).or_default() += 1;
        }
        let mut group = ErrorGroup::new(fingerprint, message, cause, sample);
        let change = match self.evicted_groups.remove(fingerprint) {
            None => GroupChange::New,
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
        RecordResult {
            fingerprint,
            change,
            evicted,
        }
    }

    /// Counts a record of a group that may be there already.
    fn record_existing(
        &mut self,
        fingerprint: Fingerprint,
        sample: &Arc<ErrorSample>,
    ) -> Option<GroupChange> {
        let entry = self.groups.get_mut(&fingerprint)?;
        self.eviction_order.remove(&entry.eviction_key());
        entry.last_seen = self.total;
        let group = &mut entry.group;
        group.add_sample(sample);
        let change = group.on_recurrence(GroupChange::Known);
        self.eviction_order.insert(entry.eviction_key());
        Some(change)
    }

    fn evict(&mut self) -> Option<Fingerprint> {
        let (_, _, fingerprint) = self.eviction_order.pop_first()?;
        let entry = self.groups.remove(&fingerprint)?;
        self.evicted += 1;
        let most = EVICTED_PER_GROUP * self.limits.max_groups;
        self.evicted_groups
            .insert(fingerprint, entry.group.status, most);
        if &*entry.group.message != OVERFLOW_MESSAGE {
            let overflow = overflow_fingerprint(&entry.group.first.record);
            if let Some(variants) = self.variants.get_mut(&overflow) {
                *variants -= 1;
                if *variants == 0 {
                    self.variants.remove(&overflow);
                }
            }
        }
        Some(fingerprint)
    }

    /// Says that a group is mended. Returns what it was before; `None` if there is no such group.
    pub fn resolve(&mut self, fingerprint: Fingerprint) -> Option<GroupStatus> {
        self.set_status(fingerprint, GroupStatus::Resolved)
    }

    /// Says that a group is to be counted, but not reported. Returns what it was before; `None` if there is
    /// no such group.
    pub fn ignore(&mut self, fingerprint: Fingerprint) -> Option<GroupStatus> {
        self.set_status(fingerprint, GroupStatus::Ignored)
    }

    /// Takes back what was said about a group. Returns what it was before; `None` if there is no such group.
    pub fn reopen(&mut self, fingerprint: Fingerprint) -> Option<GroupStatus> {
        self.set_status(fingerprint, GroupStatus::Open)
    }

    fn set_status(&mut self, fingerprint: Fingerprint, status: GroupStatus) -> Option<GroupStatus> {
        let entry = self.groups.get_mut(&fingerprint)?;
        self.eviction_order.remove(&entry.eviction_key());
        let before = std::mem::replace(&mut entry.group.status, status);
        self.eviction_order.insert(entry.eviction_key());
        Some(before)
    }

    /// One group.
    #[must_use]
    pub fn group(&self, fingerprint: Fingerprint) -> Option<&ErrorGroup> {
        self.groups.get(&fingerprint).map(|entry| &entry.group)
    }

    /// Every group, the one seen last first.
    #[must_use]
    pub fn groups(&self) -> Vec<&ErrorGroup> {
        let mut entries: Vec<_> = self.groups.values().collect();
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.last_seen));
        entries.into_iter().map(|entry| &entry.group).collect()
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many records there were, those of groups that are gone included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many groups had to go because the store was full.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// The group that takes the messages too many of this kind and route.
fn overflow_fingerprint(record: &ErrorRecord) -> Fingerprint {
    Fingerprint::compute(FingerprintInput {
        kind: record.kind(),
        route: record.route(),
        message: OVERFLOW_MESSAGE,
        ..FingerprintInput::default()
    })
}

pub(super) fn check_limit(field: &'static str, value: usize) -> Result<(), ConfigError> {
    if (1..=MAX_LIMIT).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(
        "error tracker",
        field,
        value,
        format!("1 to {MAX_LIMIT}"),
    ))
}
