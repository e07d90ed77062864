//! Until when the work at hand has time.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

use super::Context;

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

/// As far as it is known without reading the clock.
pub(crate) fn known_deadline() -> Option<Instant> {
    let context = Context::with_current(|context| context.and_then(Context::deadline));
    earlier(context, TimeScope::current().until)
}

pub(crate) fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The time limits that a poll runs in.
///
/// A limit whose clock has not been read yet is kept as a span: where nothing waits, nobody has to ask the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeScope {
    until: Option<Instant>,
    within: Option<Duration>,
}

impl TimeScope {
    pub(crate) const NONE: TimeScope = TimeScope {
        until: None,
        within: None,
    };

    /// Over at this moment.
    pub(crate) fn until(until: Instant) -> Self {
        TimeScope {
            until: Some(until),
            within: None,
        }
    }

    /// Over so long after now, whenever that is.
    pub(crate) fn within(time: Duration) -> Self {
        TimeScope {
            until: None,
            within: Some(time),
        }
    }

    /// And over at this moment.
    pub(crate) fn and_until(self, until: Instant) -> Self {
        TimeScope {
            until: earlier(self.until, Some(until)),
            ..self
        }
    }

    /// For work that goes on elsewhere: spans become moments.
    pub(crate) fn fixed(self) -> Self {
        let within = self
            .within
            .and_then(|time| Instant::now().checked_add(time));
        TimeScope {
            until: earlier(self.until, within),
            within: None,
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
}
