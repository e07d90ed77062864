use std::time::Duration;

use tokio::time::Instant;

use super::{RequestLimit, config::TimeoutConfig};
use crate::{
    call::CallClock,
    context::{Context, TimeBudget, min_some},
    protocol::{CallState, ReadRequest, upload::Upload},
};

/// A limit around the call ends it by itself, and classifies it better. So the call waits for that a little longer, and
/// ends by itself only if it goes on in another task.
const OUTER_LIMIT_GRACE: Duration = Duration::from_millis(2);

/// The time that a call may take.
#[derive(Clone, Debug)]
pub struct CallTimeout {
    /// The time until its head. Bounds nothing that comes later.
    pub(super) limit: Duration,
    /// The moment at which the caller stops waiting. Bounds the body too, and is sent on.
    pub(super) deadline: Option<Instant>,
    /// The end of the earliest limit around the call whose clock has been read.
    pub(super) outer_limit: Option<Instant>,
    /// The progress of the request's body.
    pub(super) upload: Option<Upload>,
}

impl CallTimeout {
    /// Returns the timeout of a request: the layer's limit or its own, and the earliest known deadline.
    #[inline]
    pub(super) fn for_request<P: ReadRequest<Req>, Req>(
        config: &TimeoutConfig<P>,
        call: &P::Call,
        request: &Req,
        clock: &CallClock,
    ) -> Self {
        let requested = P::extensions(request).and_then(|extensions| extensions.get());
        let limit = match requested {
            // Of this process only, but the operator's bounds still apply.
            Some(RequestLimit(requested)) => config.limit.clamp(*requested),
            None => config.limit.get(),
        };
        CallTimeout::with_limit::<P, Req>(limit, call, request, clock)
    }

    /// Returns the timeout of a request with this limit.
    #[inline]
    fn with_limit<P: ReadRequest<Req>, Req>(
        limit: Duration,
        call: &P::Call,
        request: &Req,
        clock: &CallClock,
    ) -> Self {
        let mut timeout = CallTimeout::from_scope(limit);
        let Some(extensions) = P::extensions(request) else {
            return timeout;
        };
        let context_deadline = extensions.get::<Context>().and_then(Context::deadline);
        let requested = call.time_limit();
        // Reads the clock only for a request that says how long its caller waits.
        let requested = requested.and_then(|time| clock.now().checked_add(time));
        timeout.deadline = min_some(timeout.deadline, min_some(context_deadline, requested));
        timeout.upload = call.upload();
        timeout
    }

    /// Returns the time of a caller that waits for a request on which there is no limit but the caller's own.
    pub(crate) fn of_caller<P: ReadRequest<Req>, Req>(call: &P::Call, request: &Req) -> Self {
        CallTimeout::with_limit::<P, Req>(Duration::MAX, call, request, &CallClock::default())
    }

    /// Returns the time of a caller that waits for work in the current time budget, on which there is no limit but the caller's own.
    pub(crate) fn of_current_caller() -> Self {
        CallTimeout::from_scope(Duration::MAX)
    }

    /// Returns when the caller stops waiting, whatever the limit.
    pub(crate) fn caller_expiry(&self) -> Option<Instant> {
        min_some(self.deadline, self.outer_limit_expiry())
    }

    /// Returns when the call ends by itself for a limit around it, which ends it first unless the call goes on in another task.
    #[inline]
    pub(super) fn outer_limit_expiry(&self) -> Option<Instant> {
        let outer_limit = self.outer_limit;
        outer_limit.and_then(|at| at.checked_add(OUTER_LIMIT_GRACE))
    }

    /// Returns the timeout of work in the current time budget.
    #[inline]
    pub(super) fn from_scope(limit: Duration) -> Self {
        let budget = TimeBudget::of_caller();
        CallTimeout {
            limit,
            deadline: budget.deadline(),
            outer_limit: budget.limit_expiry(),
            upload: None,
        }
    }

    /// Returns whether no time is left. Reads the clock only if there is a deadline or an outer limit.
    #[inline]
    pub(super) fn is_elapsed(&self, clock: &CallClock) -> bool {
        // The layer's own limit begins now, so it cannot be over.
        min_some(self.deadline, self.outer_limit).is_some_and(|end| end <= clock.now())
    }

    /// Returns how much time the next hop has: what is left until the deadline and, with `limits`, of every limit, those
    /// around this call included.
    pub(super) fn time_left(&self, limits: bool, clock: &CallClock) -> Option<Duration> {
        let left = |end: Instant| end.saturating_duration_since(clock.now());
        let deadline = self.deadline.map(left);
        if !limits {
            return deadline;
        }
        // A limit around the call whose clock has not been read yet still has all of its time.
        let outer_limits = min_some(
            self.outer_limit.map(left),
            TimeBudget::current().limit_duration(),
        );
        min_some(deadline, min_some(outer_limits, Some(self.limit)))
    }

    /// Returns a timeout that is this many seconds away.
    #[cfg(test)]
    pub(super) fn in_seconds(limit: u32, deadline: Option<u32>, outer_limit: Option<u32>) -> Self {
        let seconds = |count: u32| count * Duration::from_secs(1);
        let at = |count| Instant::now() + seconds(count);
        CallTimeout {
            limit: seconds(limit),
            deadline: deadline.map(at),
            outer_limit: outer_limit.map(at),
            upload: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_left_is_that_of_the_deadline_and_optionally_of_all_limits() {
        let clock = CallClock::default();
        let left = |limits| CallTimeout::from_scope(10 * SECOND).time_left(limits, &clock);
        assert_eq!((left(false), left(true)), (None, Some(10 * SECOND)));
        // With its clock read or not.
        let outer_limit = 2 * SECOND;
        for budget in [
            TimeBudget::for_duration(outer_limit),
            TimeBudget::for_duration(outer_limit).to_absolute(),
        ] {
            let inside = budget.run(|| (left(false), left(true)));
            assert_eq!(inside, (None, Some(2 * SECOND)));
        }
        let context = Context::new_root().with_deadline(Instant::now() + 3 * SECOND);
        let inside = context.run(|| (left(false), left(true)));
        assert_eq!(inside, (Some(3 * SECOND), Some(3 * SECOND)));
    }

    #[tokio::test(start_paused = true)]
    async fn call_timeout_elapses_at_the_deadline_or_an_outer_limit() {
        let (clock, soon) = (CallClock::default(), Instant::now() + SECOND);
        assert!(
            !CallTimeout::from_scope(Duration::ZERO).is_elapsed(&clock),
            "its own limit"
        );
        let context = Context::new_root().with_deadline(soon);
        let timeouts = [
            context.run(|| CallTimeout::from_scope(10 * SECOND)),
            TimeBudget::until(soon).run(|| CallTimeout::from_scope(10 * SECOND)),
        ];
        for timeout in timeouts {
            let is_elapsed = |at: Instant| timeout.is_elapsed(&CallClock::at(at));
            assert!(!is_elapsed(soon - Duration::from_nanos(1)));
            assert!(is_elapsed(soon) && is_elapsed(soon + SECOND), "{timeout:?}");
        }
    }
}
