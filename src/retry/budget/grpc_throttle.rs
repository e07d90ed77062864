use super::throttle::ThrottleBudget;
use crate::{
    call::Outcome,
    util::sync::atomic::{AtomicU64, Ordering},
};

/// Proposal A6 counts in thousandths of a token.
const UNITS_PER_TOKEN: u64 = 1_000;

/// Tokens of a [`ThrottleBudget`].
#[derive(Debug)]
pub(super) struct GrpcThrottle {
    max: u64,
    gain: u64,
    tokens: AtomicU64,
}

impl GrpcThrottle {
    pub(super) fn new(settings: ThrottleBudget) -> Self {
        // Rounded, since 0.29 times a thousand is a little less than 290.
        let thousandths = |tokens: f64| (tokens * UNITS_PER_TOKEN as f64).round() as u64;
        let max = thousandths(settings.max_tokens);
        GrpcThrottle {
            max,
            gain: thousandths(settings.token_ratio),
            tokens: AtomicU64::new(max),
        }
    }

    pub(super) fn allows_retry(&self) -> bool {
        // Doubled instead of halved: an odd maximum keeps its half.
        self.tokens.load(Ordering::Relaxed) * 2 > self.max
    }

    #[inline]
    pub(super) fn complete(&self, outcome: Outcome) {
        // Client errors and cancelled calls tell nothing about the peer's load, so they change nothing.
        let next = |tokens: u64| match outcome {
            // Writes nothing while all tokens are there, as they are in normal operation.
            Outcome::Success => (tokens < self.max).then(|| (tokens + self.gain).min(self.max)),
            _ if is_peer_failure(outcome) => Some(tokens.saturating_sub(UNITS_PER_TOKEN)),
            _ => None,
        };
        let order = Ordering::Relaxed;
        let _ = self.tokens.fetch_update(order, order, next);
    }

    /// Returns the number of failures after which no retry is allowed.
    #[cfg(test)]
    fn available(&self) -> u64 {
        let tokens = self.tokens.load(Ordering::Relaxed);
        (tokens * 2)
            .saturating_sub(self.max)
            .div_ceil(UNITS_PER_TOKEN * 2)
    }
}

fn is_peer_failure(outcome: Outcome) -> bool {
    outcome.is_error() || outcome == Outcome::Overload
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Budget, BudgetKind},
        *,
    };
    use crate::call::CallClock;
    use proptest::prelude::*;

    fn available(budget: &Budget) -> u64 {
        match &*budget.0 {
            BudgetKind::Throttle(throttle) => throttle.available(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn throttle_stops_retries_after_half_its_tokens_and_successes_refill_it() {
        let throttle = GrpcThrottle::new(ThrottleBudget::default());
        for available in (0..5).rev() {
            assert!(throttle.allows_retry());
            throttle.complete(Outcome::Failure);
            assert_eq!(throttle.available(), available);
        }
        assert!(!throttle.allows_retry());
        throttle.complete(Outcome::ClientError);
        assert!(
            !throttle.allows_retry(),
            "an error of the caller does not count"
        );
        throttle.complete(Outcome::Success);
        assert!(throttle.allows_retry());
        assert_eq!(throttle.available(), 1);
    }

    #[test]
    fn throttle_counts_retries_like_first_attempts() {
        let budget = Budget::throttle().build().unwrap();
        let now = CallClock::default();
        let retry = |outcome| {
            let reservation = budget.reserve(Outcome::Failure, &now).expect("tokens");
            reservation.spend().complete(outcome);
            available(&budget)
        };
        assert_eq!(retry(Outcome::Failure), 4);
        assert_eq!(retry(Outcome::TimedOut), 3);
        // A tenth of a token: enough for one failure more.
        assert_eq!(retry(Outcome::Success), 4);
        assert_eq!(retry(Outcome::Rejected), 4, "did not reach the peer");
        drop(budget.reserve(Outcome::Failure, &now));
        assert_eq!(available(&budget), 4, "not begun");
        assert_eq!(budget.available(&now), None, "any number");
    }

    proptest! {
        #[test]
        fn throttle_matches_grpc_proposal_a6(
            max in 1_u64..=1_000, gain in 1_u64..=2_000, successes: Vec<bool>,
        ) {
            let settings = ThrottleBudget { max_tokens: max as f64, token_ratio: gain as f64 / 1e3 };
            let throttle = GrpcThrottle::new(settings);
            let (max, mut tokens) = (max as i64 * 1_000, max as i64 * 1_000);
            for success in successes {
                let change = if success { gain as i64 } else { -1_000 };
                tokens = (tokens + change).clamp(0, max);
                throttle.complete(if success { Outcome::Success } else { Outcome::TimedOut });
                prop_assert_eq!(throttle.allows_retry(), tokens > max / 2);
                prop_assert_eq!(throttle.allows_retry(), throttle.available() > 0);
            }
        }
    }
}

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! All interleavings of a few threads, run by loom: `.ci/models`.

    use std::sync::Arc;

    use loom::thread;

    use super::{super::Budget, *};

    #[test]
    fn throttle_counts_each_outcome_once() {
        loom::model(|| {
            let settings = Budget::throttle().max_tokens(2.0).token_ratio(0.5);
            let throttle = Arc::new(GrpcThrottle::new(settings));
            let ends = |outcomes: [Outcome; 2]| {
                let throttle = throttle.clone();
                thread::spawn(move || outcomes.map(|outcome| throttle.complete(outcome)))
            };
            let threads = [
                ends([Outcome::Failure, Outcome::Success]),
                ends([Outcome::ClientError, Outcome::Failure]),
            ];
            for thread in threads {
                thread.join().expect("no panic");
            }
            // The success comes after a failure, and so never finds the throttle full.
            assert_eq!(throttle.tokens.load(Ordering::Relaxed), UNITS_PER_TOKEN / 2);
        });
    }
}
