//! The handle that a service, its layers and its console share.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::fingerprint::Fingerprint;
use super::group::ErrorGroup;
use super::record::ErrorRecord;
use super::store::{FingerprintedRecord, GroupChange, GroupStore, StoreLimits, check_limit};
use crate::call::{ConfigError, catch_hook};

/// A subscriber that waits for a slow webhook misses nothing unless this many groups are new meanwhile.
const DEFAULT_EVENT_BUFFER: usize = 256;

/// Collects errors into groups: see the [module](super).
///
/// A cheap clone; all clones are one tracker.
#[derive(Clone)]
pub struct ErrorTracker {
    shared: Arc<Shared>,
}

struct Shared {
    store: Mutex<GroupStore>,
    events: broadcast::Sender<ErrorEvent>,
}

impl Default for ErrorTracker {
    fn default() -> Self {
        ErrorTracker::from_store(GroupStore::default(), DEFAULT_EVENT_BUFFER)
    }
}

impl ErrorTracker {
    /// The tracker of this process: where everything goes that was not told otherwise.
    pub fn global() -> &'static ErrorTracker {
        static GLOBAL: OnceLock<ErrorTracker> = OnceLock::new();
        GLOBAL.get_or_init(ErrorTracker::default)
    }

    /// Settings for a tracker.
    pub fn builder() -> ErrorTrackerBuilder {
        ErrorTrackerBuilder {
            limits: StoreLimits::default(),
            event_buffer: DEFAULT_EVENT_BUFFER,
        }
    }

    fn from_store(store: GroupStore, event_buffer: usize) -> Self {
        let shared = Shared {
            store: Mutex::new(store),
            events: broadcast::Sender::new(event_buffer),
        };
        ErrorTracker {
            shared: Arc::new(shared),
        }
    }

    /// Counts an error, and returns the name of its group.
    ///
    /// Costs about a microsecond, with a long message some ten; a lock is held for a small part of that.
    pub fn record(&self, record: ErrorRecord) -> Fingerprint {
        self.record_at(record, SystemTime::now())
    }

    /// Counts an error that happened at another time than now: one that was stored, say.
    pub fn record_at(&self, record: ErrorRecord, at: SystemTime) -> Fingerprint {
        let named = FingerprintedRecord::new(record, at);
        let mut store = self.lock_store();
        let recorded = store.insert(named);
        let event: Option<fn(ErrorGroup) -> ErrorEvent> = match recorded.change {
            GroupChange::New => Some(ErrorEvent::New),
            GroupChange::Regressed => Some(ErrorEvent::Regressed),
            GroupChange::Known | GroupChange::Ignored | GroupChange::Returned => None,
        };
        let event = event.and_then(|event| store.group(recorded.fingerprint).cloned().map(event));
        // A subscriber's waker must not run under the lock.
        drop(store);
        if let Some(event) = event {
            // Fails if nobody listens, which is no failure. Wakers are the executor's code.
            catch_hook(|| self.shared.events.send(event).is_ok());
        }
        recorded.fingerprint
    }

    /// Counts an error of no call in particular, with its sources.
    pub fn capture(&self, error: &(dyn Error + 'static)) -> Fingerprint {
        self.record(ErrorRecord::from_error(None, error))
    }

    /// Every group as it is now, the one seen last first.
    #[must_use]
    pub fn groups(&self) -> Vec<ErrorGroup> {
        self.lock_store().groups().into_iter().cloned().collect()
    }

    /// One group as it is now.
    #[must_use]
    pub fn group(&self, fingerprint: Fingerprint) -> Option<ErrorGroup> {
        self.lock_store().group(fingerprint).cloned()
    }

    /// Says that a group is mended: seen again, it is reported as regressed. `false` if there is no such
    /// group.
    pub fn resolve(&self, fingerprint: Fingerprint) -> bool {
        self.lock_store().resolve(fingerprint).is_some()
    }

    /// Says that a group is to be counted, but not reported. `false` if there is no such group.
    pub fn ignore(&self, fingerprint: Fingerprint) -> bool {
        self.lock_store().ignore(fingerprint).is_some()
    }

    /// Takes back [`resolve`](Self::resolve) or [`ignore`](Self::ignore). `false` if there is no such group.
    pub fn reopen(&self, fingerprint: Fingerprint) -> bool {
        self.lock_store().reopen(fingerprint).is_some()
    }

    /// Tells of groups that are new or regressed from now on.
    #[must_use]
    pub fn subscribe(&self) -> ErrorEvents {
        ErrorEvents {
            receiver: self.shared.events.subscribe(),
        }
    }

    /// How many errors were recorded, those of groups that are gone included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock_store().total()
    }

    /// How many groups had to go because there was no more room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.lock_store().evicted()
    }

    fn lock_store(&self) -> MutexGuard<'_, GroupStore> {
        // Nothing under the lock leaves the store half done.
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ErrorTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.lock_store();
        f.debug_struct("ErrorTracker")
            .field("groups", &store.len())
            .field("total", &store.total())
            .field("evicted", &store.evicted())
            .finish_non_exhaustive()
    }
}

/// Settings for an [`ErrorTracker`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `build` is called"]
pub struct ErrorTrackerBuilder {
    limits: StoreLimits,
    event_buffer: usize,
}

impl ErrorTrackerBuilder {
    /// How many groups to keep. When there is no more room, the one that was not seen for the longest time
    /// goes: resolved ones first, ignored ones last.
    ///
    /// One group takes about 1 KiB as a rule and 17 KiB at worst. 1 to 65536. Default: 512.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.limits.max_groups = groups;
        self
    }

    /// How many messages one kind and route may have before all others go to one group, with the message
    /// `<other>`.
    ///
    /// Lower it if messages carry names or free text, which no pattern can tell from fixed words. 1 to
    /// 65536. Default: 64.
    pub fn max_variants(mut self, messages: usize) -> Self {
        self.limits.max_variants = messages;
        self
    }

    /// How many events a subscriber may be behind before it misses some. 1 to 65536. Default: 256.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.event_buffer = events;
        self
    }

    /// The tracker.
    ///
    /// # Errors
    ///
    /// A setting out of its range.
    pub fn build(self) -> Result<ErrorTracker, ConfigError> {
        let store = GroupStore::new(self.limits)?;
        check_limit("event_buffer", self.event_buffer)?;
        Ok(ErrorTracker::from_store(store, self.event_buffer))
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorEvent {
    /// A group that was not there before, or had to go for want of room so long ago that it is forgotten.
    New(ErrorGroup),
    /// A group that was resolved, and is open again.
    Regressed(ErrorGroup),
    /// This many events are lost, because the subscriber was too slow. The groups themselves are in
    /// [`ErrorTracker::groups`].
    Lagged(u64),
}

/// The events of an [`ErrorTracker`].
///
/// Works on any async runtime. Does not keep the tracker alive.
#[derive(Debug)]
pub struct ErrorEvents {
    receiver: broadcast::Receiver<ErrorEvent>,
}

impl ErrorEvents {
    /// The next event; `None` when the last handle of the tracker is gone.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<ErrorEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(ErrorEvent::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
