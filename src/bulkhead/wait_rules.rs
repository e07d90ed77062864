//! Decides whether a call may wait for a slot, and until when.

use std::time::Duration;

use tokio::time::Instant;

use super::{BulkheadSettings, QueueOrder, estimate::expected_wait, reject_reason::RejectReason};

/// A call that is expected to wait longer than it may by this factor is not let wait: a queue moves faster than the mean
/// now and then, but hardly twice as fast.
const TOO_LONG: u32 = 2;

/// The end of a wait, and the reason for which the call is rejected then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitEnd {
    /// `None` if the call waits for as long as it takes.
    pub(super) until: Option<Instant>,
    pub(super) reason: RejectReason,
}

impl WaitEnd {
    /// The end of the wait of a handle for readiness, which only its caller ends.
    pub(super) const NEVER: WaitEnd = WaitEnd {
        until: None,
        reason: RejectReason::WaitLimit,
    };

    /// Returns the end of a wait that begins now, by the limit of the bulkhead and the deadline of the call.
    pub(super) fn new(
        settings: &BulkheadSettings,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Self {
        // None is later than any clock can tell.
        let limit = settings.wait_limit.and_then(|time| now.checked_add(time));
        match (limit, deadline) {
            (Some(limit), Some(deadline)) if deadline <= limit => WaitEnd {
                until: Some(deadline),
                reason: RejectReason::Deadline,
            },
            (None, Some(deadline)) => WaitEnd {
                until: Some(deadline),
                reason: RejectReason::Deadline,
            },
            (limit, _) => WaitEnd {
                until: limit,
                reason: RejectReason::WaitLimit,
            },
        }
    }

    /// Returns whether the call is to be rejected at once, since it would hardly get a slot before the end of its wait.
    /// `ahead` is the number of calls that wait already, and `run` how long the latest calls had a slot.
    pub(super) fn is_hopeless(
        &self,
        settings: &BulkheadSettings,
        ahead: u32,
        run: Option<Duration>,
        now: Instant,
    ) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        let left = until.saturating_duration_since(now);
        // The last one to come is the first one to go, or the one of the highest priority; who comes after it is not known.
        let ahead = match settings.queue_order {
            QueueOrder::Fifo => ahead,
            QueueOrder::Lifo | QueueOrder::Priority => 0,
        };
        let expected = expected_wait(run, ahead, settings.limit).unwrap_or_default();
        left.is_zero() || expected > left.saturating_mul(TOO_LONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings(wait_limit: Option<Duration>) -> BulkheadSettings {
        BulkheadSettings {
            limit: 2,
            wait_limit,
            ..BulkheadSettings::default()
        }
    }

    #[test]
    fn wait_ends_at_the_limit_or_an_earlier_deadline() {
        let now = Instant::now();
        let (soon, late) = (now + SECOND, now + 3 * SECOND);
        let end = |wait_limit, deadline| {
            let end = WaitEnd::new(&settings(wait_limit), deadline, now);
            (end.until, end.reason)
        };
        let limit = Some(2 * SECOND);
        let by_limit = (Some(now + 2 * SECOND), RejectReason::WaitLimit);
        assert_eq!(end(limit, None), by_limit);
        assert_eq!(end(limit, Some(late)), by_limit);
        assert_eq!(end(limit, Some(soon)), (Some(soon), RejectReason::Deadline));
        assert_eq!(end(None, Some(late)), (Some(late), RejectReason::Deadline));
        assert_eq!(end(None, None).0, None);
        assert_eq!(end(Some(Duration::MAX), None).0, None);
    }

    #[test]
    fn wait_is_hopeless_if_twice_its_time_is_too_short() {
        let now = Instant::now();
        let settings = settings(Some(SECOND));
        let end = WaitEnd::new(&settings, None, now);
        let is_hopeless = |ahead, run| end.is_hopeless(&settings, ahead, run, now);
        assert!(!is_hopeless(1_000, None), "nothing is known");
        // Two slots of a second each: four calls are served in the two seconds.
        assert!(!is_hopeless(3, Some(SECOND)));
        assert!(is_hopeless(4, Some(SECOND)));
        let lifo = BulkheadSettings {
            queue_order: QueueOrder::Lifo,
            ..settings.clone()
        };
        assert!(!end.is_hopeless(&lifo, 1_000, Some(SECOND), now));
        assert!(end.is_hopeless(&lifo, 0, Some(5 * SECOND), now));
        assert!(!WaitEnd::NEVER.is_hopeless(&settings, 1_000, Some(SECOND), now));
    }

    #[test]
    fn wait_without_time_left_is_hopeless() {
        let now = Instant::now();
        let settings = settings(None);
        let end = WaitEnd::new(&settings, Some(now), now);
        assert!(end.is_hopeless(&settings, 0, None, now));
    }
}
