use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    CallKind, CallSnapshot, CallSource, CallSubject, CallText, InFlightEntry, shard::Shard,
    slow_calls::SlowCalls, source::Sources,
};
use crate::{
    call::{CallEnd, ConfigError, check_range},
    util::{padded::Padded, shards::shard_count, thread_slot::thread_slot},
};

/// The calls of a process in trouble, in 1 MB.
const DEFAULT_CAPACITY: usize = 10_000;
const MAX_CAPACITY: usize = 1_000_000;
/// The slots that are copied under one lock: a call waits for no more than these.
const COPIED_AT_ONCE: usize = 64;

static GLOBAL: OnceLock<CallTable> = OnceLock::new();

/// The calls of this process that are in flight, and the latest slow ones, for an operations console.
///
/// Every [`Track`](crate::Track) and every [`operation`](crate::operation()) puts its calls here from the moment at which the
/// table of the process is [made](Self::global) or [set](Self::set_global); calls that have begun before are not there. Before
/// that, a call costs one load more; then, two uncontended locks and a few reference counts. Nothing is allocated for a call.
///
/// # Bounds
///
/// The table has room for 10,000 calls in flight; [`missed`](Self::missed) counts those that found none. It keeps the 200
/// latest calls that were slow: by the thresholds of their tracker or operation, or else from one second on. Streams that are
/// meant to last are not slow.
///
/// # Cancellation
///
/// A call leaves the table when it is complete, at the latest when it is dropped, on unwinding too.
///
/// ```
/// use tower_keep::{operation, track::CallTable};
///
/// let table = CallTable::global();
/// let work = || Ok::<_, std::io::Error>(table.in_flight(10));
/// let calls = operation("import").call(work)?;
/// assert_eq!(calls[0].route.as_deref(), Some("import"));
/// assert_eq!(table.len(), 0, "it has left the table");
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct CallTable {
    shards: Box<[Padded<Mutex<Shard>>]>,
    capacity: usize,
    sources: Sources,
    slow: SlowCalls,
    missed: AtomicU64,
}

impl CallTable {
    /// Creates a table with room for so many calls, 1 to 1,000,000. It takes about 100 bytes for each that was ever in flight at
    /// once.
    ///
    /// # Errors
    ///
    /// Returns an error if the capacity is out of range.
    ///
    /// ```
    /// use tower_keep::track::CallTable;
    ///
    /// let error = CallTable::with_capacity(0).unwrap_err();
    /// assert_eq!(error.to_string(), "call table: capacity is 0, must be 1 to 1000000");
    /// ```
    pub fn with_capacity(capacity: usize) -> Result<Self, ConfigError> {
        check_range("call table", "capacity", capacity, 1..=MAX_CAPACITY)?;
        Ok(CallTable::new(capacity, shard_count()))
    }

    pub(super) fn new(capacity: usize, shards: usize) -> Self {
        // The first ones take what does not divide.
        let max = |shard: usize| capacity / shards + usize::from(shard < capacity % shards);
        let shard = |number| Padded(Mutex::new(Shard::new(max(number))));
        CallTable {
            shards: (0..shards).map(shard).collect(),
            capacity,
            sources: Sources::default(),
            slow: SlowCalls::default(),
            missed: AtomicU64::new(0),
        }
    }

    /// Returns the table of this process, which is made with the defaults if none was set. From then on, calls are in it.
    pub fn global() -> &'static CallTable {
        GLOBAL.get_or_init(|| CallTable::new(DEFAULT_CAPACITY, shard_count()))
    }

    /// Makes this the table of the process: from now on, calls are in it.
    ///
    /// # Errors
    ///
    /// Returns the table if the process has one already.
    pub fn set_global(self) -> Result<(), CallTable> {
        GLOBAL.set(self)
    }

    /// Returns the table of the process, if anybody has asked for it.
    #[inline]
    pub(super) fn global_if_set() -> Option<&'static CallTable> {
        GLOBAL.get()
    }

    /// Returns up to `limit` calls in flight, those that began first.
    pub fn in_flight(&self, limit: usize) -> Vec<CallSnapshot> {
        // Before the calls: a number that another tracker gets meanwhile then shows nothing, rather than what is wrong.
        let sources = self.sources.list();
        let mut calls = self.calls();
        calls.sort_unstable_by_key(|(id, call)| (call.started_at, *id));
        calls.truncate(limit);
        let (at, now) = (SystemTime::now(), Instant::now());
        let calls = calls.into_iter();
        calls
            .filter_map(|(id, call)| snapshot(id, call, &sources, now, at))
            .collect()
    }

    /// Returns up to `limit` slow calls, those that ended last; at most 200 are kept.
    pub fn slow(&self, limit: usize) -> Vec<Arc<CallSnapshot>> {
        self.slow.latest(limit)
    }

    /// Returns for how long the oldest call of a kind has been in flight.
    pub fn oldest(&self, kind: CallKind) -> Option<Duration> {
        let mut oldest = None;
        for shard in &self.shards {
            let mut from = 0;
            loop {
                let (found, has_more) = lock(shard).oldest(from, COPIED_AT_ONCE, kind);
                oldest = min_some(oldest, found);
                from += COPIED_AT_ONCE;
                if !has_more {
                    break;
                }
            }
        }
        Some(Instant::now().saturating_duration_since(oldest?))
    }

    /// Returns the number of calls in flight that are in the table.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Returns whether no call is in the table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of calls that the table has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns how many calls were never in the table, since it was full.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(crate) fn add_source(&self, source: Weak<dyn CallSource>) -> u32 {
        self.sources.add(source)
    }

    /// Puts a call into the table, and returns its slot, unless there is none.
    #[inline]
    pub(super) fn insert(&self, entry: InFlightEntry) -> Option<NonZeroU32> {
        let own = thread_slot() % self.shards.len();
        let inserted = lock(&self.shards[own]).insert(entry);
        match inserted {
            Ok(index) => self.slot(own, index),
            Err(entry) => self.insert_elsewhere(own, entry),
        }
    }

    /// Puts a call into another shard than that of the thread, which is full.
    #[cold]
    fn insert_elsewhere(&self, own: usize, mut entry: InFlightEntry) -> Option<NonZeroU32> {
        let count = self.shards.len();
        for shard in (own + 1..own + count).map(|shard| shard % count) {
            let inserted = lock(&self.shards[shard]).insert(entry);
            match inserted {
                Ok(index) => return self.slot(shard, index),
                Err(back) => entry = back,
            }
        }
        self.missed.fetch_add(1, Ordering::Relaxed);
        None
    }

    #[inline]
    fn slot(&self, shard: usize, index: u32) -> Option<NonZeroU32> {
        // Far from overflow, by the maximum of the capacity.
        NonZeroU32::new(index * self.shards.len() as u32 + shard as u32 + 1)
    }

    /// Takes a call out of its slot, with the ID of the call.
    #[inline]
    pub(super) fn remove(&self, slot: NonZeroU32) -> Option<(u64, InFlightEntry)> {
        let (slot, count) = (slot.get() - 1, self.shards.len() as u32);
        let shard = slot % count;
        // What is removed is dropped by the caller, without the lock.
        let call = lock(self.shards.get(shard as usize)?).remove(slot / count);
        call.map(|(number, entry)| (self.id(number, shard as usize), entry))
    }

    /// Keeps a call that was slow.
    #[cold]
    pub(super) fn push_slow(&self, (id, entry): (u64, InFlightEntry), end: &CallEnd<'_>) {
        let sources = self.sources.list();
        let (now, at) = (Instant::now(), SystemTime::now());
        let Some(call) = snapshot(id, entry, &sources, now, at) else {
            return;
        };
        self.slow.push(CallSnapshot {
            elapsed: end.elapsed().unwrap_or(call.elapsed),
            status: end.status().map(|status| status.as_u16()),
            outcome: Some(end.outcome()),
            ..call
        });
    }

    /// Returns a copy of all calls, with their IDs.
    fn calls(&self) -> Vec<(u64, InFlightEntry)> {
        let mut all = Vec::with_capacity(self.len());
        for (number, shard) in self.shards.iter().enumerate() {
            let (first, mut from) = (all.len(), 0);
            loop {
                // Before the lock, so that nothing is allocated under it.
                all.reserve(COPIED_AT_ONCE);
                let has_more = lock(shard).copy(from, COPIED_AT_ONCE, &mut all);
                from += COPIED_AT_ONCE;
                if !has_more {
                    break;
                }
            }
            for (id, _) in &mut all[first..] {
                *id = self.id(*id, number);
            }
        }
        all
    }

    /// Returns the ID of a call in the table from its number in a shard.
    fn id(&self, number: u64, shard: usize) -> u64 {
        number * self.shards.len() as u64 + shard as u64
    }
}

impl fmt::Debug for CallTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CallTable");
        debug.field("len", &self.len());
        debug
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

fn lock(shard: &Padded<Mutex<Shard>>) -> MutexGuard<'_, Shard> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

fn min_some(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Returns what there is to see of a call; `None` if its tracker is gone or new, so that the call has ended or just begun.
fn snapshot(
    id: u64,
    entry: InFlightEntry,
    sources: &[Weak<dyn CallSource>],
    now: Instant,
    at: SystemTime,
) -> Option<CallSnapshot> {
    let elapsed = now.saturating_duration_since(entry.started_at);
    let text = match &entry.subject {
        CallSubject::Tracked {
            source,
            request,
            target,
        } => {
            let source = sources.get(*source as usize)?.upgrade()?;
            source.describe(*request, target)
        }
        CallSubject::Operation { name, kind } => CallText {
            service: kind.clone(),
            method: None,
            route: Some(name.as_str().into()),
            path: None,
        },
    };
    Some(CallSnapshot {
        id,
        kind: entry.subject.kind(),
        service: text.service,
        method: text.method,
        route: text.route,
        path: text.path,
        started_at: at.checked_sub(elapsed).unwrap_or(at),
        elapsed,
        context: entry.context,
        status: None,
        outcome: None,
    })
}
