//! Tells work that is dropped early why it is dropped.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use super::{Elapsed, Evidence, Judged};

thread_local! {
    static GIVEN_UP: Cell<Option<GivenUp>> = const { Cell::new(None) };
    static NEVER_BEGUN: Cell<bool> = const { Cell::new(false) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// A time limit gives up the work that is being dropped now. Calls in it did not end by themselves, and nobody has
/// hung up on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    judged: Judged,
    after: Option<Duration>,
}

impl GivenUp {
    /// Returns how a call ends that is dropped with the work and that began at that moment, if somebody noted it.
    ///
    /// The limit blames the peer only for calls that lasted at least half of the limit. The rest of the time was
    /// spent on something else, such as an upload that a stranger sends as slowly as he likes.
    pub(crate) fn judge(&self, began: Option<Instant>, now: impl FnOnce() -> Instant) -> Judged {
        let GivenUp { judged, after } = *self;
        let (Some(began), Some(after)) = (began, after) else {
            return judged;
        };
        let lasted = now().saturating_duration_since(began);
        if lasted >= after / 2 {
            return judged;
        }
        Judged {
            evidence: Evidence::Inconclusive,
            ..judged
        }
    }
}

impl From<&Elapsed> for GivenUp {
    fn from(why: &Elapsed) -> Self {
        GivenUp {
            judged: why.judged(),
            after: why.after(),
        }
    }
}

/// Drops what is given up; whoever is dropped in it can ask [why](given_up). The innermost reason counts.
///
/// Work that says that it had [never begun](never_begun) does not blame the peer.
pub(crate) fn giving_up(why: Elapsed, drop: impl FnOnce()) -> Elapsed {
    /// Goes back, on unwinding too.
    struct Back(Option<GivenUp>, bool);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = GIVEN_UP.try_with(|current| current.set(self.0));
            let _ = NEVER_BEGUN.try_with(|never| never.set(self.1));
        }
    }
    let _back = Back(
        given_up(),
        NEVER_BEGUN.try_with(Cell::take).unwrap_or(false),
    );
    let _ = GIVEN_UP.try_with(|current| current.set(Some((&why).into())));
    drop();
    if NEVER_BEGUN.try_with(Cell::get).unwrap_or(false) && !why.is_callers() {
        return why.blaming_nobody();
    }
    why
}

/// Says that what is being dropped still waited to be sent: no peer has seen it. For a time limit that
/// [asks](asking_whether_begun).
pub(crate) fn never_begun() {
    if ASKED.try_with(Cell::get).unwrap_or(false) {
        let _ = NEVER_BEGUN.try_with(|never| never.set(true));
    }
}

/// Drops a call of a time limit that includes the wait for readiness.
pub(crate) fn asking_whether_begun(drop: impl FnOnce()) {
    /// Goes back, on unwinding too.
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = ASKED.try_with(|asked| asked.set(self.0));
        }
    }
    let _back = Back(ASKED.try_with(|asked| asked.replace(true)).unwrap_or(false));
    drop();
}

/// Returns why the work of this thread is being dropped, if a time limit does it.
#[inline]
pub(crate) fn given_up() -> Option<GivenUp> {
    GIVEN_UP.try_with(Cell::get).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Outcome, TimeBound};

    const SECOND: Duration = Duration::from_secs(1);

    fn limit() -> Elapsed {
        Elapsed::new("limit".into(), TimeBound::Limit, Some(2 * SECOND))
    }

    fn deadline() -> Elapsed {
        Elapsed::new("deadline".into(), TimeBound::Deadline, None)
    }

    fn judged() -> Option<Judged> {
        given_up().map(|why| why.judge(None, Instant::now))
    }

    const BLAMED: Judged = Judged::new(Outcome::TimedOut, Evidence::Unhealthy);
    const UNKNOWN: Judged = Judged::new(Outcome::TimedOut, Evidence::Inconclusive);

    #[test]
    fn reason_is_known_for_as_long_as_work_is_dropped() {
        assert_eq!(judged(), None);
        giving_up(limit(), || {
            assert_eq!(judged(), Some(BLAMED));
            giving_up(deadline(), || assert_eq!(judged(), Some(UNKNOWN)));
            let callers = limit().blaming_caller();
            giving_up(callers, || assert_eq!(judged(), Some(Judged::CALLERS)));
            assert_eq!(judged(), Some(BLAMED));
        });
        assert_eq!(judged(), None);
    }

    #[test]
    fn reason_is_forgotten_when_the_drop_panics() {
        let thrown = std::panic::catch_unwind(|| {
            giving_up(limit(), || std::panic::resume_unwind(Box::new("thrown")));
        });
        assert!(thrown.is_err());
        assert_eq!(judged(), None);
    }

    #[test]
    fn limit_blames_only_calls_that_had_half_of_it() {
        let began = Instant::now();
        let why = GivenUp::from(&limit());
        let lasted = |time| why.judge(Some(began), || began + time);
        assert_eq!(lasted(2 * SECOND), BLAMED);
        assert_eq!(lasted(SECOND), BLAMED);
        assert_eq!(lasted(SECOND - Duration::from_nanos(1)), UNKNOWN);
        let callers = GivenUp::from(&limit().blaming_caller());
        assert_eq!(callers.judge(Some(began), || began), Judged::CALLERS);
    }

    #[test]
    fn work_that_never_began_blames_nobody() {
        let asked = || asking_whether_begun(never_begun);
        asked();
        assert_eq!(giving_up(limit(), || ()).judged(), BLAMED);
        let outer = giving_up(limit(), || {
            assert_eq!(giving_up(limit(), asked).judged(), UNKNOWN);
        });
        assert_eq!(outer.judged(), BLAMED);
        let callers = giving_up(limit().blaming_caller(), asked);
        assert_eq!(callers.judged(), Judged::CALLERS);
        // Of several calls in one piece of work, one may well wait.
        assert_eq!(giving_up(limit(), never_begun).judged(), BLAMED);
    }
}
