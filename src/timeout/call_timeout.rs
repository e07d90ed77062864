use std::time::Duration;

use tokio::time::Instant;

use super::{RequestLimit, layer::TimeoutConfig};
use crate::{
    call::CallClock,
    context::{Context, TimeBudget, min_some},
    protocol::{CallState, ReadRequest, upload::Upload},
};

/// Time that one call may take.
#[derive(Clone, Debug)]
pub struct CallTimeout {
    /// The time until its head. Bounds nothing that comes later.
    pub(super) limit: Duration,
    /// When whoever asked gives up. Bounds the body too, and is sent on.
    pub(super) deadline: Option<Instant>,
    /// When a limit around the call is over, as far as its clock has been read.
    pub(super) outer_limit: Option<Instant>,
    /// What is still sent of the request.
    pub(super) upload: Option<Upload>,
}

impl CallTimeout {
    /// Of a request: the layer's limit or its own, and the earliest deadline that is known of.
    #[inline]
    pub(super) fn for_request<P: ReadRequest<Req>, Req>(
        plan: &TimeoutConfig<P>,
        call: &P::Call,
        request: &Req,
        now: &CallClock,
    ) -> Self {
        let Some(extensions) = P::extensions(request) else {
            return CallTimeout::from_scope(plan.limit.get());
        };
        let limit = match extensions.get::<RequestLimit>() {
            Some(own) => plan.limit.clamp(own.0),
            None => plan.limit.get(),
        };
        let mut asked = CallTimeout::from_scope(limit);
        let own = extensions.get::<Context>();
        let told = call.time_limit();
        let told = told.and_then(|time| now.now().checked_add(time));
        let own = min_some(own.and_then(Context::deadline), told);
        asked.deadline = min_some(asked.deadline, own);
        asked.upload = call.upload();
        asked
    }

    /// As the work around it says.
    #[inline]
    pub(super) fn from_scope(limit: Duration) -> Self {
        let scope = TimeBudget::of_caller();
        CallTimeout {
            limit,
            deadline: scope.deadline(),
            outer_limit: scope.limit_expiry(),
            upload: None,
        }
    }

    /// Returns whether nothing is left of it. Without a deadline, nobody asks for the time.
    #[inline]
    pub(super) fn is_elapsed(&self, now: &CallClock) -> bool {
        min_some(self.deadline, self.outer_limit).is_some_and(|end| end <= now.now())
    }

    /// Returns how much time the next hop is told that it has: what is left of the deadline and, if wanted, of every
    /// limit, those around this call included.
    pub(super) fn time_left(&self, limits: bool, now: &CallClock) -> Option<Duration> {
        let left = |end: Instant| end.saturating_duration_since(now.now());
        let deadline = self.deadline.map(left);
        if !limits {
            return deadline;
        }
        let around = min_some(
            self.outer_limit.map(left),
            TimeBudget::current().limit_duration(),
        );
        min_some(deadline, min_some(around, Some(self.limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_left_is_the_deadlines_and_on_request_that_of_all_limits() {
        let now = CallClock::default();
        let left = |limits| CallTimeout::from_scope(10 * SECOND).time_left(limits, &now);
        assert_eq!((left(false), left(true)), (None, Some(10 * SECOND)));
        // Whether its clock has been read or not.
        let around = 2 * SECOND;
        for scope in [
            TimeBudget::for_duration(around),
            TimeBudget::for_duration(around).to_absolute(),
        ] {
            let inside = scope.run(|| (left(false), left(true)));
            assert_eq!(inside, (None, Some(2 * SECOND)));
        }
        let context = Context::new_root().with_deadline(Instant::now() + 3 * SECOND);
        let inside = context.run(|| (left(false), left(true)));
        assert_eq!(inside, (Some(3 * SECOND), Some(3 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn call_is_over_at_the_deadline_or_the_end_of_a_limit_around_it() {
        let (now, soon) = (CallClock::default(), Instant::now() + SECOND);
        assert!(
            !CallTimeout::from_scope(Duration::ZERO).is_elapsed(&now),
            "its own limit"
        );
        let context = Context::new_root().with_deadline(soon);
        let asked = [
            context.run(|| CallTimeout::from_scope(10 * SECOND)),
            TimeBudget::until(soon).run(|| CallTimeout::from_scope(10 * SECOND)),
        ];
        for asked in asked {
            let over = |at: Instant| asked.is_elapsed(&CallClock::at(at));
            assert!(!over(soon - Duration::from_nanos(1)));
            assert!(over(soon) && over(soon + SECOND), "{asked:?}");
        }
    }
}
