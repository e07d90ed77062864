use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    RateLimitBuilder, RateLimitSettings,
    fields::FieldsConfig,
    limit_metrics::{LimitEvent, LimitMetrics},
    quota::{Denial, Quota},
    ticks::{duration, ticks, ticks_since},
};
use crate::{
    call::{ConfigError, Label, Rejection, catch_hook},
    guard::ReadySignal,
    registry::GuardAction,
    util::{
        setting_changes::SettingChanges,
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The value of a pause that peers cannot ask for.
const NO_PAUSE: u64 = u64::MAX;

/// The part that limits of one bucket and of one for each key have in common: all but the buckets.
pub(super) struct LimitControl {
    start: Instant,
    is_shadow: AtomicBool,
    is_disabled: AtomicBool,
    max_wait: AtomicU64,
    max_pause: AtomicU64,
    pub(super) fields: FieldsConfig,
    pub(super) metrics: LimitMetrics,
    pub(super) signal: ReadySignal,
    settings: Mutex<RateLimitSettings>,
}

impl LimitControl {
    pub(super) fn new(builder: RateLimitBuilder) -> Self {
        let settings = builder.settings;
        LimitControl {
            start: Instant::now(),
            is_shadow: AtomicBool::new(settings.shadow),
            is_disabled: AtomicBool::new(false),
            max_wait: AtomicU64::new(ticks(settings.max_wait)),
            max_pause: AtomicU64::new(pause_ticks(&settings)),
            fields: builder.fields,
            metrics: LimitMetrics::new(builder.name),
            signal: ReadySignal::new(),
            settings: Mutex::new(settings),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    /// Returns the time as buckets count it.
    #[inline]
    pub(super) fn ticks(&self, now: Instant) -> u64 {
        ticks_since(self.start, now)
    }

    /// Rejects a call, unless the limit rejects none. Returns whether it counts as rejected.
    #[cold]
    pub(super) fn reject(&self, denial: Denial) -> Result<(), Rejection> {
        // Disabled, it does not even count.
        if self.is_disabled() {
            return Ok(());
        }
        self.metrics.count(LimitEvent::Rejected);
        if self.is_shadow() {
            return Ok(());
        }
        let rejection = Rejection::rate_limited(self.name().clone());
        Err(match denial {
            Denial::After(wait) => rejection.with_retry_after(duration(wait)),
            Denial::Never => rejection.with_reason("its weight is more than the burst"),
        })
    }

    /// Returns the longest wait of a reservation. None where nothing is rejected: a bucket that is ahead of its time would make
    /// others wait.
    pub(super) fn effective_wait(&self, max_wait: Duration) -> u64 {
        match self.rejects_nothing() {
            true => 0,
            false => ticks(max_wait),
        }
    }

    pub(super) fn rejects_nothing(&self) -> bool {
        self.is_disabled() || self.is_shadow()
    }

    /// Returns the pause that a peer gets which asks for this one, and counts it; `None` if peers are ignored.
    pub(super) fn pause_for_peer(&self, asked: Option<Duration>) -> Option<u64> {
        let max_pause = self.max_pause.load(Ordering::Relaxed);
        if max_pause == NO_PAUSE {
            return None;
        }
        self.metrics.count(LimitEvent::Emptied);
        Some(ticks(asked.unwrap_or_default()).min(max_pause))
    }

    /// Does what an operator asks for; `reset` is that of the buckets.
    pub(super) fn act(&self, action: GuardAction, reset: impl FnOnce()) {
        match action {
            GuardAction::Disable => self.disable(),
            GuardAction::Reset => reset(),
            GuardAction::ShadowOn => self.set_shadow(true),
            GuardAction::ShadowOff => self.set_shadow(false),
            _ => {}
        }
    }

    /// Makes the limit reject calls again.
    pub(super) fn enable(&self) {
        self.is_disabled.store(false, Ordering::Relaxed);
    }

    pub(super) fn disable(&self) {
        self.is_disabled.store(true, Ordering::Relaxed);
        self.signal.wake();
    }

    pub(super) fn set_shadow(&self, on: bool) {
        let mut settings = self.lock_settings();
        settings.shadow = on;
        // Under the lock, so that it and the settings agree.
        self.is_shadow.store(on, Ordering::Relaxed);
        drop(settings);
        self.signal.wake();
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Relaxed)
    }

    pub(super) fn is_shadow(&self) -> bool {
        self.is_shadow.load(Ordering::Relaxed)
    }

    pub(super) fn max_wait(&self) -> Duration {
        duration(self.max_wait.load(Ordering::Relaxed))
    }

    pub(super) fn settings(&self) -> RateLimitSettings {
        self.lock_settings().clone()
    }

    /// Applies settings; `set_quota` changes the buckets. Logs what has changed.
    pub(super) fn apply(
        &self,
        to: &RateLimitSettings,
        set_quota: impl FnOnce(u64, Quota),
    ) -> Result<(), ConfigError> {
        let quota = to.quota(self.name().as_str())?;
        let changes = {
            // Held to the end, so that two changes do not mix. Nothing of others runs under it.
            let mut settings = self.lock_settings();
            let changes = settings.changes(to);
            if changes.is_empty() {
                return Ok(());
            }
            set_quota(self.ticks(Instant::now()), quota);
            self.is_shadow.store(to.shadow, Ordering::Relaxed);
            self.max_wait.store(ticks(to.max_wait), Ordering::Relaxed);
            self.max_pause.store(pause_ticks(to), Ordering::Relaxed);
            *settings = to.clone();
            changes
        };
        self.signal.wake();
        self.log_applied(&changes);
        Ok(())
    }

    fn log_applied(&self, changes: &SettingChanges) {
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::rate_limit",
                rate_limit = self.name().as_str(),
                changes = &*changes.text(),
                "rate limit settings applied"
            );
        });
    }

    fn lock_settings(&self) -> MutexGuard<'_, RateLimitSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the pause in ticks.
fn pause_ticks(settings: &RateLimitSettings) -> u64 {
    settings.max_pause.map_or(NO_PAUSE, ticks)
}

/// Adds a time that may be years to a moment.
pub(super) fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}
