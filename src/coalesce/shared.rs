use std::{
    any::TypeId,
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    CoalesceSettings, CoalesceStats,
    caller_deadline::CallerDeadline,
    flight::{Flight, LEADER, NotJoined},
    flight_table::FlightTable,
    metrics::{CoalesceEvent, CoalesceMetrics},
    seat::Seat,
};
use crate::{
    call::{ConfigError, Elapsed, Label, Rejection, RejectionKind, TimeoutKind, catch_hook},
    util::sync::{
        HashKeys,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The state of a [`Coalesce`](super::Coalesce), which all of its clones and layers share.
///
/// Calls in flight are found by the hash of their key, with a secret, so that nobody can choose keys that collide. The key itself is
/// compared after that: two keys of one hash are never one call.
pub(super) struct CoalesceShared {
    metrics: CoalesceMetrics,
    hash_keys: HashKeys,
    is_disabled: AtomicBool,
    flights: Mutex<FlightTable>,
    settings: Mutex<CoalesceSettings>,
    /// The bytes of all bodies that are shared, or being read for that.
    bytes_in_flight: Mutex<u64>,
}

/// The part that a call has in a shared one.
pub(super) enum Joined<K, F, T, O> {
    /// The call is to be made, for all.
    Leads(Seat<K, F, T, O>),
    /// The call waits for one that is in flight.
    Joins(Seat<K, F, T, O>),
    /// The call is to be made for itself.
    Alone,
    Rejected(Rejection),
}

impl CoalesceShared {
    pub(super) fn new(name: Label, settings: CoalesceSettings) -> Self {
        CoalesceShared {
            metrics: CoalesceMetrics::new(name),
            hash_keys: HashKeys::default(),
            is_disabled: AtomicBool::new(false),
            flights: Mutex::default(),
            settings: Mutex::new(settings),
            bytes_in_flight: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    pub(super) fn count(&self, event: CoalesceEvent) {
        self.metrics.count(event);
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Relaxed)
    }

    pub(super) fn set_disabled(&self, on: bool) {
        self.is_disabled.store(on, Relaxed);
    }

    /// Joins the call in flight of this key, or begins one, unless the deadline of the caller has passed.
    pub(super) fn join<K, F, T, O>(
        self: &Arc<Self>,
        key: Option<K>,
        deadline: &CallerDeadline,
    ) -> Joined<K, F, T, O>
    where
        K: Hash + Eq + Send + Sync + 'static,
        F: Send + 'static,
        T: Send + Sync + 'static,
        O: Send + 'static,
    {
        let joined = match key {
            Some(_) if self.is_disabled() => Joined::Alone,
            // The call knows no deadline, and would be made.
            Some(_) if deadline.has_passed() => Joined::Rejected(self.too_late()),
            Some(key) => self.join_key(key),
            None => Joined::Alone,
        };
        self.count(match joined {
            Joined::Leads(_) => CoalesceEvent::Led,
            Joined::Joins(_) => CoalesceEvent::Joined,
            Joined::Alone => CoalesceEvent::Alone,
            Joined::Rejected(_) => CoalesceEvent::Rejected,
        });
        joined
    }

    fn join_key<K, F, T, O>(self: &Arc<Self>, key: K) -> Joined<K, F, T, O>
    where
        K: Hash + Eq + Send + Sync + 'static,
        F: Send + 'static,
        T: Send + Sync + 'static,
        O: Send + 'static,
    {
        // Calls of other types have other results, and are no candidates.
        let types = TypeId::of::<Flight<K, F, T, O>>();
        let hash = self.hash_keys.hash_one((types, &key));
        let settings = self.settings();
        loop {
            let mut flights = self.lock();
            let Some(found) = flights.get(hash).cloned() else {
                if flights.joinable() >= settings.max_keys as usize {
                    return Joined::Alone;
                }
                let flight = Arc::new(Flight::new(key, hash));
                flights.insert(hash, flight.clone());
                drop(flights);
                return Joined::Leads(Seat::new(self.clone(), flight, LEADER));
            };
            // Without the lock: the comparison is code of the application.
            drop(flights);
            let Ok(flight) = found.downcast::<Flight<K, F, T, O>>() else {
                return Joined::Alone;
            };
            if flight.key != key {
                return Joined::Alone;
            }
            match flight.join(settings.max_waiters, settings.max_join_age) {
                Ok(caller) => return Joined::Joins(Seat::new(self.clone(), flight, caller)),
                Err(NotJoined::Full) => return Joined::Rejected(self.full()),
                Err(NotJoined::Over) => self.remove(&flight),
                Err(NotJoined::Old) => self.retire(&flight),
            }
        }
    }

    fn full(&self) -> Rejection {
        let rejection = Rejection::full(self.name().clone());
        rejection.with_reason("too many calls wait for the same one")
    }

    fn too_late(&self) -> Rejection {
        let rejection = Rejection::new(RejectionKind::DeadlineExceeded, self.name().clone());
        rejection.with_reason("the deadline has passed")
    }

    /// Counts a caller that stops waiting at its deadline, and returns the error that it gets.
    #[cold]
    pub(super) fn record_elapsed(&self) -> Elapsed {
        self.count(CoalesceEvent::TimedOut);
        Elapsed::new(self.name().clone(), TimeoutKind::Deadline, None)
    }

    /// Adds to the bytes in flight, if so many more fit. Counts a body that does not: its call is not shared.
    pub(super) fn reserve_bytes(&self, more: usize) -> bool {
        let max = u64::from(self.settings().max_bytes_in_flight);
        let mut bytes = self.lock_bytes();
        let sum = bytes.saturating_add(more as u64);
        let fits = sum <= max;
        if fits {
            *bytes = sum;
        }
        // Before the recorder is called.
        drop(bytes);
        if !fits {
            self.count(CoalesceEvent::BytesExceeded);
        }
        fits
    }

    /// Subtracts from the bytes in flight what was added to them.
    pub(super) fn release_bytes(&self, less: usize) {
        if less > 0 {
            let mut bytes = self.lock_bytes();
            *bytes = bytes.saturating_sub(less as u64);
        }
    }

    /// Removes a call from those in flight, if it is there.
    pub(super) fn remove<K, F, T, O>(&self, flight: &Arc<Flight<K, F, T, O>>) {
        let removed = self.lock().remove(flight.hash, flight);
        drop(removed);
    }

    /// Lets nobody join a call any more, which goes on for those who have.
    fn retire<K, F, T, O>(&self, flight: &Arc<Flight<K, F, T, O>>) {
        let retired = self.lock().retire(flight.hash, flight);
        drop(retired);
    }

    pub(super) fn stats(&self) -> CoalesceStats {
        let count = |event| self.metrics.get(event);
        // Each lock is left before the next is taken.
        let in_flight = self.lock().len();
        let bytes_in_flight = *self.lock_bytes();
        CoalesceStats {
            in_flight,
            bytes_in_flight,
            led: count(CoalesceEvent::Led),
            joined: count(CoalesceEvent::Joined),
            alone: count(CoalesceEvent::Alone),
            handed_over: count(CoalesceEvent::HandedOver),
            rejected: count(CoalesceEvent::Rejected),
            timed_out: count(CoalesceEvent::TimedOut),
            bytes_exceeded: count(CoalesceEvent::BytesExceeded),
        }
    }

    pub(super) fn settings(&self) -> CoalesceSettings {
        self.lock_settings().clone()
    }

    /// Applies settings. Logs what has changed.
    pub(super) fn apply(&self, to: &CoalesceSettings) -> Result<(), ConfigError> {
        to.check(self.name().as_str())?;
        let mut settings = self.lock_settings();
        let changes = settings.changes(to);
        *settings = to.clone();
        drop(settings);
        if changes.is_empty() {
            return Ok(());
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::coalesce",
                coalesce = self.name().as_str(),
                changes = &*changes.text(),
                "coalesce settings applied"
            );
        });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, FlightTable> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_bytes(&self) -> MutexGuard<'_, u64> {
        let bytes = self.bytes_in_flight.lock();
        bytes.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_settings(&self) -> MutexGuard<'_, CoalesceSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
