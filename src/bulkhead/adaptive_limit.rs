use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tokio::time::Instant;

use super::BulkheadSettings;
use crate::{
    adaptive::{Adaptation, Adapted, Limit, LimitReport, LimitSample, Load},
    call::{Label, catch_hook},
    registry::{self, GuardTransition, LimitChange},
    util::sync::{Mutex, MutexGuard},
};

/// A closure that starts an algorithm.
pub(super) type StartAlgorithm = Arc<dyn Fn() -> Box<dyn Limit> + Send + Sync>;

/// The part of a bulkhead that has the limit adapt itself, where it does.
pub(super) struct AdaptiveLimit {
    is_on: AtomicBool,
    /// The algorithm with what it has learned. Nothing else is locked under it.
    adaptation: Mutex<Option<Adaptation>>,
    /// The application's algorithm.
    start: Option<StartAlgorithm>,
}

impl AdaptiveLimit {
    pub(super) fn new(settings: &BulkheadSettings, start: Option<StartAlgorithm>) -> Self {
        let adaptive = AdaptiveLimit {
            is_on: AtomicBool::new(false),
            adaptation: Mutex::new(None),
            start,
        };
        adaptive.restart(settings, settings.limit);
        adaptive
    }

    /// Starts anew by these settings, from this limit.
    pub(super) fn restart(&self, settings: &BulkheadSettings, limit: u32) {
        let adaptation = settings.adaptive.as_ref().map(|adaptive| {
            let algorithm = match &self.start {
                Some(start) => start(),
                None => adaptive.algorithm.start(),
            };
            Adaptation::new(algorithm, (adaptive.min, adaptive.max), limit)
        });
        // Relaxed: a call reads it when it begins, and nothing else depends on it.
        self.is_on.store(adaptation.is_some(), Ordering::Relaxed);
        *self.lock() = adaptation;
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Judges the end of a call, and returns what it changes.
    #[inline]
    pub(super) fn judge(&self, sample: LimitSample, load: Load, now: Instant) -> Option<Adapted> {
        match sample {
            LimitSample::Nothing => None,
            // Of calls that end at the same time, one is enough.
            LimitSample::Answered(time) => {
                let mut adaptation = self.adaptation.try_lock().ok()?;
                adaptation.as_mut()?.on_answer(time, load, now)
            }
            LimitSample::Overload => self.lock().as_mut()?.on_overload(load, now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Adaptation>> {
        self.adaptation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells subscribers and the log of a limit that has changed by much. The state of the bulkhead is another matter, and stays.
pub(super) fn report_adapted(name: &Label, state: &'static str, report: LimitReport) {
    let LimitReport { from, to, reason } = report;
    registry::publish(|| GuardTransition {
        kind: "bulkhead",
        name: name.clone(),
        key: None,
        from: state,
        to: state,
        limits: Some(LimitChange { from, to }),
        reason,
        last_error: None,
        shadow: false,
        at: SystemTime::now(),
    });
    catch_hook(|| {
        tracing::info!(
            target: "tower_keep::bulkhead",
            bulkhead = name.as_str(),
            from,
            to,
            reason,
            "bulkhead has another limit"
        );
    });
}
