use std::time::Duration;

use tokio::time::Instant;

use super::{RequestLimit, layer::Plan};
use crate::{
    call::Moment,
    context::{Context, TimeScope, earlier},
    protocol::{Notes, Read, upload::Upload},
};

/// Time that one call may take.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The time until its head. Bounds nothing that comes later.
    pub(super) limit: Duration,
    /// When whoever asked gives up. Bounds the body too, and is sent on.
    pub(super) deadline: Option<Instant>,
    /// When a limit around the call is over, as far as its clock has been read.
    pub(super) around: Option<Instant>,
    /// What is still sent of the request.
    pub(super) upload: Option<Upload>,
}

impl Asked {
    /// Of a request: the layer's limit or its own, and the earliest deadline that is known of.
    #[inline]
    pub(super) fn of<P: Read<Req>, Req>(
        plan: &Plan<P>,
        call: &P::Call,
        request: &Req,
        now: &Moment,
    ) -> Self {
        let Some(extensions) = P::extensions(request) else {
            return Asked::here(plan.limit.get());
        };
        let limit = match extensions.get::<RequestLimit>() {
            Some(own) => plan.limit.clamp(own.0),
            None => plan.limit.get(),
        };
        let mut asked = Asked::here(limit);
        let own = extensions.get::<Context>();
        let told = call.time_limit();
        let told = told.and_then(|time| now.now().checked_add(time));
        let own = earlier(own.and_then(Context::deadline), told);
        asked.deadline = earlier(asked.deadline, own);
        asked.upload = call.upload();
        asked
    }

    /// As the work around it says.
    #[inline]
    pub(super) fn here(limit: Duration) -> Self {
        let scope = TimeScope::current();
        Asked {
            limit,
            deadline: scope.callers_deadline(),
            around: scope.limit_over(),
            upload: None,
        }
    }

    /// Returns whether nothing is left of it. Without a deadline, nobody asks for the time.
    #[inline]
    pub(super) fn is_over(&self, now: &Moment) -> bool {
        earlier(self.deadline, self.around).is_some_and(|end| end <= now.now())
    }

    /// Returns how much time the next hop is told that it has: what is left of the deadline and, if wanted, of every
    /// limit, those around this call included.
    pub(super) fn left(&self, limits: bool, now: &Moment) -> Option<Duration> {
        let left = |end: Instant| end.saturating_duration_since(now.now());
        let deadline = self.deadline.map(left);
        if !limits {
            return deadline;
        }
        let around = earlier(self.around.map(left), TimeScope::current().limit_span());
        earlier(deadline, earlier(around, Some(self.limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_left_is_the_deadlines_and_on_request_that_of_all_limits() {
        let now = Moment::default();
        let left = |limits| Asked::here(10 * SECOND).left(limits, &now);
        assert_eq!((left(false), left(true)), (None, Some(10 * SECOND)));
        // Whether its clock has been read or not.
        let around = 2 * SECOND;
        for scope in [TimeScope::within(around), TimeScope::within(around).fixed()] {
            let inside = scope.enter(|| (left(false), left(true)));
            assert_eq!(inside, (None, Some(2 * SECOND)));
        }
        let context = Context::root().with_deadline(Instant::now() + 3 * SECOND);
        let inside = context.run(|| (left(false), left(true)));
        assert_eq!(inside, (Some(3 * SECOND), Some(3 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn call_is_over_at_the_deadline_or_the_end_of_a_limit_around_it() {
        let (now, soon) = (Moment::default(), Instant::now() + SECOND);
        assert!(!Asked::here(Duration::ZERO).is_over(&now), "its own limit");
        let context = Context::root().with_deadline(soon);
        let asked = [
            context.run(|| Asked::here(10 * SECOND)),
            TimeScope::until(soon).enter(|| Asked::here(10 * SECOND)),
        ];
        for asked in asked {
            let over = |at: Instant| asked.is_over(&Moment::at(at));
            assert!(!over(soon - Duration::from_nanos(1)));
            assert!(over(soon) && over(soon + SECOND), "{asked:?}");
        }
    }
}
