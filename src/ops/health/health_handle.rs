use std::{fmt, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
    time::{Instant, timeout},
};

use super::{
    ComponentSnapshot, HealthBuilder, HealthChange, HealthSnapshot, probes,
    runner::{Runner, beat},
    shared::{Shared, lock},
};
use crate::call::Label;

/// The health of this process: components that are checked in the background, and a snapshot that answers everybody.
///
/// The [module](super) says what happens.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
    seed: u64,
}

impl Health {
    /// Returns a builder for a service of this name.
    ///
    /// ```
    /// use tower_keep::ops::health::{Check, Health};
    ///
    /// let health = Health::builder("orders")
    ///     .version("2.14.0")
    ///     .check(Check::tcp("broker", "broker:5672").critical())
    ///     .build()?;
    /// assert!(!health.snapshot().is_ready, "the broker has not been checked yet");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(service: impl Into<Label>) -> HealthBuilder {
        HealthBuilder::new(service.into())
    }

    pub(super) fn new(shared: Shared, seed: u64) -> Self {
        Health {
            shared: Arc::new(shared),
            seed,
        }
    }

    /// Starts the checks, each in a task of its own, on the runtime of the caller. Further calls do nothing.
    ///
    /// They end when the last clone is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(&self) {
        self.spawn_on(&Handle::current());
    }

    /// Starts the checks on another runtime, so that threads of this one that are blocked do not delay them. Liveness is
    /// that of the other one.
    pub fn spawn_on(&self, runtime: &Handle) {
        let checks = {
            let mut checks = lock(&self.shared.checks);
            match checks.take() {
                Some(checks) => checks,
                None => return,
            }
        };
        let mut tasks = Vec::with_capacity(checks.len() + 1);
        self.shared.heartbeat.beat(Instant::now());
        tasks.push(runtime.spawn(beat(&self.shared)).abort_handle());
        for (index, check) in checks.into_iter().enumerate() {
            // A stream of random numbers of its own for each.
            let seed = self.seed.wrapping_add(index as u64);
            let runner = Runner::new(&self.shared, index, check, seed);
            tasks.push(runtime.spawn(runner.run()).abort_handle());
        }
        lock(&self.shared.tasks).extend(tasks);
    }

    /// Returns the latest snapshot. Takes no time to speak of, whatever the checks do.
    pub fn snapshot(&self) -> Arc<HealthSnapshot> {
        self.shared.snapshot()
    }

    /// Returns a receiver of the latest snapshot, which is woken at each change and each run.
    ///
    /// Do not keep what [`borrow`](watch::Receiver::borrow) returns: checks wait for it. Clone the `Arc`.
    pub fn watch(&self) -> watch::Receiver<Arc<HealthSnapshot>> {
        self.shared.watch()
    }

    /// Returns a receiver of the changes of status from now on. One that lags by more than 256 loses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<HealthChange> {
        self.shared.subscribe()
    }

    /// Runs a check at once, or waits for the run that is in progress. Returns the component afterwards; `None` if there is
    /// none of this name, or if the checks have not been started.
    ///
    /// Waits for twice the timeout of the check at most, and a second. One that is dropped stops waiting; the run goes on.
    pub async fn check_now(&self, name: &str) -> Option<ComponentSnapshot> {
        let mut watch = self.watch();
        let snapshot = self.snapshot();
        let index = snapshot
            .components
            .iter()
            .position(|each| each.name.as_str() == name)?;
        if lock(&self.shared.checks).is_some() {
            return None;
        }
        let runs = snapshot.components[index].runs;
        self.shared.runs[index].request();
        // Both of a run in progress and of one that follows it. No end comes from a runtime that has been shut down.
        let limit = snapshot.components[index].timeout * 2 + Duration::from_secs(1);
        let has_run = watch.wait_for(|latest| latest.components[index].runs > runs);
        let _ = timeout(limit, has_run).await;
        self.snapshot().components.get(index).cloned()
    }

    /// Tells that the application has started, if the builder was told to wait for that.
    pub fn started(&self) {
        self.shared.update(|model| model.set_started());
    }

    /// Makes the process not ready, since it is about to end. Liveness stays.
    ///
    /// Call it first on a graceful shutdown, then go on serving for some seconds: load balancers learn of it at their next
    /// probe.
    pub fn begin_shutdown(&self) {
        self.shared.update(|model| model.begin_shutdown());
    }

    /// Sets whether the application takes requests: for a drain by an operator, or a process that is full.
    pub fn set_ready(&self, takes_requests: bool) {
        self.shared
            .update(|model| model.set_takes_requests(takes_requests));
    }

    /// Returns whether the runtime runs tasks. No component has a say.
    pub fn is_live(&self) -> bool {
        self.shared.heartbeat.is_alive(Instant::now())
    }

    /// Returns a router with `/livez`, `/readyz` and `/startupz`, which answer from the snapshot.
    ///
    /// Merge it after the layers of the application, so that probes are not calls of it:
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_keep::{observe, ops::health::Health};
    ///
    /// let health = Health::builder("orders").build()?;
    /// let app: Router = Router::new()
    ///     .route("/orders/{id}", get(async || "an order"))
    ///     .layer(observe("orders").server())
    ///     .merge(health.probes());
    /// # let _ = app;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn probes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        probes::router(self.clone())
    }

    pub(super) fn has_verbose_probes(&self) -> bool {
        self.shared.has_verbose_probes
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Health")
            .field("service", &snapshot.service)
            .field("status", &snapshot.status)
            .field("is_ready", &snapshot.is_ready)
            .field("phase", &snapshot.phase)
            .finish_non_exhaustive()
    }
}
