//! The time that the work of a thread has left.

use std::time::Duration;

use tokio::time::Instant;

use super::scope::{self, BudgetScope};
use crate::call::CallClock;

/// Returns when the current work must be over, if that is known: the earliest of the deadline of the current
/// [`Context`](super::Context) and of the [time limits](crate::timeout) around the work.
///
/// The time limit around the work, and nothing outside of it:
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
    let unread = TimeBudget::current().limit_duration;
    // A limit whose clock nobody has read begins now at the earliest. Its own clock stays unread.
    let unread = unread.and_then(|time| Instant::now().checked_add(time));
    min_some(cached_deadline(), unread)
}

/// Returns the earliest of all deadlines and limits that is known without reading the clock.
#[inline]
pub(crate) fn cached_deadline() -> Option<Instant> {
    let budget = TimeBudget::of_caller();
    min_some(budget.deadline, budget.limit_expiry)
}

/// Returns when the caller gives up: the deadline of the current [`Context`](super::Context), or one that came with the
/// request to a time limit around the work. Bounds bodies and is sent on, which limits are not.
#[inline]
pub(crate) fn caller_deadline() -> Option<Instant> {
    TimeBudget::of_caller().deadline
}

/// Returns the smaller of two values that may be absent.
#[inline]
pub(crate) fn min_some<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The time limits that a poll runs in.
///
/// A limit whose clock has not been read yet is kept as a duration: work that never waits needs no clock reading. A
/// limit ends what waits for a value or the head of a response. A deadline is the caller's, and holds for what comes
/// later too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeBudget {
    pub(super) deadline: Option<Instant>,
    pub(super) limit_expiry: Option<Instant>,
    pub(super) limit_duration: Option<Duration>,
}

impl TimeBudget {
    pub(crate) const NONE: TimeBudget = TimeBudget {
        deadline: None,
        limit_expiry: None,
        limit_duration: None,
    };

    /// Returns a limit that ends at this instant.
    #[inline]
    pub(crate) fn until(expiry: Instant) -> Self {
        TimeBudget {
            limit_expiry: Some(expiry),
            ..TimeBudget::NONE
        }
    }

    /// Returns a limit whose clock starts when it is first read.
    #[inline]
    pub(crate) fn for_duration(time: Duration) -> Self {
        TimeBudget {
            limit_duration: Some(time),
            ..TimeBudget::NONE
        }
    }

    /// Adds the caller's deadline. The earlier of two counts.
    #[inline]
    pub(crate) fn with_deadline(self, deadline: Option<Instant>) -> Self {
        TimeBudget {
            deadline: min_some(self.deadline, deadline),
            ..self
        }
    }

    /// Returns the budget that the thread runs in, without the deadline of the current context.
    #[inline]
    pub(crate) fn current() -> Self {
        scope::time_budget()
    }

    /// Returns the budget that the thread runs in, with the deadline of the current context.
    #[inline]
    pub(crate) fn of_caller() -> Self {
        scope::caller_time_budget()
    }

    /// Returns when the caller gives up.
    #[inline]
    pub(crate) fn deadline(self) -> Option<Instant> {
        self.deadline
    }

    /// Returns when the earliest limit ends whose clock has been read.
    #[inline]
    pub(crate) fn limit_expiry(self) -> Option<Instant> {
        self.limit_expiry
    }

    /// Returns the shortest limit whose clock has not been read.
    #[inline]
    pub(crate) fn limit_duration(self) -> Option<Duration> {
        self.limit_duration
    }

    /// Returns when work begins, if the clock has been read or will be: a limit whose clock has been read is older than
    /// what begins in it now, and blames the peer by how long that has lasted.
    #[inline]
    pub(crate) fn started_at(clock: &CallClock) -> Option<Instant> {
        match TimeBudget::current().limit_expiry {
            Some(_) => Some(clock.now()),
            None => clock.peek(),
        }
    }

    /// Starts the clock of every limit, for work that goes on in another task.
    pub(crate) fn to_absolute(self) -> Self {
        let unread = self
            .limit_duration
            .and_then(|time| Instant::now().checked_add(time));
        TimeBudget {
            limit_expiry: min_some(self.limit_expiry, unread),
            limit_duration: None,
            ..self
        }
    }

    /// Adds this budget to those around it until the scope is dropped.
    #[inline]
    pub(crate) fn enter(self) -> BudgetScope {
        BudgetScope::enter(self)
    }

    #[cfg(test)]
    pub(crate) fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let _scope = self.enter();
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn earliest_limit_counts_and_ends_with_its_scope() {
        let now = Instant::now();
        assert_eq!(deadline(), None);
        TimeBudget::for_duration(3 * SECOND).run(|| {
            assert_eq!(cached_deadline(), None);
            assert_eq!(deadline(), Some(now + 3 * SECOND));
            TimeBudget::until(now + 2 * SECOND).run(|| {
                assert_eq!(deadline(), Some(now + 2 * SECOND));
                let context = Context::new_root().with_deadline(now + SECOND);
                assert_eq!(context.run(deadline), Some(now + SECOND));
            });
            TimeBudget::until(now + 9 * SECOND).run(|| {
                assert_eq!(deadline(), Some(now + 3 * SECOND));
            });
            let thrown = std::panic::catch_unwind(|| {
                TimeBudget::for_duration(SECOND)
                    .run(|| std::panic::resume_unwind(Box::new("thrown")))
            });
            assert!(thrown.is_err());
            assert_eq!(deadline(), Some(now + 3 * SECOND));
        });
        assert_eq!(deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_do_not_change_the_deadline_of_the_caller() {
        let (soon, late) = (Instant::now() + SECOND, Instant::now() + 2 * SECOND);
        TimeBudget::until(soon).run(|| {
            assert_eq!((cached_deadline(), caller_deadline()), (Some(soon), None));
            let limit = TimeBudget::for_duration(SECOND).with_deadline(Some(late));
            limit.run(|| {
                assert_eq!(cached_deadline(), Some(soon));
                assert_eq!(caller_deadline(), Some(late));
                let budget = TimeBudget::current();
                assert_eq!(budget.limit_expiry(), Some(soon));
                assert_eq!(budget.limit_duration(), Some(SECOND));
                assert_eq!(
                    budget.to_absolute().with_deadline(None).deadline,
                    Some(late)
                );
                let context = Context::new_root().with_deadline(soon);
                assert_eq!(context.run(caller_deadline), Some(soon));
            });
            assert_eq!(caller_deadline(), None);
        });
    }
}
