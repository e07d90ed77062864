use std::time::Duration;

use crate::call::{Evidence, Outcome};

/// The information that the end of a call has for the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitSample {
    /// The peer answered after so long.
    Answered(Duration),
    /// The peer had no room for it, or it ran into a time limit.
    Overload,
    /// The call says nothing: it was cancelled, rejected further in, its caller was at fault, or the peer failed, which may be fast or slow.
    Nothing,
}

impl LimitSample {
    #[inline]
    pub(crate) fn new(outcome: Outcome, evidence: Evidence, time: Duration) -> Self {
        match (evidence, outcome) {
            (Evidence::Healthy, _) => LimitSample::Answered(time),
            (Evidence::Unhealthy, Outcome::Overload | Outcome::TimedOut) => LimitSample::Overload,
            _ => LimitSample::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_sample_is_no_more_than_the_evidence() {
        let time = Duration::from_millis(7);
        let sample = |outcome, evidence| LimitSample::new(outcome, evidence, time);
        let healthy = sample(Outcome::ClientError, Evidence::Healthy);
        assert_eq!(healthy, LimitSample::Answered(time));
        for outcome in [Outcome::Overload, Outcome::TimedOut] {
            assert_eq!(sample(outcome, Evidence::Unhealthy), LimitSample::Overload);
            assert_eq!(
                sample(outcome, Evidence::Inconclusive),
                LimitSample::Nothing,
                "the caller's"
            );
        }
        for outcome in [
            Outcome::Failure,
            Outcome::Panicked,
            Outcome::Cancelled,
            Outcome::Rejected,
        ] {
            assert_eq!(sample(outcome, Evidence::Unhealthy), LimitSample::Nothing);
        }
    }
}
