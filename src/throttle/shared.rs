use std::sync::PoisonError;

use tokio::time::Instant;

use super::{
    ThrottleSettings,
    metrics::ThrottleMetrics,
    ranks::Ranks,
    throttled_call::{CallResult, ThrottledCall},
    window::{AcceptWindow, WindowChange, WindowCounts},
    window_report::WindowReport,
};
use crate::{
    call::{ConfigError, Evidence, Label, Rejection, catch_hook},
    context::compared_quantile,
    util::{
        mix::draw,
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
    },
};

const REPORT: WindowReport = WindowReport {
    kind: "throttle",
    rejecting: "throttling",
    reason: "failures",
};

/// The throttle behind all of its handles.
pub(super) struct ThrottleShared {
    metrics: ThrottleMetrics,
    seed: u64,
    /// The ordinal of the next draw.
    draws: AtomicU64,
    /// True if calls may be rejected: as of the last one that ended, or was rejected. Only while it is, calls take the lock to be
    /// admitted.
    may_reject: AtomicBool,
    is_disabled: AtomicBool,
    locked: Mutex<Locked>,
}

struct Locked {
    window: AcceptWindow,
    ranks: Ranks,
    settings: ThrottleSettings,
}

impl ThrottleShared {
    pub(super) fn new(name: Label, settings: ThrottleSettings, seed: u64) -> Self {
        ThrottleShared {
            metrics: ThrottleMetrics::new(name),
            seed,
            draws: AtomicU64::new(0),
            may_reject: AtomicBool::new(false),
            is_disabled: AtomicBool::new(false),
            locked: Mutex::new(Locked {
                window: AcceptWindow::new(settings.config(), Instant::now()),
                ranks: Ranks::new(),
                settings,
            }),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.metrics.name()
    }

    pub(super) fn rejected(&self) -> u64 {
        self.metrics.rejected()
    }

    /// Admits a call, or rejects it. Reads the clock only if calls may be rejected.
    #[inline]
    pub(super) fn admit(&self, now: impl FnOnce() -> Instant) -> Result<(), Rejection> {
        match self.may_reject.load(Ordering::Relaxed) {
            false => Ok(()),
            true => self.draw(now()),
        }
    }

    #[cold]
    fn draw(&self, now: Instant) -> Result<(), Rejection> {
        if self.is_disabled() {
            return Ok(());
        }
        // By the priority of the call, if a prioritizer has compared it: then those of a low one are rejected, and as many.
        let quantile = compared_quantile();
        let random = draw(self.seed, self.draws.fetch_add(1, Ordering::Relaxed));
        let mut locked = self.lock();
        let rank = match quantile {
            Some(quantile) => locked.ranks.rank(quantile, random),
            None => random,
        };
        let is_shadow = locked.settings.shadow;
        let (is_admitted, change) = locked.window.admit(now, rank, is_shadow);
        self.note_probability(&locked);
        let retry_after = locked.window.slice_time();
        drop(locked);
        self.report(change, is_shadow);
        if is_admitted {
            return Ok(());
        }
        self.metrics.count_rejection();
        if is_shadow {
            return Ok(());
        }
        let rejection = Rejection::overloaded(self.name().clone());
        let rejection = rejection.with_reason("the peer fails too many calls");
        Err(rejection.with_retry_after(retry_after))
    }

    /// Counts what a call says about the peer, at its head and at its end: a success once, and a failure after a success in its place.
    #[inline]
    pub(super) fn record(
        &self,
        call: &mut ThrottledCall,
        evidence: Evidence,
        now: impl FnOnce() -> Instant,
    ) {
        let is_new = match evidence {
            Evidence::Healthy => call.result == CallResult::Unknown,
            Evidence::Unhealthy => call.result != CallResult::Failed,
            Evidence::Inconclusive => false,
        };
        if !is_new {
            return;
        }
        let now = now();
        let mut locked = self.lock();
        let change = if evidence == Evidence::Healthy {
            let (slice, change) = locked.window.accept(now);
            call.result = CallResult::Accepted { slice };
            change
        } else {
            let change = locked.window.fail(now, call.result.slice());
            call.result = CallResult::Failed;
            change
        };
        self.note_probability(&locked);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        if change.is_some() {
            self.report(change, is_shadow);
        }
    }

    /// Keeps whether calls may be rejected; under the lock, so that the last word is the newest.
    fn note_probability(&self, locked: &Locked) {
        let may_reject = locked.window.probability() > 0.0;
        self.may_reject.store(may_reject, Ordering::Relaxed);
    }

    /// Returns the counts of the window, and the probability of a rejection.
    pub(super) fn counts(&self, now: Instant) -> (WindowCounts, f64) {
        let mut locked = self.lock();
        let change = locked.window.advance(now);
        self.note_probability(&locked);
        let counts = (locked.window.counts(), locked.window.probability());
        let is_shadow = locked.settings.shadow;
        drop(locked);
        self.report(change, is_shadow);
        counts
    }

    pub(super) fn settings(&self) -> ThrottleSettings {
        self.lock().settings.clone()
    }

    /// Applies settings. Logs what has changed.
    pub(super) fn apply(&self, to: &ThrottleSettings) -> Result<(), ConfigError> {
        to.check(self.name().as_str())?;
        let mut locked = self.lock();
        let changes = locked.settings.changes(to);
        if changes.is_empty() {
            return Ok(());
        }
        let change = locked.window.set_config(to.config(), Instant::now());
        locked.settings = to.clone();
        self.note_probability(&locked);
        drop(locked);
        self.report(change, to.shadow);
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::throttle",
                throttle = self.name().as_str(),
                changes = &*changes.text(),
                "throttle settings applied"
            );
        });
        Ok(())
    }

    pub(super) fn set_shadow(&self, on: bool) {
        self.lock().settings.shadow = on;
    }

    /// Forgets all calls, and rejects again if it was disabled.
    pub(super) fn reset(&self) {
        self.is_disabled.store(false, Ordering::Relaxed);
        let mut locked = self.lock();
        let change = locked.window.reset(Instant::now());
        self.note_probability(&locked);
        let is_shadow = locked.settings.shadow;
        drop(locked);
        self.report(change, is_shadow);
    }

    pub(super) fn disable(&self) {
        self.is_disabled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Relaxed)
    }

    /// Tells subscribers and the log that calls are rejected, or not any more.
    fn report(&self, change: Option<WindowChange>, shadow: bool) {
        let Some(change) = change else { return };
        REPORT.publish(self.name(), change, shadow);
        let throttle = self.name().as_str();
        catch_hook(|| match change {
            WindowChange::Began => {
                tracing::warn!(target: "tower_keep::throttle", throttle, shadow, "throttle rejects calls")
            }
            WindowChange::Ended => {
                tracing::info!(target: "tower_keep::throttle", throttle, shadow, "throttle rejects no calls any more")
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
