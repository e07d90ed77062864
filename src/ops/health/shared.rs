use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{broadcast, watch},
    task::AbortHandle,
};

use super::{
    CheckResult, HealthChange, HealthSnapshot, check::Check, heartbeat::Heartbeat, metrics,
    model::HealthModel, report::report_change, run_signal::RunSignal,
};

/// Number of changes that a subscriber may lag behind.
const MAX_CHANGES: usize = 256;

/// The state that all clones of a [`Health`](super::Health) share.
///
/// Locks: `model` before `latest`; neither is held while code of others runs. Readers take `latest` only, in which an `Arc`
/// is replaced: no check, and no subscriber, can make them wait.
pub(super) struct Shared {
    model: Mutex<HealthModel>,
    latest: Mutex<Arc<HealthSnapshot>>,
    watch: watch::Sender<Arc<HealthSnapshot>>,
    changes: broadcast::Sender<HealthChange>,
    pub(super) runs: Vec<Arc<RunSignal>>,
    pub(super) heartbeat: Heartbeat,
    pub(super) has_verbose_probes: bool,
    /// The checks, until they are spawned.
    pub(super) checks: Mutex<Option<Vec<Check>>>,
    pub(super) tasks: Mutex<Vec<AbortHandle>>,
}

impl Shared {
    pub(super) fn new(
        mut model: HealthModel,
        checks: Vec<Check>,
        heartbeat: Heartbeat,
        has_verbose_probes: bool,
    ) -> Self {
        let first = Arc::new(model.snapshot(SystemTime::now()));
        Shared {
            model: Mutex::new(model),
            latest: Mutex::new(first.clone()),
            watch: watch::Sender::new(first),
            changes: broadcast::Sender::new(MAX_CHANGES),
            runs: checks.iter().map(|_| Arc::default()).collect(),
            heartbeat,
            has_verbose_probes,
            checks: Mutex::new(Some(checks)),
            tasks: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<HealthSnapshot> {
        lock(&self.latest).clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<HealthSnapshot>> {
        self.watch.subscribe()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<HealthChange> {
        self.changes.subscribe()
    }

    /// Counts the result of a run, and reports what has changed.
    pub(super) fn on_result(
        &self,
        index: usize,
        result: CheckResult,
        duration: Duration,
        next: Duration,
    ) {
        let now = SystemTime::now();
        let (change, snapshot) = self.change(|model| {
            model.set_next_at(index, now + next);
            model.on_result(index, now, result, duration)
        });
        metrics::record_run(&snapshot.components[index], duration);
        if let Some(change) = change {
            report_change(&change);
            // An error means that nobody has subscribed.
            let _ = self.changes.send(change);
        }
        // Last: whoever is woken finds the metrics and the change as well.
        self.publish(snapshot);
    }

    /// Changes the model and publishes its next snapshot.
    pub(super) fn update(&self, change: impl FnOnce(&mut HealthModel)) {
        let ((), snapshot) = self.change(change);
        self.publish(snapshot);
    }

    /// Changes the model. Its next snapshot is the latest one from now on.
    fn change<R>(&self, change: impl FnOnce(&mut HealthModel) -> R) -> (R, Arc<HealthSnapshot>) {
        let mut model = lock(&self.model);
        let result = change(&mut model);
        let snapshot = Arc::new(model.snapshot(SystemTime::now()));
        // Under the lock of the model, so that no earlier snapshot replaces a later one.
        let before = std::mem::replace(&mut *lock(&self.latest), snapshot.clone());
        drop(model);
        drop(before);
        (result, snapshot)
    }

    /// Wakes those who watch, unless they have a later snapshot already.
    fn publish(&self, snapshot: Arc<HealthSnapshot>) {
        // Whoever borrows from a receiver holds up this line, but no reader of `latest`.
        self.watch.send_if_modified(|latest| {
            let is_newer = latest.version < snapshot.version;
            if is_newer {
                *latest = snapshot;
            }
            is_newer
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
