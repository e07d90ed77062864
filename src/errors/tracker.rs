use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;

use super::builder::{DEFAULT_EVENT_BUFFER, ErrorTrackerBuilder};
use super::event::ErrorEvent;
use super::events::ErrorEvents;
use super::fingerprint::Fingerprint;
use super::group::ErrorGroup;
use super::group_status::GroupStatus;
use super::record::ErrorRecord;
use super::store::{FingerprintedRecord, GroupChange, GroupStore};
use crate::call::catch_hook;

/// A handle that collects errors into groups; see the [module](super).
///
/// Clones are cheap and share the groups.
#[derive(Clone)]
pub struct ErrorTracker {
    shared: Arc<SharedErrors>,
}

/// The state that all clones share.
struct SharedErrors {
    store: Mutex<GroupStore>,
    events: broadcast::Sender<ErrorEvent>,
}

impl Default for ErrorTracker {
    fn default() -> Self {
        ErrorTracker::from_store(GroupStore::default(), DEFAULT_EVENT_BUFFER)
    }
}

impl ErrorTracker {
    /// Creates a tracker with the default settings.
    ///
    /// A tracker of its own, which no other layer records into:
    ///
    /// ```
    /// use tower_keep::{Track, errors::ErrorTracker};
    ///
    /// let errors = ErrorTracker::new();
    /// let track = Track::builder("orders").errors(errors.clone()).build()?;
    /// # let _ = track;
    /// assert_eq!(errors.total(), 0);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn new() -> Self {
        ErrorTracker::default()
    }

    /// Returns the tracker of this process, which is the default of all layers.
    ///
    /// The errors of all layers that were not given another tracker:
    ///
    /// ```
    /// use tower_keep::errors::ErrorTracker;
    ///
    /// for group in ErrorTracker::global().groups() {
    ///     println!("{} {} times: {}", group.fingerprint(), group.count(), group.message());
    /// }
    /// ```
    pub fn global() -> &'static ErrorTracker {
        static GLOBAL: OnceLock<ErrorTracker> = OnceLock::new();
        GLOBAL.get_or_init(ErrorTracker::default)
    }

    /// Returns a builder with the default settings.
    ///
    /// A larger store, for a service with many routes:
    ///
    /// ```
    /// use tower_keep::errors::ErrorTracker;
    ///
    /// let errors = ErrorTracker::builder().max_groups(2048).build()?;
    /// # let _ = errors;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> ErrorTrackerBuilder {
        ErrorTrackerBuilder::new()
    }

    pub(super) fn from_store(store: GroupStore, event_buffer: usize) -> Self {
        let shared = SharedErrors {
            store: Mutex::new(store),
            events: broadcast::Sender::new(event_buffer),
        };
        ErrorTracker {
            shared: Arc::new(shared),
        }
    }

    /// Records an error, and returns the fingerprint of its group.
    ///
    /// Takes about a microsecond, or ten with a long message. A lock is held for a small part of that.
    pub fn record(&self, record: ErrorRecord) -> Fingerprint {
        self.record_at(record, SystemTime::now())
    }

    /// Records an error that happened at another time, such as one read from a file.
    pub fn record_at(&self, record: ErrorRecord, at: SystemTime) -> Fingerprint {
        // Normalization takes most of the time, so it is done before the lock.
        let record = FingerprintedRecord::new(record, at);
        let mut store = self.lock_store();
        let (fingerprint, change) = store.record(record);
        let event: Option<fn(ErrorGroup) -> ErrorEvent> = match change {
            GroupChange::New => Some(ErrorEvent::New),
            GroupChange::Regressed => Some(ErrorEvent::Regressed),
            GroupChange::Known | GroupChange::Ignored | GroupChange::Returned => None,
        };
        // Cloned under the lock, so that the event shows the group as this record has left it.
        let event = event.and_then(|event| store.group(fingerprint).cloned().map(event));
        // Wakers of subscribers must not run under the lock.
        drop(store);
        if let Some(event) = event {
            // Fails if there are no subscribers, which is fine. Wakers are foreign code and may panic.
            catch_hook(|| self.shared.events.send(event).is_ok());
        }
        fingerprint
    }

    /// Records an error with its sources, outside of a call.
    pub fn capture(&self, error: &(dyn Error + 'static)) -> Fingerprint {
        self.record(ErrorRecord::from_error(None, error))
    }

    /// Returns snapshots of all groups, the one with the latest record first.
    #[must_use]
    pub fn groups(&self) -> Vec<ErrorGroup> {
        self.lock_store().groups().into_iter().cloned().collect()
    }

    /// Returns a snapshot of a group.
    #[must_use]
    pub fn group(&self, fingerprint: Fingerprint) -> Option<ErrorGroup> {
        self.lock_store().group(fingerprint).cloned()
    }

    /// Marks a group as resolved; its next error is reported as a regression. Returns `false` if the group does not
    /// exist.
    pub fn resolve(&self, fingerprint: Fingerprint) -> bool {
        self.set_status(fingerprint, GroupStatus::Resolved)
    }

    /// Marks a group as ignored: its errors are counted but not reported. Returns `false` if the group does not exist.
    pub fn ignore(&self, fingerprint: Fingerprint) -> bool {
        self.set_status(fingerprint, GroupStatus::Ignored)
    }

    /// Reverts [`resolve`](Self::resolve) or [`ignore`](Self::ignore). Returns `false` if the group does not exist.
    pub fn reopen(&self, fingerprint: Fingerprint) -> bool {
        self.set_status(fingerprint, GroupStatus::Open)
    }

    fn set_status(&self, fingerprint: Fingerprint, status: GroupStatus) -> bool {
        let before = self.lock_store().set_status(fingerprint, status);
        before.is_some()
    }

    /// Subscribes to groups that are new or regressed from now on.
    #[must_use]
    pub fn subscribe(&self) -> ErrorEvents {
        ErrorEvents {
            receiver: self.shared.events.subscribe(),
        }
    }

    /// Returns the number of recorded errors, those of evicted groups included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock_store().total()
    }

    /// Returns the number of evicted groups.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.lock_store().evicted()
    }

    fn lock_store(&self) -> MutexGuard<'_, GroupStore> {
        // No code under the lock panics, so a poisoned store is still consistent.
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
