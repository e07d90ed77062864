//! Until when the work at hand has time.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use super::Context;
use crate::call::CallClock;

thread_local! {
    static SCOPE: Cell<TimeBudget> = const { Cell::new(TimeBudget::NONE) };
}

/// When the work at hand must be over, if that is known: the earliest of the deadline of the current
/// [`Context`] and of the [time limits](crate::timeout) that it runs in.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::{context::deadline, timeout::TimeLimit};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let limit = TimeLimit::from(Duration::from_secs(2));
/// let left = limit.run(async { deadline().map(|at| at - tokio::time::Instant::now()) }).await;
/// assert_eq!(left.ok().flatten(), Some(Duration::from_secs(2)));
/// assert_eq!(deadline(), None);
/// # }
/// ```
pub fn deadline() -> Option<Instant> {
    let scope = TimeBudget::current();
    let within = scope
        .limit_duration
        .and_then(|time| Instant::now().checked_add(time));
    min_some(cached_deadline(), within)
}

/// The earliest of all, as far as it is known without reading the clock.
#[inline]
pub(crate) fn cached_deadline() -> Option<Instant> {
    let scope = TimeBudget::current();
    min_some(scope.caller_deadline(), scope.limit_expiry)
}

/// Returns when whoever asked gives up: the deadline of the current [`Context`], or one that came with the request to a
/// time limit around the work. Bounds bodies and is sent on, which limits are not.
#[inline]
pub(crate) fn caller_deadline() -> Option<Instant> {
    TimeBudget::current().caller_deadline()
}

#[inline]
pub(crate) fn min_some<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The time limits that a poll runs in.
///
/// A limit whose clock has not been read yet is kept as a span: where nothing waits, nobody has to ask the time. A
/// limit ends what waits for a value or the head of a response. A deadline is the caller's, and holds for what comes
/// later too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeBudget {
    deadline: Option<Instant>,
    limit_expiry: Option<Instant>,
    limit_duration: Option<Duration>,
}

impl TimeBudget {
    pub(crate) const NONE: TimeBudget = TimeBudget {
        deadline: None,
        limit_expiry: None,
        limit_duration: None,
    };

    /// A limit that is over at this moment.
    #[inline]
    pub(crate) fn until(until: Instant) -> Self {
        TimeBudget {
            limit_expiry: Some(until),
            ..TimeBudget::NONE
        }
    }

    /// A limit that is over so long after now, whenever that is.
    #[inline]
    pub(crate) fn for_duration(time: Duration) -> Self {
        TimeBudget {
            limit_duration: Some(time),
            ..TimeBudget::NONE
        }
    }

    /// The same limits, and the caller's deadline.
    #[inline]
    pub(crate) fn with_deadline(self, deadline: Option<Instant>) -> Self {
        TimeBudget {
            deadline: min_some(self.deadline, deadline),
            ..self
        }
    }

    /// Returns what [`caller_deadline`] does.
    #[inline]
    pub(crate) fn caller_deadline(self) -> Option<Instant> {
        let context = Context::peek(|context| context.and_then(Context::deadline));
        min_some(context, self.deadline)
    }

    /// Returns when the first limit is over whose clock has been read. Work that begins while there is one began later
    /// than it.
    #[inline]
    pub(crate) fn limit_expiry(self) -> Option<Instant> {
        self.limit_expiry
    }

    /// Returns when work begins, if somebody has asked for the time or will: a limit whose clock has been read is older
    /// than what begins in it now, and blames the peer by how long that has lasted.
    #[inline]
    pub(crate) fn started_at(now: &CallClock) -> Option<Instant> {
        match TimeBudget::current().limit_expiry() {
            Some(_) => Some(now.now()),
            None => now.peek(),
        }
    }

    /// Returns how much time the shortest limit gives whose clock has not been read.
    #[inline]
    pub(crate) fn limit_duration(self) -> Option<Duration> {
        self.limit_duration
    }

    /// For work that goes on elsewhere: spans become moments.
    pub(crate) fn to_absolute(self) -> Self {
        let within = self
            .limit_duration
            .and_then(|time| Instant::now().checked_add(time));
        TimeBudget {
            limit_expiry: min_some(self.limit_expiry, within),
            limit_duration: None,
            ..self
        }
    }

    #[inline]
    pub(crate) fn current() -> Self {
        SCOPE.try_with(Cell::get).unwrap_or(TimeBudget::NONE)
    }

    /// Runs `work` within this scope and those around it.
    #[inline]
    pub(crate) fn enter<R>(self, work: impl FnOnce() -> R) -> R {
        /// Goes back, on unwinding too.
        struct Back(TimeBudget);
        impl Drop for Back {
            #[inline]
            fn drop(&mut self) {
                let _ = SCOPE.try_with(|scope| scope.set(self.0));
            }
        }
        let outer = TimeBudget::current();
        let _back = Back(outer);
        let both = TimeBudget {
            deadline: min_some(outer.deadline, self.deadline),
            limit_expiry: min_some(outer.limit_expiry, self.limit_expiry),
            limit_duration: min_some(outer.limit_duration, self.limit_duration),
        };
        let _ = SCOPE.try_with(|scope| scope.set(both));
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_all_limits_counts_and_each_ends_with_its_scope() {
        let now = Instant::now();
        assert_eq!(deadline(), None);
        TimeBudget::for_duration(3 * SECOND).enter(|| {
            assert_eq!(cached_deadline(), None);
            assert_eq!(deadline(), Some(now + 3 * SECOND));
            TimeBudget::until(now + 2 * SECOND).enter(|| {
                assert_eq!(deadline(), Some(now + 2 * SECOND));
                let hurried = Context::new_root().with_deadline(now + SECOND);
                assert_eq!(hurried.run(deadline), Some(now + SECOND));
            });
            TimeBudget::until(now + 9 * SECOND).enter(|| {
                assert_eq!(deadline(), Some(now + 3 * SECOND));
            });
            let thrown = std::panic::catch_unwind(|| {
                TimeBudget::for_duration(SECOND)
                    .enter(|| std::panic::resume_unwind(Box::new("thrown")))
            });
            assert!(thrown.is_err());
            assert_eq!(deadline(), Some(now + 3 * SECOND));
        });
        assert_eq!(deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_are_no_deadline_of_the_caller() {
        let (soon, late) = (Instant::now() + SECOND, Instant::now() + 2 * SECOND);
        TimeBudget::until(soon).enter(|| {
            assert_eq!((cached_deadline(), caller_deadline()), (Some(soon), None));
            let told = TimeBudget::for_duration(SECOND).with_deadline(Some(late));
            told.enter(|| {
                assert_eq!(cached_deadline(), Some(soon));
                assert_eq!(caller_deadline(), Some(late));
                let scope = TimeBudget::current();
                assert_eq!(scope.limit_expiry(), Some(soon));
                assert_eq!(scope.limit_duration(), Some(SECOND));
                assert_eq!(scope.to_absolute().with_deadline(None).deadline, Some(late));
                let hurried = Context::new_root().with_deadline(soon);
                assert_eq!(hurried.run(caller_deadline), Some(soon));
            });
            assert_eq!(caller_deadline(), None);
        });
    }
}
