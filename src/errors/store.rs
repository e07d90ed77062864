//! Groups in a bounded space: decides only, without clock, lock or log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::fingerprint::{Fingerprint, Key};
use super::gone::Gone;
use super::group::{Group, OTHER, Sample, Status};
use super::parameterise::parameterise;
use super::record::ErrorRecord;
use crate::call::InvalidSetting;

/// Enough for every fault a service of some fifty routes has at once; half a MiB with messages of the usual
/// length.
const DEFAULT_MAX_GROUPS: usize = 512;

/// An eighth of the groups: one endpoint that puts names into its messages cannot drive out the others.
const DEFAULT_MAX_VARIANTS: usize = 64;

const HIGHEST: usize = 65_536;

/// Number of evicted groups that are remembered for each group that has room: some fifty bytes each.
const GONE_PER_GROUP: usize = 8;

/// The message of records that say [`OTHER`] themselves.
const PASSES_FOR_OTHER: &str = "<str>";

/// How much a [`Store`] may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many groups in all. 1 to 65536. Default: 512.
    pub max_groups: usize,
    /// How many messages one kind and route may have before all others become one group. 1 to 65536.
    /// Default: 64.
    pub max_variants: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_groups: DEFAULT_MAX_GROUPS,
            max_variants: DEFAULT_MAX_VARIANTS,
        }
    }
}

/// What a record did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
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
pub struct Recorded {
    /// The group it went to.
    pub fingerprint: Fingerprint,
    /// What it did to that group.
    pub change: Change,
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
pub struct Store {
    limits: Limits,
    groups: HashMap<Fingerprint, Entry>,
    /// Every group once, the next to go first.
    order: BTreeSet<Place>,
    /// How many messages there are for a kind and route, under the fingerprint of their overflow group.
    variants: HashMap<Fingerprint, usize>,
    /// Groups that had to go, and will be no news if they come back.
    gone: Gone,
    seen: u64,
    evicted: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    group: Group,
    /// The number of its latest record: wall clocks go back, this does not.
    seen: u64,
}

type Place = (u8, u64, Fingerprint);

impl Entry {
    fn place(&self) -> Place {
        let rank = match self.group.status {
            Status::Resolved => 0,
            Status::Open => 1,
            Status::Ignored => 2,
        };
        (rank, self.seen, self.group.fingerprint)
    }
}

/// A record with the name of its group, which is worked out before anything is locked.
pub(super) struct Named {
    fingerprint: Fingerprint,
    message: Arc<str>,
    cause: Option<Arc<str>>,
    sample: Arc<Sample>,
}

impl Named {
    pub(super) fn new(record: ErrorRecord, at: SystemTime) -> Self {
        let cause = record.root_cause();
        let mut message = parameterise(record.message());
        if message == OTHER {
            // Somebody's text must not pass for the group of what is too much.
            message = PASSES_FOR_OTHER.into();
        }
        Named {
            fingerprint: record.key(&message, cause.as_deref()),
            message: message.into(),
            cause: cause.map(Arc::from),
            sample: Arc::new(Sample { at, record }),
        }
    }
}

impl Store {
    /// An empty store.
    ///
    /// # Errors
    ///
    /// A limit that is zero or too high.
    pub fn new(limits: Limits) -> Result<Self, InvalidSetting> {
        check("max_groups", limits.max_groups)?;
        check("max_variants", limits.max_variants)?;
        Ok(Store {
            limits,
            ..Store::default()
        })
    }

    /// Counts a record, and says what that changed.
    pub fn record(&mut self, record: ErrorRecord, now: SystemTime) -> Recorded {
        self.insert(Named::new(record, now))
    }

    pub(super) fn insert(&mut self, named: Named) -> Recorded {
        self.seen += 1;
        let Named {
            mut fingerprint,
            mut message,
            mut cause,
            sample,
        } = named;
        if let Some(change) = self.again(fingerprint, &sample) {
            return Recorded {
                fingerprint,
                change,
                evicted: None,
            };
        }
        let overflow = overflow(&sample.record);
        let variants = self.variants.get(&overflow).copied().unwrap_or(0);
        if &*message != OTHER && variants >= self.limits.max_variants {
            (fingerprint, message, cause) = (overflow, OTHER.into(), None);
            if let Some(change) = self.again(fingerprint, &sample) {
                return Recorded {
                    fingerprint,
                    change,
                    evicted: None,
                };
            }
        }
        let full = self.groups.len() >= self.limits.max_groups;
        let evicted = if full { self.evict() } else { None };
        if &*message != OTHER {
            *self.variants.entry(overflow).or_default() += 1;
        }
        let mut group = Group::new(fingerprint, message, cause, sample);
        let change = match self.gone.take(fingerprint) {
            None => Change::New,
            Some(status) => {
                group.status = status;
                group.seen_again(Change::Returned)
            }
        };
        let entry = Entry {
            group,
            seen: self.seen,
        };
        self.order.insert(entry.place());
        self.groups.insert(fingerprint, entry);
        Recorded {
            fingerprint,
            change,
            evicted,
        }
    }

    /// Counts a record of a group that may be there already.
    fn again(&mut self, fingerprint: Fingerprint, sample: &Arc<Sample>) -> Option<Change> {
        let entry = self.groups.get_mut(&fingerprint)?;
        self.order.remove(&entry.place());
        entry.seen = self.seen;
        let group = &mut entry.group;
        group.see(sample);
        let change = group.seen_again(Change::Known);
        self.order.insert(entry.place());
        Some(change)
    }

    fn evict(&mut self) -> Option<Fingerprint> {
        let (_, _, fingerprint) = self.order.pop_first()?;
        let entry = self.groups.remove(&fingerprint)?;
        self.evicted += 1;
        let most = GONE_PER_GROUP * self.limits.max_groups;
        self.gone.put(fingerprint, entry.group.status, most);
        if &*entry.group.message != OTHER {
            let overflow = overflow(&entry.group.first.record);
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
    pub fn resolve(&mut self, fingerprint: Fingerprint) -> Option<Status> {
        self.mark(fingerprint, Status::Resolved)
    }

    /// Says that a group is to be counted, but not reported. Returns what it was before; `None` if there is
    /// no such group.
    pub fn ignore(&mut self, fingerprint: Fingerprint) -> Option<Status> {
        self.mark(fingerprint, Status::Ignored)
    }

    /// Takes back what was said about a group. Returns what it was before; `None` if there is no such group.
    pub fn reopen(&mut self, fingerprint: Fingerprint) -> Option<Status> {
        self.mark(fingerprint, Status::Open)
    }

    fn mark(&mut self, fingerprint: Fingerprint, status: Status) -> Option<Status> {
        let entry = self.groups.get_mut(&fingerprint)?;
        self.order.remove(&entry.place());
        let before = std::mem::replace(&mut entry.group.status, status);
        self.order.insert(entry.place());
        Some(before)
    }

    /// One group.
    #[must_use]
    pub fn group(&self, fingerprint: Fingerprint) -> Option<&Group> {
        self.groups.get(&fingerprint).map(|entry| &entry.group)
    }

    /// Every group, the one seen last first.
    #[must_use]
    pub fn groups(&self) -> Vec<&Group> {
        let mut entries: Vec<_> = self.groups.values().collect();
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.seen));
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
        self.seen
    }

    /// How many groups had to go because the store was full.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// The group that takes the messages too many of this kind and route.
fn overflow(record: &ErrorRecord) -> Fingerprint {
    Fingerprint::of(Key {
        kind: record.kind(),
        route: record.route(),
        message: OTHER,
        ..Key::default()
    })
}

pub(super) fn check(field: &'static str, value: usize) -> Result<(), InvalidSetting> {
    if (1..=HIGHEST).contains(&value) {
        return Ok(());
    }
    Err(InvalidSetting::new(
        "error tracker",
        field,
        value,
        format!("1 to {HIGHEST}"),
    ))
}
