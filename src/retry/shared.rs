use std::sync::{Arc, atomic};

use tokio::time::Instant;

use super::{
    Budget, CallConfig, RetrySettings,
    builder::component,
    call_config::pack,
    delays::{next_seed, random_seed},
    metrics::RetryMetrics,
};
use crate::{
    call::{ConfigError, Label},
    util::{
        history::History,
        setting_changes::SettingChanges,
        sync::atomic::{AtomicU64, Ordering},
    },
};

/// The retry behind all of its handles.
///
/// Its settings can be changed while calls use them. A call that succeeds at once reads one word. One that fails takes the
/// settings with which it began, by their version.
pub(super) struct RetryShared {
    /// See [`CallConfig`].
    config_word: AtomicU64,
    history: History<RetrySettings>,
    /// Unused while the settings have none.
    pub(super) budget: Budget,
    /// Each call takes the next seed of the sequence.
    jitter_seeds: atomic::AtomicU64,
    pub(super) metrics: RetryMetrics,
}

impl RetryShared {
    /// Takes settings that are valid.
    pub(super) fn new(
        name: Label,
        settings: RetrySettings,
        budget: Budget,
        seed: Option<u64>,
    ) -> Self {
        RetryShared {
            config_word: AtomicU64::new(pack(&settings, 0)),
            history: History::new(settings),
            budget,
            jitter_seeds: atomic::AtomicU64::new(seed.unwrap_or_else(random_seed)),
            metrics: RetryMetrics::new(name),
        }
    }

    /// Returns what a call needs that begins now.
    #[inline]
    pub(super) fn config_word(&self) -> u64 {
        // Relaxed: the settings of a version are read under a lock, and were added before the version was published.
        self.config_word.load(Ordering::Relaxed)
    }

    /// Returns the settings of a call that began with this version, or the oldest ones that are kept.
    pub(super) fn find_settings(&self, version: u8, max_attempts: u32) -> Arc<RetrySettings> {
        let mut settings = self.history.find(version);
        if settings.max_attempts != max_attempts {
            // Its own are gone. The attempts stay as many as they were, since what keeps no request for another attempt
            // relies on that.
            Arc::make_mut(&mut settings).max_attempts = max_attempts;
        }
        settings
    }

    /// Returns the seed for the jitter of a call.
    pub(super) fn next_jitter_seed(&self) -> u64 {
        next_seed(&self.jitter_seeds)
    }

    /// Returns the budget, if calls that begin now have one.
    pub(super) fn budget(&self) -> Option<&Budget> {
        let config = CallConfig::of_word(self.config_word());
        config.has_budget().then_some(&self.budget)
    }

    /// Returns the settings of calls that begin now.
    pub(super) fn latest_settings(&self) -> RetrySettings {
        self.settings_now(&self.history.latest())
    }

    /// Returns published settings as they are: those of the budget may have been changed by another that shares it.
    fn settings_now(&self, published: &RetrySettings) -> RetrySettings {
        let budget = published.budget.map(|_| self.budget.settings());
        RetrySettings {
            budget,
            ..published.clone()
        }
    }

    /// Checks settings, applies them, and logs what they have changed.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    pub(super) fn apply(&self, settings: &RetrySettings) -> Result<(), ConfigError> {
        settings.validate(&component(&self.metrics.name()))?;
        let changes = self.apply_valid(settings, Instant::now());
        self.metrics.report_applied(&changes);
        Ok(())
    }

    /// Changes the settings, which are valid, for calls that begin later. Returns what was changed.
    pub(super) fn apply_valid(&self, settings: &RetrySettings, now: Instant) -> SettingChanges {
        // Held to the end, so that the settings of two changes do not mix.
        let mut versions = self.history.lock();
        let changes = self.settings_now(versions.latest()).changes(settings);
        if changes.is_empty() {
            return changes;
        }
        if let Some(budget) = settings.budget {
            // First, so that no call uses a budget of former settings for the first time.
            self.budget.apply(budget, now);
        }
        let version = versions.push(settings.clone());
        let word = pack(settings, version);
        self.config_word.store(word, Ordering::Relaxed);
        changes
    }
}
