//! Tells work that is dropped on a timeout why it is dropped.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use super::{Classification, Elapsed, Evidence};

thread_local! {
    static TIMEOUT: Cell<Option<TimeoutDrop>> = const { Cell::new(None) };
    static NEVER_CALLED: Cell<bool> = const { Cell::new(false) };
    static TRACKED: Cell<bool> = const { Cell::new(false) };
}

/// The timeout for which this thread drops work. Calls in that work did not end on their own, and no caller has cancelled
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeoutDrop {
    classification: Classification,
    limit: Option<Duration>,
}

impl TimeoutDrop {
    /// Classifies a call that is dropped with the work. `began` is when it was admitted, if known.
    ///
    /// The timeout blames the peer only for calls that lasted at least half of the limit. The rest of the time was spent on
    /// something else, such as an upload that a caller sends slowly.
    pub(crate) fn classify(
        &self,
        began: Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Classification {
        let TimeoutDrop {
            classification,
            limit: after,
        } = *self;
        let (Some(began), Some(after)) = (began, after) else {
            return classification;
        };
        let lasted = now().saturating_duration_since(began);
        // Half, as for uploads: the peer had the larger part of the time.
        if lasted >= after / 2 {
            return classification;
        }
        Classification {
            evidence: Evidence::Inconclusive,
            ..classification
        }
    }
}

impl From<&Elapsed> for TimeoutDrop {
    fn from(why: &Elapsed) -> Self {
        TimeoutDrop {
            classification: why.classification(),
            limit: why.limit(),
        }
    }
}

/// Drops work on a timeout; calls in it can ask for the [timeout](current_timeout). The innermost one counts.
///
/// Work that was [never called](mark_never_called) does not blame the peer.
pub(crate) fn drop_on_timeout(why: Elapsed, drop: impl FnOnce()) -> Elapsed {
    /// Restores what was set before, on unwinding too.
    struct RestoreTimeout(Option<TimeoutDrop>, bool);
    impl Drop for RestoreTimeout {
        fn drop(&mut self) {
            let _ = TIMEOUT.try_with(|current| current.set(self.0));
            let _ = NEVER_CALLED.try_with(|never| never.set(self.1));
        }
    }
    let _back = RestoreTimeout(
        current_timeout(),
        // Cleared for the work of this timeout alone; what an outer one had found comes back at the end.
        NEVER_CALLED.try_with(Cell::take).unwrap_or(false),
    );
    let _ = TIMEOUT.try_with(|current| current.set(Some((&why).into())));
    // Whatever is dropped in here reads the timeout, and may report that it was never called.
    drop();
    if NEVER_CALLED.try_with(Cell::get).unwrap_or(false) && !why.is_caller_fault() {
        return why.blame_unknown();
    }
    why
}

/// Classifies a call of no service that is dropped: by the timeout around it, if that drops it, else as cancelled. `began` is
/// when it was admitted, if known.
pub(crate) fn classify_drop(began: Option<Instant>) -> Classification {
    match current_timeout() {
        Some(timeout) => timeout.classify(began, Instant::now),
        None => Classification::CANCELLED,
    }
}

/// Reports that the work being dropped still waited for readiness: no peer has seen it. Read by a timeout that
/// [tracks](track_never_called) it.
pub(crate) fn mark_never_called() {
    if TRACKED.try_with(Cell::get).unwrap_or(false) {
        let _ = NEVER_CALLED.try_with(|never| never.set(true));
    }
}

/// Drops a call of a timeout that includes the wait for readiness.
pub(crate) fn track_never_called(drop: impl FnOnce()) {
    /// Restores what was set before, on unwinding too.
    struct RestoreTracking(bool);
    impl Drop for RestoreTracking {
        fn drop(&mut self) {
            let _ = TRACKED.try_with(|asked| asked.set(self.0));
        }
    }
    let _back = RestoreTracking(
        TRACKED
            .try_with(|asked| asked.replace(true))
            .unwrap_or(false),
    );
    drop();
}

/// Returns the timeout for which this thread drops work, if it does.
#[inline]
pub(crate) fn current_timeout() -> Option<TimeoutDrop> {
    TIMEOUT.try_with(Cell::get).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Outcome, TimeoutKind};

    const SECOND: Duration = Duration::from_secs(1);

    fn limit() -> Elapsed {
        Elapsed::new("limit".into(), TimeoutKind::Limit, Some(2 * SECOND))
    }

    fn deadline() -> Elapsed {
        Elapsed::new("deadline".into(), TimeoutKind::Deadline, None)
    }

    fn classification() -> Option<Classification> {
        current_timeout().map(|why| why.classify(None, Instant::now))
    }

    const BLAMED: Classification = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
    const UNKNOWN: Classification = Classification::new(Outcome::TimedOut, Evidence::Inconclusive);

    #[test]
    fn reason_is_known_for_as_long_as_work_is_dropped() {
        assert_eq!(classification(), None);
        drop_on_timeout(limit(), || {
            assert_eq!(classification(), Some(BLAMED));
            drop_on_timeout(deadline(), || assert_eq!(classification(), Some(UNKNOWN)));
            let callers = limit().blame_caller();
            drop_on_timeout(callers, || {
                assert_eq!(classification(), Some(Classification::CALLER_FAULT))
            });
            assert_eq!(classification(), Some(BLAMED));
        });
        assert_eq!(classification(), None);
    }

    #[test]
    fn reason_is_forgotten_when_the_drop_panics() {
        let thrown = std::panic::catch_unwind(|| {
            drop_on_timeout(limit(), || std::panic::resume_unwind(Box::new("thrown")));
        });
        assert!(thrown.is_err());
        assert_eq!(classification(), None);
    }

    #[test]
    fn limit_blames_only_calls_that_had_half_of_it() {
        let began = Instant::now();
        let why = TimeoutDrop::from(&limit());
        let lasted = |time| why.classify(Some(began), || began + time);
        assert_eq!(lasted(2 * SECOND), BLAMED);
        assert_eq!(lasted(SECOND), BLAMED);
        assert_eq!(lasted(SECOND - Duration::from_nanos(1)), UNKNOWN);
        let callers = TimeoutDrop::from(&limit().blame_caller());
        assert_eq!(
            callers.classify(Some(began), || began),
            Classification::CALLER_FAULT
        );
    }

    #[test]
    fn work_that_never_began_blames_nobody() {
        let asked = || track_never_called(mark_never_called);
        asked();
        assert_eq!(drop_on_timeout(limit(), || ()).classification(), BLAMED);
        let outer = drop_on_timeout(limit(), || {
            assert_eq!(drop_on_timeout(limit(), asked).classification(), UNKNOWN);
        });
        assert_eq!(outer.classification(), BLAMED);
        let callers = drop_on_timeout(limit().blame_caller(), asked);
        assert_eq!(callers.classification(), Classification::CALLER_FAULT);
        // Of several calls in one piece of work, one may well wait.
        assert_eq!(
            drop_on_timeout(limit(), mark_never_called).classification(),
            BLAMED
        );
    }
}
