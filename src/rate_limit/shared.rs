use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    RateLimitBuilder, RateLimitSettings,
    bucket::Bucket,
    fields::FieldsConfig,
    gcra::{Denial, Grant, Quota},
    limit_metrics::{LimitEvent, LimitMetrics},
    ticks::{duration, ticks, ticks_since},
};
use crate::{
    call::{ConfigError, Label, Rejection, catch_hook},
    guard::{ReadySignal, Rejects},
    util::{
        padded::Padded,
        setting_changes::SettingChanges,
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The value of a pause that peers cannot ask for.
const NO_PAUSE: u64 = u64::MAX;

/// The rate limit behind all of its handles.
pub(super) struct RateLimitShared {
    start: Instant,
    /// Written by each call. Not on a line with what calls only read.
    bucket: Padded<Bucket>,
    /// True once a call was rejected, until the limit is asked and has a cell again. Only a hint, so that a service which is
    /// polled need not read the clock.
    is_limiting: AtomicBool,
    is_shadow: AtomicBool,
    is_disabled: AtomicBool,
    max_wait: AtomicU64,
    max_pause: AtomicU64,
    pub(super) fields: FieldsConfig,
    pub(super) metrics: LimitMetrics,
    pub(super) signal: ReadySignal,
    settings: Mutex<RateLimitSettings>,
}

impl RateLimitShared {
    pub(super) fn new(builder: RateLimitBuilder, quota: Quota) -> Self {
        let settings = builder.settings;
        RateLimitShared {
            start: Instant::now(),
            bucket: Padded(Bucket::new(quota)),
            is_limiting: AtomicBool::new(false),
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

    /// Returns the time as the bucket counts it.
    #[inline]
    pub(super) fn ticks(&self, now: Instant) -> u64 {
        ticks_since(self.start, now)
    }

    /// Takes cells that are there now.
    #[inline]
    pub(super) fn admit(&self, now: Instant, cells: u32) -> Result<(), Rejection> {
        match self.bucket.take(self.ticks(now), cells, 0) {
            Ok(_) => Ok(()),
            Err(denial) => self.reject(denial),
        }
    }

    /// Takes cells that are there now, or within the wait. `None` if the limit rejects nothing: then nothing waits.
    pub(super) fn reserve(
        &self,
        now: Instant,
        cells: u32,
        max_wait: Duration,
    ) -> Result<Option<Grant>, Rejection> {
        let now = self.ticks(now);
        // Without a wait, so that a limit which rejects nothing is not ahead of its time for others.
        let max_wait = match self.rejects_nothing() {
            true => 0,
            false => ticks(max_wait),
        };
        match self.bucket.take(now, cells, max_wait) {
            Ok(grant) => {
                if grant.wait > 0 {
                    self.metrics.count(LimitEvent::Waited);
                }
                Ok(Some(grant))
            }
            Err(denial) => self.reject(denial).map(|()| None),
        }
    }

    /// Reserves as above, if the wait ends before the deadline as well.
    pub(super) fn reserve_in_time(
        &self,
        now: Instant,
        cells: u32,
        max_wait: Duration,
        deadline: Option<Instant>,
    ) -> Result<Option<Grant>, Rejection> {
        let left = deadline.map(|at| at.saturating_duration_since(now));
        let in_time = left.map_or(max_wait, |left| left.min(max_wait));
        self.reserve(now, cells, in_time).map_err(|rejection| {
            let is_short = rejection.retry_after().is_some_and(|wait| wait <= max_wait);
            match is_short {
                true => rejection.with_reason("the wait would end after the deadline"),
                false => rejection,
            }
        })
    }

    /// Puts back what was reserved and is not used, unless others wait by it.
    pub(super) fn put_back(&self, grant: Grant, cells: u32) {
        self.bucket.put_back(grant, cells);
    }

    /// Rejects a call, unless the limit rejects none.
    #[cold]
    fn reject(&self, denial: Denial) -> Result<(), Rejection> {
        // Disabled, it does not even count.
        if self.is_disabled() {
            return Ok(());
        }
        self.is_limiting.store(true, Ordering::Relaxed);
        self.metrics.count(LimitEvent::Rejected);
        if self.is_shadow() {
            return Ok(());
        }
        Err(rejection(self.name(), denial))
    }

    fn rejects_nothing(&self) -> bool {
        self.is_disabled() || self.is_shadow()
    }

    /// Returns whether calls would be rejected now. Reads the clock.
    pub(super) fn rejects(&self, now: Instant) -> Rejects {
        if self.rejects_nothing() {
            return Rejects::None;
        }
        let (arrival, quota) = self.bucket.read();
        let ticks = self.ticks(now);
        match quota.take(arrival, ticks, 1, 0) {
            Ok(_) => {
                self.is_limiting.store(false, Ordering::Relaxed);
                Rejects::None
            }
            Err(Denial::After(wait)) => Rejects::AllUntil(later(now, duration(wait))),
            Err(Denial::Never) => Rejects::All,
        }
    }

    /// Returns whether calls would be rejected now. Reads the clock only if one was rejected not long ago.
    #[inline]
    pub(super) fn rejects_any(&self, now: impl FnOnce() -> Instant) -> bool {
        self.is_limiting.load(Ordering::Relaxed) && self.rejects(now()) != Rejects::None
    }

    /// Empties the limit, since a peer says that it is called too often. `pause` is for how long, if it says so.
    pub(super) fn empty_for_peer(&self, now: Instant, pause: Option<Duration>) {
        let max_pause = self.max_pause.load(Ordering::Relaxed);
        if max_pause == NO_PAUSE {
            return;
        }
        let pause = ticks(pause.unwrap_or_default()).min(max_pause);
        self.bucket.empty(self.ticks(now), pause);
        self.metrics.count(LimitEvent::Emptied);
    }

    /// Empties the limit for this time.
    pub(super) fn empty(&self, now: Instant, pause: Duration) {
        self.bucket.empty(self.ticks(now), ticks(pause));
    }

    /// Fills the limit, and makes it reject calls again.
    pub(super) fn reset(&self) {
        self.is_disabled.store(false, Ordering::Relaxed);
        self.bucket.fill();
        self.signal.wake();
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

    /// Returns when the bucket is full again, its quota, and the time.
    pub(super) fn read(&self, now: Instant) -> (u64, Quota, u64) {
        let (arrival, quota) = self.bucket.read();
        (arrival, quota, self.ticks(now))
    }

    pub(super) fn admitted(&self) -> u64 {
        self.bucket.admitted()
    }

    pub(super) fn settings(&self) -> RateLimitSettings {
        self.lock_settings().clone()
    }

    /// Applies settings: as many cells are missing afterwards as before. Logs what has changed.
    pub(super) fn apply(&self, to: &RateLimitSettings) -> Result<(), ConfigError> {
        let quota = to.quota(self.name().as_str())?;
        let changes = {
            // Held to the end, so that two changes do not mix. Nothing of others runs under it.
            let mut settings = self.lock_settings();
            let changes = settings.changes(to);
            if changes.is_empty() {
                return Ok(());
            }
            self.bucket.set_quota(self.ticks(Instant::now()), quota);
            self.is_shadow.store(to.shadow, Ordering::Relaxed);
            self.max_wait.store(ticks(to.max_wait), Ordering::Relaxed);
            self.max_pause.store(pause_ticks(to), Ordering::Relaxed);
            *settings = to.clone();
            changes
        };
        self.signal.wake();
        log_applied(self.name(), &changes);
        Ok(())
    }

    fn lock_settings(&self) -> MutexGuard<'_, RateLimitSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the rejection of a call for which there are no cells.
pub(super) fn rejection(name: &Label, denial: Denial) -> Rejection {
    let rejection = Rejection::rate_limited(name.clone());
    match denial {
        Denial::After(wait) => rejection.with_retry_after(duration(wait)),
        Denial::Never => rejection.with_reason("its weight is more than the burst"),
    }
}

/// Returns the pause in ticks.
pub(super) fn pause_ticks(settings: &RateLimitSettings) -> u64 {
    settings.max_pause.map_or(NO_PAUSE, ticks)
}

/// Adds a time that may be years to a moment.
pub(super) fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

pub(super) fn log_applied(name: &Label, changes: &SettingChanges) {
    catch_hook(|| {
        tracing::info!(
            target: "tower_keep::rate_limit",
            rate_limit = name.as_str(),
            changes = &*changes.text(),
            "rate limit settings applied"
        );
    });
}
