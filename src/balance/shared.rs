use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use tokio::time::Instant;

use super::{
    BalanceSettings, BalanceStats,
    endpoint::Endpoint,
    live_config::LiveConfig,
    locked::{EndpointReport, Locked},
    metrics::BalanceMetrics,
    rotation::EndpointId,
};
use crate::{
    breaker::{BreakerSettings, CircuitBreaker, CircuitState, Transition, next_settings_version},
    call::{ConfigError, Label, catch_hook},
    registry::{self, GuardTransition},
    util::mix::stream,
};

/// The balancer behind all of its handles: its endpoints, and which of them are ejected.
pub(super) struct BalanceShared {
    pub(super) metrics: BalanceMetrics,
    pub(super) config: Arc<LiveConfig>,
    start: Instant,
    seed: Option<u64>,
    /// The ordinal of the next draw. Only used with a seed.
    draws: AtomicU64,
    locked: Mutex<Locked>,
    /// Held while gauges are set, so that the last of two threads sets the latest counts.
    reporting: Mutex<()>,
}

impl BalanceShared {
    pub(super) fn new(name: Label, settings: BalanceSettings, seed: Option<u64>) -> Self {
        BalanceShared {
            metrics: BalanceMetrics::new(name),
            config: Arc::new(LiveConfig::new(&settings)),
            start: Instant::now(),
            seed,
            draws: AtomicU64::new(0),
            locked: Mutex::new(Locked::new(settings)),
            reporting: Mutex::new(()),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    /// Draws a random number. Threads share no word for it unless there is a seed.
    pub(super) fn random(&self) -> u64 {
        match self.seed {
            Some(seed) => stream(seed, self.draws.fetch_add(1, Ordering::Relaxed)),
            None => fastrand::u64(..),
        }
    }

    /// Adds an endpoint, whose breaker reports to this balancer.
    pub(super) fn add(self: &Arc<Self>, label: Label) -> Arc<Endpoint> {
        let mut locked = self.lock();
        let id = locked.next_id();
        let (version, settings) = (locked.settings_version, locked.settings.breaker.clone());
        drop(locked);
        let breaker = self.new_breaker((id, &label), &settings);
        let now = Instant::now();
        let config = self.config.clone();
        let endpoint = Arc::new(Endpoint::new((id, label), breaker, config, self.start, now));
        let mut locked = self.lock();
        locked.endpoints.push(endpoint.clone());
        // Settings that were applied since to the endpoints of then have missed this one.
        let latest = (locked.settings_version, locked.settings.breaker.clone());
        let changes = locked.rotation.insert();
        locked.apply_changes(changes, now, None);
        drop(locked);
        if latest.0 != version {
            // Checked when they were applied.
            let _ = endpoint.breaker.apply_to_part(latest.0, &latest.1);
        }
        self.report();
        endpoint
    }

    fn new_breaker(
        self: &Arc<Self>,
        (id, label): (EndpointId, &Label),
        settings: &BreakerSettings,
    ) -> CircuitBreaker {
        let shared: Weak<BalanceShared> = Arc::downgrade(self);
        let mut builder = CircuitBreaker::builder(self.name().clone())
            .settings(settings)
            .on_transition(move |transition| {
                if let Some(shared) = shared.upgrade() {
                    shared.on_transition(id, transition);
                }
            });
        if let Some(seed) = self.seed {
            builder = builder.seed(stream(seed, id));
        }
        let breaker = CircuitBreaker::new_part(builder, label.clone());
        breaker.expect("settings were checked")
    }

    /// Removes endpoints. Calls in flight to them end as they would.
    pub(super) fn remove(&self, ids: &[EndpointId]) {
        let mut removed = Vec::new();
        let mut locked = self.lock();
        let now = Instant::now();
        for id in ids {
            if let Some(index) = locked.index(*id) {
                // Dropped without the lock: its breaker has a hook.
                removed.push(locked.endpoints.remove(index));
                let changes = locked.rotation.remove(*id);
                locked.apply_changes(changes, now, None);
            }
        }
        drop(locked);
        self.report();
    }

    /// Handles that the circuit of an endpoint has changed. Those of one endpoint come in order.
    fn on_transition(&self, id: EndpointId, transition: &Transition) {
        let mut locked = self.lock();
        // Calls in flight may open the circuit of an endpoint that is gone.
        if locked.index(id).is_none() {
            return;
        }
        let (changes, is_overflow) = match transition.to {
            CircuitState::Open | CircuitState::ForcedOpen => locked.rotation.open(id),
            CircuitState::Closed | CircuitState::Disabled => (locked.rotation.close(id), false),
            CircuitState::HalfOpen => return,
        };
        locked.apply_changes(changes, Instant::now(), Some((id, transition)));
        drop(locked);
        if is_overflow {
            self.metrics.count_overflow();
        }
        self.report();
    }

    pub(super) fn settings(&self) -> BalanceSettings {
        self.lock().settings.clone()
    }

    /// Changes the settings of all endpoints, and of those to come. `change` gets those of now, so that two that change one
    /// setting each lose none. Logs what has changed.
    pub(super) fn update(
        &self,
        change: impl FnOnce(&mut BalanceSettings),
    ) -> Result<(), ConfigError> {
        let mut locked = self.lock();
        let mut to = locked.settings.clone();
        change(&mut to);
        to.check(self.name().as_str())?;
        let changes = locked.settings.changes(&to);
        if changes.is_empty() {
            return Ok(());
        }
        // Under the lock, so that the endpoints end with the settings that the balancer has, whichever thread comes to them last.
        let version = next_settings_version();
        locked.settings_version = version;
        locked.settings = to.clone();
        self.config.set(&to);
        let rotation = locked.rotation.set_max_ejected(to.max_ejected);
        locked.apply_changes(rotation, Instant::now(), None);
        let endpoints = locked.endpoints.clone();
        drop(locked);
        // Without the lock: whoever waits for a breaker is woken.
        for endpoint in &endpoints {
            endpoint.breaker.apply_to_part(version, &to.breaker)?;
        }
        self.report();
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::balance",
                balance = self.name().as_str(),
                changes = &*changes.text(),
                "balance settings applied"
            );
        });
        Ok(())
    }

    pub(super) fn apply(&self, to: &BalanceSettings) -> Result<(), ConfigError> {
        self.update(|settings| *settings = to.clone())
    }

    pub(super) fn set_shadow(&self, on: bool) {
        // The rest was checked when it was applied.
        let _ = self.update(|settings| settings.breaker.shadow = on);
    }

    /// Forgets what calls have shown of all endpoints, which returns them, and ejects again if it was disabled.
    pub(super) fn reset(&self) {
        self.config.set_disabled(false);
        // Without the lock: a reset is a transition.
        for endpoint in self.endpoints() {
            endpoint.reset();
        }
    }

    pub(super) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.lock().endpoints.clone()
    }

    pub(super) fn stats(&self) -> BalanceStats {
        let now = Instant::now();
        let locked = self.lock();
        let (ejected, max_ejected) = (locked.rotation.ejected(), locked.rotation.allowed());
        let endpoints = locked.endpoints.clone();
        drop(locked);
        BalanceStats {
            endpoints: endpoints.iter().map(|one| one.stats(now)).collect(),
            ejected,
            max_ejected,
            ejections: self.metrics.ejections(),
            overflows: self.metrics.overflows(),
            rejected: self.metrics.rejected(),
            lookup_failures: self.metrics.lookup_failures(),
        }
    }

    /// Reports the gauges to a recorder that was installed after the last change.
    #[inline]
    pub(super) fn report_to_new_recorder(&self) {
        if self.metrics.register_gauges() {
            self.report_endpoints();
        }
    }

    fn report_endpoints(&self) {
        let _reporting = self
            .reporting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let locked = self.lock();
        let (all, ejected) = (locked.rotation.endpoints(), locked.rotation.ejected());
        drop(locked);
        self.metrics.report_endpoints(all, ejected);
    }

    /// Tells metrics, subscribers and the log of what has changed, after what other threads have queued before.
    fn report(&self) {
        self.metrics.register_gauges();
        self.report_endpoints();
        let mut locked = self.lock();
        if !locked.begin_reporting() {
            return;
        }
        while let Some(report) = locked.next_report() {
            drop(locked);
            if report.is_ejected {
                self.metrics.count_ejection();
            }
            catch_hook(|| self.publish(&report));
            locked = self.lock();
        }
    }

    fn publish(&self, report: &EndpointReport) {
        let EndpointReport {
            endpoint,
            is_ejected,
            reason,
            last_error,
        } = report;
        let shadow = !self.config.is_enforced();
        let (from, to) = match *is_ejected {
            true => ("in_rotation", "ejected"),
            false => ("ejected", "in_rotation"),
        };
        registry::publish(|| GuardTransition {
            kind: "balance",
            name: self.name().clone(),
            key: Some(endpoint.clone()),
            from,
            to,
            reason,
            last_error: last_error.clone(),
            limits: None,
            shadow,
            at: SystemTime::now(),
        });
        let (balance, endpoint) = (self.name().as_str(), endpoint.as_str());
        let last_error = last_error.as_ref().map(Label::as_str);
        match *is_ejected {
            true => {
                tracing::warn!(target: "tower_keep::balance", balance, endpoint, reason, last_error, shadow, "endpoint ejected")
            }
            false => {
                tracing::info!(target: "tower_keep::balance", balance, endpoint, reason, shadow, "endpoint is back in rotation")
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
