//! Until when the work at hand has time.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use super::Context;
use crate::call::Moment;

thread_local! {
    static SCOPE: Cell<TimeScope> = const { Cell::new(TimeScope::NONE) };
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
    let scope = TimeScope::current();
    let within = scope
        .within
        .and_then(|time| Instant::now().checked_add(time));
    earlier(known_deadline(), within)
}

/// The earliest of all, as far as it is known without reading the clock.
#[inline]
pub(crate) fn known_deadline() -> Option<Instant> {
    let scope = TimeScope::current();
    earlier(scope.callers_deadline(), scope.until)
}

/// Returns when whoever asked gives up: the deadline of the current [`Context`], or one that came with the request to a
/// time limit around the work. Bounds bodies and is sent on, which limits are not.
#[inline]
pub(crate) fn callers_deadline() -> Option<Instant> {
    TimeScope::current().callers_deadline()
}

#[inline]
pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
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
pub(crate) struct TimeScope {
    deadline: Option<Instant>,
    until: Option<Instant>,
    within: Option<Duration>,
}

impl TimeScope {
    pub(crate) const NONE: TimeScope = TimeScope {
        deadline: None,
        until: None,
        within: None,
    };

    /// A limit that is over at this moment.
    #[inline]
    pub(crate) fn until(until: Instant) -> Self {
        TimeScope {
            until: Some(until),
            ..TimeScope::NONE
        }
    }

    /// A limit that is over so long after now, whenever that is.
    #[inline]
    pub(crate) fn within(time: Duration) -> Self {
        TimeScope {
            within: Some(time),
            ..TimeScope::NONE
        }
    }

    /// The same limits, and the caller's deadline.
    #[inline]
    pub(crate) fn and_deadline(self, deadline: Option<Instant>) -> Self {
        TimeScope {
            deadline: earlier(self.deadline, deadline),
            ..self
        }
    }

    /// Returns what [`callers_deadline`] does.
    #[inline]
    pub(crate) fn callers_deadline(self) -> Option<Instant> {
        let context = Context::peek(|context| context.and_then(Context::deadline));
        earlier(context, self.deadline)
    }

    /// Returns when the first limit is over whose clock has been read. Work that begins while there is one began later
    /// than it.
    #[inline]
    pub(crate) fn limit_over(self) -> Option<Instant> {
        self.until
    }

    /// Returns when work begins, if somebody has asked for the time or will: a limit whose clock has been read is older
    /// than what begins in it now, and blames the peer by how long that has lasted.
    #[inline]
    pub(crate) fn began(now: &Moment) -> Option<Instant> {
        match TimeScope::current().limit_over() {
            Some(_) => Some(now.now()),
            None => now.known(),
        }
    }

    /// Returns how much time the shortest limit gives whose clock has not been read.
    #[inline]
    pub(crate) fn limit_span(self) -> Option<Duration> {
        self.within
    }

    /// For work that goes on elsewhere: spans become moments.
    pub(crate) fn fixed(self) -> Self {
        let within = self
            .within
            .and_then(|time| Instant::now().checked_add(time));
        TimeScope {
            until: earlier(self.until, within),
            within: None,
            ..self
        }
    }

    #[inline]
    pub(crate) fn current() -> Self {
        SCOPE.try_with(Cell::get).unwrap_or(TimeScope::NONE)
    }

    /// Runs `work` within this scope and those around it.
    #[inline]
    pub(crate) fn enter<R>(self, work: impl FnOnce() -> R) -> R {
        /// Goes back, on unwinding too.
        struct Back(TimeScope);
        impl Drop for Back {
            #[inline]
            fn drop(&mut self) {
                let _ = SCOPE.try_with(|scope| scope.set(self.0));
            }
        }
        let outer = TimeScope::current();
        let _back = Back(outer);
        let both = TimeScope {
            deadline: earlier(outer.deadline, self.deadline),
            until: earlier(outer.until, self.until),
            within: earlier(outer.within, self.within),
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
        TimeScope::within(3 * SECOND).enter(|| {
            assert_eq!(known_deadline(), None);
            assert_eq!(deadline(), Some(now + 3 * SECOND));
            TimeScope::until(now + 2 * SECOND).enter(|| {
                assert_eq!(deadline(), Some(now + 2 * SECOND));
                let hurried = Context::root().with_deadline(now + SECOND);
                assert_eq!(hurried.run(deadline), Some(now + SECOND));
            });
            TimeScope::until(now + 9 * SECOND).enter(|| {
                assert_eq!(deadline(), Some(now + 3 * SECOND));
            });
            let thrown = std::panic::catch_unwind(|| {
                TimeScope::within(SECOND).enter(|| std::panic::resume_unwind(Box::new("thrown")))
            });
            assert!(thrown.is_err());
            assert_eq!(deadline(), Some(now + 3 * SECOND));
        });
        assert_eq!(deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_are_no_deadline_of_the_caller() {
        let (soon, late) = (Instant::now() + SECOND, Instant::now() + 2 * SECOND);
        TimeScope::until(soon).enter(|| {
            assert_eq!((known_deadline(), callers_deadline()), (Some(soon), None));
            let told = TimeScope::within(SECOND).and_deadline(Some(late));
            told.enter(|| {
                assert_eq!(known_deadline(), Some(soon));
                assert_eq!(callers_deadline(), Some(late));
                let scope = TimeScope::current();
                assert_eq!(scope.limit_over(), Some(soon));
                assert_eq!(scope.limit_span(), Some(SECOND));
                assert_eq!(scope.fixed().and_deadline(None).deadline, Some(late));
                let hurried = Context::root().with_deadline(soon);
                assert_eq!(hurried.run(callers_deadline), Some(soon));
            });
            assert_eq!(callers_deadline(), None);
        });
    }
}
