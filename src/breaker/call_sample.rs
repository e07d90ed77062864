use std::time::Duration;

use crate::call::{CallEnd, Evidence, Outcome, is_dropping_losers};

/// A call as the window counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallSample {
    Success,
    SlowSuccess,
    Failure,
    SlowFailure,
}

impl CallSample {
    /// Returns the sample of a call, or `None` if it is no evidence.
    pub(super) fn new(evidence: Evidence, slow: bool) -> Option<Self> {
        match (evidence, slow) {
            (Evidence::Healthy, false) => Some(CallSample::Success),
            (Evidence::Healthy, true) => Some(CallSample::SlowSuccess),
            (Evidence::Unhealthy, false) => Some(CallSample::Failure),
            (Evidence::Unhealthy, true) => Some(CallSample::SlowFailure),
            (Evidence::Inconclusive, _) => None,
        }
    }

    /// Returns the sample of a call that has ended. `slow_call` is the time to the head from which a call is slow.
    pub(super) fn from_end(end: &CallEnd<'_>, slow_call: Option<Duration>) -> Option<Self> {
        let slow = slow_call.is_some_and(|limit| end.peer_time().is_some_and(|took| took >= limit));
        let evidence = match end.evidence() {
            // A caller that gives up after so long was not impatient: the peer is slow, or hangs.
            Evidence::Inconclusive if slow && is_given_up_before_head(end) => Evidence::Unhealthy,
            evidence => evidence,
        };
        CallSample::new(evidence, slow)
    }

    pub(super) fn is_failure(self) -> bool {
        matches!(self, CallSample::Failure | CallSample::SlowFailure)
    }

    pub(super) fn is_slow(self) -> bool {
        matches!(self, CallSample::SlowSuccess | CallSample::SlowFailure)
    }

    pub(super) fn to_failure(self) -> Self {
        if self.is_slow() {
            CallSample::SlowFailure
        } else {
            CallSample::Failure
        }
    }
}

fn is_given_up_before_head(end: &CallEnd<'_>) -> bool {
    let is_dropped = end.outcome() == Outcome::Cancelled;
    // Nobody has lost patience with an attempt whose hedge was faster.
    is_dropped && end.status().is_none() && end.time_to_head().is_none() && !is_dropping_losers()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn slow_call_without_evidence_counts_only_if_dropped_before_its_head() {
        use crate::call::{CallClock, drop_losers};
        let start = Instant::now();
        let clock = CallClock::at(start + Duration::from_secs(2));
        let dropped = || CallEnd {
            admitted_at: Some(start),
            evidence: Evidence::Inconclusive,
            ..CallEnd::new(Outcome::Cancelled, &clock)
        };
        let limit = Some(Duration::from_secs(1));
        let sample = |end: CallEnd<'_>| CallSample::from_end(&end, limit);
        assert_eq!(sample(dropped()), Some(CallSample::SlowFailure));
        assert_eq!(CallSample::from_end(&dropped(), None), None);
        drop_losers(|| assert_eq!(sample(dropped()), None));
        let other_outcome = CallEnd {
            outcome: Outcome::TimedOut,
            ..dropped()
        };
        let with_status = CallEnd {
            status: Some(http::StatusCode::OK),
            ..dropped()
        };
        let with_head = CallEnd {
            time_to_head: Some(Duration::from_secs(2)),
            ..dropped()
        };
        for end in [other_outcome, with_status, with_head] {
            assert_eq!(sample(end), None);
        }
    }
}
