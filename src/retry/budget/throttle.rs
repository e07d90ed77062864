use super::{Budget, Core, is_peer_failure};
use crate::{
    call::{ConfigError, Outcome},
    util::sync::atomic::{AtomicU64, Ordering},
};

const COMPONENT: &str = "retry throttle";
/// One token; A6 counts in thousandths.
const UNITS_PER_TOKEN: u64 = 1_000;

/// Settings of gRPC's throttle; made by [`Budget::throttle`].
///
/// A failed attempt takes a token, a successful one brings back a fraction of one; while more than half are there,
/// retries are allowed. Source: gRPC proposal A6.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleBudget {
    max_tokens: f64,
    token_ratio: f64,
}

impl Default for ThrottleBudget {
    fn default() -> Self {
        ThrottleBudget {
            max_tokens: 10.0,
            token_ratio: 0.1,
        }
    }
}

impl ThrottleBudget {
    /// How many tokens there are at most, and at first. Half as many failures in a row stop all retries.
    ///
    /// Must be 1 to 1,000. Default: 10.
    #[must_use]
    pub fn max_tokens(mut self, tokens: f64) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// What a success brings back. With 0.1, retries stop while more than 1 in 11 attempts fails.
    ///
    /// Must be 0.001 to 1,000; counted in thousandths. Default: 0.1.
    #[must_use]
    pub fn token_ratio(mut self, ratio: f64) -> Self {
        self.token_ratio = ratio;
        self
    }

    /// Makes the budget, full.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that makes no sense.
    pub fn build(self) -> Result<Budget, ConfigError> {
        let fields = [
            ("max_tokens", self.max_tokens, 1.0, "1 to 1000"),
            ("token_ratio", self.token_ratio, 0.001, "0.001 to 1000"),
        ];
        for (field, value, least, must) in fields {
            if !(least..=1_000.0).contains(&value) {
                return Err(ConfigError::new(COMPONENT, field, value, must));
            }
        }
        Ok(Budget::new(Core::Throttle(GrpcThrottle::new(self))))
    }
}

#[derive(Debug)]
pub(super) struct GrpcThrottle {
    max: u64,
    gain: u64,
    tokens: AtomicU64,
}

impl GrpcThrottle {
    fn new(settings: ThrottleBudget) -> Self {
        let thousandths = |tokens: f64| (tokens * UNITS_PER_TOKEN as f64).round() as u64;
        let max = thousandths(settings.max_tokens);
        GrpcThrottle {
            max,
            gain: thousandths(settings.token_ratio),
            tokens: AtomicU64::new(max),
        }
    }

    pub(super) fn allows_retry(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) * 2 > self.max
    }

    /// Failures that it takes until no retry is allowed.
    #[cfg(test)]
    pub(super) fn available(&self) -> u64 {
        let tokens = self.tokens.load(Ordering::Relaxed);
        (tokens * 2)
            .saturating_sub(self.max)
            .div_ceil(UNITS_PER_TOKEN * 2)
    }

    #[inline]
    pub(super) fn complete(&self, outcome: Outcome) {
        let next = |tokens: u64| match outcome {
            // Full: the good path writes nothing.
            Outcome::Success => (tokens < self.max).then(|| (tokens + self.gain).min(self.max)),
            _ if is_peer_failure(outcome) => Some(tokens.saturating_sub(UNITS_PER_TOKEN)),
            _ => None,
        };
        let order = Ordering::Relaxed;
        let _ = self.tokens.fetch_update(order, order, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallClock;
    use proptest::prelude::*;

    fn left(budget: &Budget) -> u64 {
        match &*budget.0 {
            Core::Throttle(throttle) => throttle.available(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn half_of_its_tokens_in_failures_stop_retries_and_successes_bring_them_back() {
        let throttle = GrpcThrottle::new(ThrottleBudget::default());
        for left in (0..5).rev() {
            assert!(throttle.allows_retry());
            throttle.complete(Outcome::Failure);
            assert_eq!(throttle.available(), left);
        }
        assert!(!throttle.allows_retry());
        throttle.complete(Outcome::ClientError);
        assert!(
            !throttle.allows_retry(),
            "the caller's own fault says nothing"
        );
        throttle.complete(Outcome::Success);
        assert!(throttle.allows_retry());
        assert_eq!(throttle.available(), 1);
    }

    #[test]
    fn attempts_beyond_the_first_take_tokens_and_bring_them_back_like_any() {
        let budget = Budget::throttle().build().unwrap();
        let now = CallClock::default();
        let retry = |outcome| {
            let reservation = budget.reserve(Outcome::Failure, &now).expect("tokens");
            reservation.spend().complete(outcome);
            left(&budget)
        };
        assert_eq!(retry(Outcome::Failure), 4);
        assert_eq!(retry(Outcome::TimedOut), 3);
        // A tenth of a token: enough for one failure more.
        assert_eq!(retry(Outcome::Success), 4);
        assert_eq!(retry(Outcome::Rejected), 4, "has reached nobody");
        drop(budget.reserve(Outcome::Failure, &now));
        assert_eq!(left(&budget), 4, "not begun");
        assert_eq!(budget.available(&now), None, "as many as one likes");
    }

    #[test]
    fn silly_settings_are_named() {
        let error = Budget::throttle().max_tokens(0.0).build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "retry throttle: max_tokens is 0, must be 1 to 1000"
        );
        let error = Budget::throttle().token_ratio(f64::NAN).build();
        assert_eq!(error.unwrap_err().field(), "token_ratio");
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_proposal(
            max in 1_u64..=1_000, gain in 1_u64..=2_000, ends: Vec<bool>,
        ) {
            let settings = ThrottleBudget { max_tokens: max as f64, token_ratio: gain as f64 / 1e3 };
            let throttle = GrpcThrottle::new(settings);
            let (max, mut tokens) = (max as i64 * 1_000, max as i64 * 1_000);
            for good in ends {
                let change = if good { gain as i64 } else { -1_000 };
                tokens = (tokens + change).clamp(0, max);
                throttle.complete(if good { Outcome::Success } else { Outcome::TimedOut });
                prop_assert_eq!(throttle.allows_retry(), tokens > max / 2);
                prop_assert_eq!(throttle.allows_retry(), throttle.available() > 0);
            }
        }
    }
}

#[cfg(all(test, tower_keep_loom))]
mod models {
    //! Every order of a few threads that the memory model allows, played by loom: `.ci/models`.

    use std::sync::Arc;

    use loom::thread;

    use super::*;

    #[test]
    fn each_end_moves_the_tokens_once() {
        loom::model(|| {
            let settings = Budget::throttle().max_tokens(2.0).token_ratio(0.5);
            let throttle = Arc::new(GrpcThrottle::new(settings));
            let ends = |outcomes: [Outcome; 2]| {
                let throttle = throttle.clone();
                thread::spawn(move || outcomes.map(|outcome| throttle.settle(outcome)))
            };
            let threads = [
                ends([Outcome::Failure, Outcome::Success]),
                ends([Outcome::ClientError, Outcome::Failure]),
            ];
            for thread in threads {
                thread.join().expect("no panic");
            }
            // The success comes after a failure, and so never to what is full.
            assert_eq!(throttle.tokens.load(Ordering::Relaxed), TOKEN / 2);
        });
    }
}
