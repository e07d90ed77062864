use std::{
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    HedgeSettings, HedgeStats,
    latencies::{Latencies, Sample},
    metrics::HedgeMetrics,
    not_hedged::NotHedged,
};
use crate::{
    call::{CallClock, ConfigError, Label, Outcome, SharedDuration},
    retry::{Budget, CallConfig, Reservation, Retry},
};

/// The hedge behind all of its handles.
pub(super) struct HedgeShared {
    pub(super) metrics: HedgeMetrics,
    /// The settings of the attempts, and the budget. Not in the registry.
    pub(super) retry: Retry,
    /// Knows whether the peer fails: gRPC's throttle (proposal A6), which is emptied by failures and filled by successes.
    throttle: Budget,
    /// `false` if calls are counted in the budget by the retry that shares it.
    counts_calls: bool,
    /// The delay of calls that begin now.
    delay: SharedDuration,
    /// `true` if the delay is a percentile, so that attempts are timed.
    is_timed: AtomicBool,
    latencies: Mutex<Latencies>,
    /// Held while settings are changed.
    settings: Mutex<HedgeSettings>,
}

impl HedgeShared {
    /// Takes settings that are valid.
    pub(super) fn new(
        name: Label,
        settings: HedgeSettings,
        budget: Budget,
        counts_calls: bool,
    ) -> Self {
        let latencies = Latencies::new(settings.latencies(), Instant::now());
        HedgeShared {
            retry: Retry::unregistered(name.clone(), settings.attempts(), budget, None),
            metrics: HedgeMetrics::new(name),
            throttle: Budget::from_settings(Budget::throttle().into()),
            counts_calls,
            delay: SharedDuration::new(settings.delay),
            is_timed: AtomicBool::new(settings.delay.is_none()),
            latencies: Mutex::new(latencies),
            settings: Mutex::new(settings),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    /// Returns the delay of a call that begins now.
    #[inline]
    pub(super) fn delay(&self) -> Option<Duration> {
        self.delay.get()
    }

    /// Returns whether attempts are timed.
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.is_timed.load(Ordering::Relaxed)
    }

    /// Returns the budget of a call, if the hedge counts the call in it.
    #[inline]
    pub(super) fn own_budget(&self, config: &CallConfig) -> Option<&Budget> {
        config.budget(&self.retry).filter(|_| self.counts_calls)
    }

    /// Reserves a hedge after an attempt with this outcome, or because one takes long.
    pub(super) fn reserve(
        &self,
        config: &CallConfig,
        after: Outcome,
        now: &CallClock,
    ) -> Result<Option<Reservation>, NotHedged> {
        // A throttle takes nothing, so there is nothing to keep.
        if self.throttle.reserve(after, now).is_none() {
            return Err(NotHedged::Failing);
        }
        match config.budget(&self.retry) {
            None => Ok(None),
            Some(budget) => match budget.reserve(after, now) {
                Some(reservation) => Ok(Some(reservation)),
                None => Err(NotHedged::Budget),
            },
        }
    }

    /// Counts the outcome of an attempt, whichever it is.
    #[inline]
    pub(super) fn count_outcome(&self, outcome: Outcome) {
        self.throttle.complete(outcome);
    }

    /// Adds the time of an attempt. Left out if another thread does so at the same time: no call waits for it.
    #[inline]
    pub(super) fn record(&self, started: Instant, now: Instant, sample: Sample) {
        let mut latencies = match self.latencies.try_lock() {
            Ok(latencies) => latencies,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let lasted = now.saturating_duration_since(started);
        let percentile = latencies.record(now, lasted, sample);
        self.publish(percentile);
    }

    /// Publishes the percentile, unless the delay is fixed. Called under the lock of the samples, so that the last word is the
    /// newest. Writes only what is new, since all calls read it.
    fn publish(&self, percentile: Option<Duration>) {
        if self.is_timed() && self.delay.get() != percentile {
            self.delay.set(percentile);
        }
    }

    pub(super) fn stats(&self) -> HedgeStats {
        let mut latencies = self.lock_latencies();
        let percentile = latencies.advance(Instant::now());
        self.publish(percentile);
        HedgeStats {
            delay: self.delay(),
            samples: latencies.samples(),
            sent: self.metrics.sent(),
            won: self.metrics.won(),
            not_sent: NotHedged::ALL
                .iter()
                .map(|reason| self.metrics.not_hedged(*reason))
                .sum(),
        }
    }

    /// Returns the settings as they are: those of the budget may have been changed by another that shares it.
    pub(super) fn settings(&self) -> HedgeSettings {
        self.with_budget_as_it_is(self.lock_settings().clone())
    }

    fn with_budget_as_it_is(&self, settings: HedgeSettings) -> HedgeSettings {
        HedgeSettings {
            budget: self.retry.settings().budget,
            ..settings
        }
    }

    /// Applies settings. Logs what has changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub(super) fn apply(&self, to: &HedgeSettings) -> Result<(), ConfigError> {
        to.check(self.name().as_str())?;
        let mut settings = self.lock_settings();
        let changes = self.with_budget_as_it_is(settings.clone()).changes(to);
        if changes.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        self.retry.apply_unreported(&to.attempts(), now);
        self.apply_delay(to, now);
        *settings = to.clone();
        drop(settings);
        self.metrics.report_applied(&changes);
        Ok(())
    }

    fn apply_delay(&self, to: &HedgeSettings, now: Instant) {
        // Under its lock, so that no percentile is published over a fixed delay.
        let mut latencies = self.lock_latencies();
        let percentile = latencies.set_config(to.latencies(), now);
        self.is_timed.store(to.delay.is_none(), Ordering::Relaxed);
        self.delay.set(to.delay.or(percentile));
    }

    /// Forgets all samples and all failures.
    pub(super) fn reset(&self) {
        let now = Instant::now();
        let mut latencies = self.lock_latencies();
        latencies.clear(now);
        self.publish(None);
        drop(latencies);
        self.throttle.reset(now);
    }

    fn lock_latencies(&self) -> MutexGuard<'_, Latencies> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_settings(&self) -> MutexGuard<'_, HedgeSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
