use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio::time::Instant;

#[cfg(feature = "ops-logs")]
use super::logs::LogStore;
#[cfg(feature = "ops-sqlite")]
use super::metric_history::MetricHistory;
#[cfg(feature = "ops-logs")]
use super::traces::Traces;
use super::{
    access::{FailedLoginCount, FailedLogins, LoginSource},
    alerting,
    alerts::Alerts,
    api::sections::{self, Sections},
    audit, control,
    guards::{GuardHistory, Holds},
    health::Health,
    journal::{Event, EventKind, Journal, Severity},
    log_level::{self, TemporaryFilter},
    notify::Notifications,
    push::{FirstParts, Hub, PushChannel, Update, UpdateKind},
    recorder::Recorder,
    series::{Query, QueryError, QueryResult},
    store::{Store, Trouble},
    time::clock,
    workflows::{self, Workflows},
};
use crate::{call::Label, errors::ErrorTracker, track::CallTable};

/// The names of the service, as the console shows them.
#[derive(Clone, Debug)]
pub(in crate::ops) struct About {
    pub(super) service: Label,
    pub(super) version: Option<Label>,
    pub(super) instance: Option<Label>,
    pub(super) environment: Option<Label>,
    pub(super) started_at: SystemTime,
    /// The same by a clock that nobody sets.
    pub(super) started: Instant,
}

/// The options of the builder that are values.
#[derive(Debug)]
pub(super) struct CoreOptions {
    /// True if operators may change something.
    pub(super) allow_control: bool,
    /// True if the console shows calls in flight.
    pub(super) watch_calls: bool,
    pub(super) log_filter: Option<TemporaryFilter>,
    pub(super) store: Store,
    pub(super) notifications: Notifications,
    pub(super) alerts: Alerts,
    #[cfg(feature = "ops-sqlite")]
    pub(super) metric_history: Option<MetricHistory>,
}

/// The parts of which each has a builder or is one of its own.
pub(super) struct CoreParts {
    pub(super) recorder: Recorder,
    pub(super) health: Health,
    pub(super) errors: ErrorTracker,
    pub(super) journal: Journal,
    pub(super) hub: Hub,
    pub(super) workflows: Arc<Workflows>,
    #[cfg(feature = "ops-logs")]
    pub(super) logs: LogStore,
    #[cfg(feature = "ops-logs")]
    pub(super) traces: Traces,
}

/// The knowledge of the operations side, shared by the driver and the API. Viewers do not hold it.
///
/// No lock in it is taken by a call of the application. `control` and `last` come before the others, which are held one at a time.
pub(super) struct Core {
    pub(super) about: About,
    pub(super) recorder: Recorder,
    pub(super) health: Health,
    pub(super) errors: ErrorTracker,
    pub(super) journal: Journal,
    pub(super) hub: Hub,
    pub(super) store: Store,
    pub(super) notifications: Notifications,
    pub(super) workflows: Arc<Workflows>,
    #[cfg(feature = "ops-logs")]
    pub(super) logs: LogStore,
    pub(super) alerts: Alerts,
    #[cfg(feature = "ops-sqlite")]
    metric_history: Option<MetricHistory>,
    /// True if operators may change something.
    pub(super) allow_control: bool,
    /// True if the console shows calls in flight.
    watch_calls: bool,
    #[cfg(feature = "ops-logs")]
    pub(super) traces: Traces,
    log_filter: Mutex<Option<TemporaryFilter>>,
    guards: Mutex<GuardHistory>,
    holds: Mutex<Holds>,
    control: Mutex<()>,
    failed_logins: Mutex<FailedLogins>,
    last: Mutex<LastUpdate>,
    /// The number of updates, each of which was serialized once.
    updates: AtomicU64,
    /// True once the driver runs.
    is_running: AtomicBool,
}

/// The update before.
#[derive(Default)]
struct LastUpdate {
    sections: Option<Sections>,
    /// The number of the last event that viewers have.
    shown: u64,
    /// The version of the workflows in the last change. A tick does not count: a viewer may have none for a minute.
    workflows: u64,
    /// The number of the last record of the log that viewers have.
    #[cfg(feature = "ops-logs")]
    tailed: u64,
}

impl Core {
    pub(super) fn new(about: About, parts: CoreParts, options: CoreOptions) -> Self {
        Core {
            about,
            recorder: parts.recorder,
            health: parts.health,
            errors: parts.errors,
            journal: parts.journal,
            hub: parts.hub,
            #[cfg(feature = "ops-sqlite")]
            metric_history: options.metric_history,
            store: options.store,
            notifications: options.notifications,
            workflows: parts.workflows,
            #[cfg(feature = "ops-logs")]
            logs: parts.logs,
            alerts: options.alerts,
            allow_control: options.allow_control,
            watch_calls: options.watch_calls,
            #[cfg(feature = "ops-logs")]
            traces: parts.traces,
            log_filter: Mutex::new(options.log_filter),
            guards: Mutex::default(),
            holds: Mutex::default(),
            control: Mutex::default(),
            failed_logins: Mutex::default(),
            last: Mutex::default(),
            updates: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
        }
    }

    /// Returns true for the first caller, who runs the driver.
    pub(super) fn claim_driver(&self) -> bool {
        !self.is_running.swap(true, Ordering::Relaxed)
    }

    pub(super) fn guards(&self) -> MutexGuard<'_, GuardHistory> {
        lock(&self.guards)
    }

    pub(super) fn holds(&self) -> MutexGuard<'_, Holds> {
        lock(&self.holds)
    }

    pub(super) fn failed_logins(&self) -> MutexGuard<'_, FailedLogins> {
        lock(&self.failed_logins)
    }

    /// Waits until no other operator acts on a guard, and no hold ends. Hooks of guards run meanwhile, so that nothing else waits
    /// for this lock.
    pub(super) fn control_alone(&self) -> MutexGuard<'_, ()> {
        lock(&self.control)
    }

    /// Returns the calls in flight, if the console shows them.
    pub(super) fn calls(&self) -> Option<&'static CallTable> {
        self.watch_calls.then(CallTable::global)
    }

    /// Returns whether the trace of this ID is kept, to be linked.
    #[cfg(feature = "ops-logs")]
    pub(super) fn keeps_trace(&self, trace_id: Option<&str>) -> bool {
        let parsed = trace_id.and_then(|id| crate::context::TraceId::from_hex(id.as_bytes()));
        parsed.is_some_and(|trace_id| self.traces.contains(trace_id))
    }

    #[cfg(not(feature = "ops-logs"))]
    pub(super) fn keeps_trace(&self, _: Option<&str>) -> bool {
        false
    }

    /// Returns the filter of the log, if there is one. It runs under this lock, so that nothing else waits for it.
    pub(super) fn log_filter(&self) -> MutexGuard<'_, Option<TemporaryFilter>> {
        lock(&self.log_filter)
    }

    /// Does what is due each second.
    pub(super) fn tick(&self, at: SystemTime, now: Instant) {
        let second = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.recorder.tick(second.as_secs());
        #[cfg(feature = "ops-sqlite")]
        if let Some(history) = &self.metric_history {
            history.restore();
        }
        self.record_notices();
        alerting::tick(self, now);
        control::end_holds(self, now);
        log_level::end(self, now);
        self.tick_workflows();
        #[cfg(feature = "ops-logs")]
        self.traces.tick(now);
        let failed = self.failed_logins().take_due(now);
        self.record_failed_logins(failed, at);
        self.store_logs();
        // Read first: what happens once a viewer has come is shown to it.
        let (shown, workflows) = (self.journal.last(), self.workflows.version());
        if self.hub.viewers() > 0 {
            self.send_update(UpdateKind::Tick, at);
        } else {
            // What nobody looks at becomes old.
            let mut last = lock(&self.last);
            *last = LastUpdate {
                sections: None,
                shown,
                workflows,
                #[cfg(feature = "ops-logs")]
                tailed: self.logs.tail(u64::MAX).1,
            };
            self.hub.clear();
        }
    }

    /// Stores what was logged, and counts what could not be kept.
    pub(super) fn store_logs(&self) {
        #[cfg(feature = "ops-logs")]
        {
            self.logs.store();
            self.logs.count(&self.recorder);
        }
    }

    /// Keeps of the log what the directives of an operator let through, or again what is kept otherwise.
    pub(super) fn follow_log_filter(&self, directives: Option<&str>) {
        #[cfg(feature = "ops-logs")]
        self.logs.follow(directives);
        #[cfg(not(feature = "ops-logs"))]
        let _ = directives;
    }

    fn tick_workflows(&self) {
        let lost = self.workflows.tick();
        self.workflows.count(&self.recorder);
        workflows::record_lost(&self.journal, &self.recorder, &lost);
    }

    /// Records what somebody did, in the log as well.
    pub(super) fn audit(&self, event: Event) -> u64 {
        audit::report(&event);
        self.journal.record(event)
    }

    /// Answers a query of metrics from memory, and from the file where memory does not reach. Blocks.
    pub(super) fn query(&self, query: &Query) -> Result<QueryResult, QueryError> {
        #[cfg(feature = "ops-sqlite")]
        if let Some(history) = &self.metric_history {
            return history.query(query);
        }
        self.recorder.query(query)
    }

    #[cfg(all(test, feature = "ops-sqlite"))]
    pub(super) fn metric_history(&self) -> Option<&MetricHistory> {
        self.metric_history.as_ref()
    }

    /// Lets the file have all that it can have now: the process is about to end.
    pub(super) fn flush(&self) {
        #[cfg(feature = "ops-sqlite")]
        if let Some(history) = &self.metric_history {
            history.write_begun_minute();
        }
        self.store.flush();
    }

    /// Returns how much was not written to the file, since more waited than may.
    pub(super) fn store_dropped(&self) -> u64 {
        #[cfg(feature = "ops-sqlite")]
        if let Some(history) = &self.metric_history {
            return self.store.dropped() + history.dropped();
        }
        self.store.dropped()
    }

    /// Records what the store has to say of its file.
    fn record_notices(&self) {
        let trouble = self.store.trouble();
        for text in trouble.map(Trouble::take_notices).unwrap_or_default() {
            let subject = self.about.service.as_str();
            let event = Event::new(EventKind::Lifecycle, Severity::Warning, subject, text);
            self.journal.record(event);
        }
    }

    /// Records how many logins have failed until now.
    pub(super) fn record_failed_logins(&self, counts: Vec<FailedLoginCount>, now: SystemTime) {
        for counted in counts {
            let address = match counted.source {
                Some(source @ LoginSource::Address(_)) => Some(source.to_string()),
                Some(LoginSource::Unknown) | None => None,
            };
            let subject = self.about.service.as_str();
            let since = now.checked_sub(counted.age).unwrap_or(now);
            let text = format!("{counted} in the minute from {}", clock(since));
            let event = Event::new(EventKind::Login, Severity::Warning, subject, text)
                .with("address", address)
                .with("count", counted.count);
            self.audit(event);
        }
    }

    /// Sends viewers what is new, if there are any.
    pub(super) fn send_update(&self, kind: UpdateKind, at: SystemTime) {
        if self.hub.viewers() > 0 {
            let mut last = lock(&self.last);
            // Several events are one change: the later ones may be in the update of the first.
            let is_same =
                self.journal.last() <= last.shown && self.workflows.version() <= last.workflows;
            if kind == UpdateKind::Change && is_same {
                return;
            }
            let update = self.update(kind, at, &mut last);
            // Under the lock, so that updates come in their order.
            self.hub.send(update);
        }
    }

    /// Returns the present for a viewer: the latest update, or a new one.
    pub(super) fn present(&self, at: SystemTime) -> Arc<Update> {
        if let Some(latest) = self.hub.latest() {
            return latest;
        }
        let mut last = lock(&self.last);
        // Made by somebody else who has come at the same time?
        self.hub.latest().unwrap_or_else(|| {
            let update = self.update(UpdateKind::Tick, at, &mut last);
            self.hub.keep(update.clone());
            update
        })
    }

    /// Returns the present with all that a first frame has.
    pub(super) fn first(&self, at: SystemTime) -> Arc<Update> {
        let update = self.present(at);
        update.first.get_or_init(|| FirstParts {
            overview: sections::overview(self, at),
            journal: sections::journal(self),
        });
        update
    }

    fn update(&self, kind: UpdateKind, at: SystemTime, last: &mut LastUpdate) -> Arc<Update> {
        let seq = self.updates.fetch_add(1, Ordering::Relaxed) + 1;
        let (before, shown) = (last.sections.take(), last.shown);
        let workflows = self.workflows.version();
        let (sections, mut update) = sections::update(self, kind, seq, at, before.as_ref(), shown);
        #[cfg(feature = "ops-logs")]
        if kind == UpdateKind::Tick {
            let (chunk, newest) = self.logs.tail(last.tailed);
            (update.logs, last.tailed) = (Some(chunk), newest);
        }
        if kind == UpdateKind::Change && workflows > last.workflows {
            update.changed.insert(PushChannel::Workflows);
            last.workflows = workflows;
        }
        last.sections = Some(sections);
        if let Some(newest) = update.newest_event {
            last.shown = newest;
        }
        Arc::new(update)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Nobody else would end them.
        let holds = std::mem::take(self.holds.get_mut().unwrap_or_else(PoisonError::into_inner));
        holds.end_all();
        if *self.is_running.get_mut() {
            // What was added since the last tick.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.recorder.tick(now.unwrap_or_default().as_secs());
        }
        // On their way to the file, which is closed after this.
        #[cfg(feature = "ops-logs")]
        self.traces.refresh();
        self.flush();
        // A task that is aborted may have a clone for a moment: the application may exit before.
        self.store.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Ops, push::NextUpdate};

    #[tokio::test]
    async fn twenty_viewers_cost_one_serialization_per_tick() {
        let core = Ops::builder("orders").build().expect("valid").into_core();
        let (at, now) = (SystemTime::now(), Instant::now());
        core.tick(at, now);
        assert_eq!(core.updates.load(Ordering::Relaxed), 0, "nobody looks");
        let mut seats: Vec<_> = (0..20).map(|_| core.hub.join().expect("a seat")).collect();
        // The first frames of all who come, and the answers to what they ask.
        let first: Vec<_> = (0..20).map(|_| core.first(at)).collect();
        assert!(first.iter().all(|each| Arc::ptr_eq(each, &first[0])));
        for tick in 1..=3 {
            core.tick(at, now);
            assert_eq!(core.updates.load(Ordering::Relaxed), 1 + tick);
            let latest = core.present(at);
            for seat in &mut seats {
                let NextUpdate::Update(update) = seat.next().await else {
                    panic!("an update")
                };
                assert!(Arc::ptr_eq(&update, &latest));
            }
        }
        drop(seats);
        core.tick(at, now);
        assert_eq!(
            core.updates.load(Ordering::Relaxed),
            4,
            "nobody looks any more"
        );
    }

    /// Three events at once made up to three updates, of which two had none.
    #[test]
    fn change_without_a_new_event_costs_no_update() {
        let core = Ops::builder("orders").build().expect("valid").into_core();
        let at = SystemTime::now();
        let _seat = core.hub.join().expect("a seat");
        let push = || {
            core.send_update(UpdateKind::Change, at);
            core.updates.load(Ordering::Relaxed)
        };
        assert_eq!(push(), 0);
        for _ in 0..3 {
            let event = Event::new(EventKind::Custom, Severity::Info, "orders", "x");
            core.journal.record(event);
        }
        assert_eq!([push(), push(), push()], [1, 1, 1]);
    }
}
