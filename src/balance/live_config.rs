use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::BalanceSettings;

/// The settings that each call reads, which change while calls are in flight: one word each, and each read by itself.
#[derive(Debug)]
pub(super) struct LiveConfig {
    decay: AtomicU64,
    failure_penalty: AtomicU64,
    /// Zero where it is off: there is no time during which an endpoint is new.
    slow_start: AtomicU64,
    shadow: AtomicBool,
    is_disabled: AtomicBool,
}

impl LiveConfig {
    pub(super) fn new(settings: &BalanceSettings) -> Self {
        let config = LiveConfig {
            decay: AtomicU64::new(0),
            failure_penalty: AtomicU64::new(0),
            slow_start: AtomicU64::new(0),
            shadow: AtomicBool::new(false),
            is_disabled: AtomicBool::new(false),
        };
        config.set(settings);
        config
    }

    pub(super) fn set(&self, settings: &BalanceSettings) {
        let store = |word: &AtomicU64, time: Duration| {
            // Checked: no setting is longer than an hour.
            word.store(time.as_nanos() as u64, Ordering::Relaxed);
        };
        store(&self.decay, settings.decay);
        store(&self.failure_penalty, settings.failure_penalty);
        store(&self.slow_start, settings.slow_start.unwrap_or_default());
        self.shadow
            .store(settings.breaker.shadow, Ordering::Relaxed);
    }

    pub(super) fn decay(&self) -> Duration {
        load(&self.decay)
    }

    pub(super) fn failure_penalty(&self) -> Duration {
        load(&self.failure_penalty)
    }

    pub(super) fn slow_start(&self) -> Option<Duration> {
        Some(load(&self.slow_start)).filter(|time| !time.is_zero())
    }

    /// Returns whether endpoints that are ejected get no calls.
    pub(super) fn is_enforced(&self) -> bool {
        !self.shadow.load(Ordering::Relaxed) && !self.is_disabled()
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Relaxed)
    }

    pub(super) fn set_disabled(&self, on: bool) {
        self.is_disabled.store(on, Ordering::Relaxed);
    }
}

fn load(word: &AtomicU64) -> Duration {
    Duration::from_nanos(word.load(Ordering::Relaxed))
}
