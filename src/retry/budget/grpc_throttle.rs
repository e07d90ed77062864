use super::throttle::ThrottleBudget;
use crate::{
    call::Outcome,
    util::sync::atomic::{AtomicU64, Ordering},
};

/// Proposal A6 counts in thousandths of a token.
const UNITS_PER_TOKEN: u64 = 1_000;
/// Bits of each number in the word. The largest is a thousand tokens, which are a million units.
const BITS: u32 = 20;
const MASK: u64 = (1 << BITS) - 1;

/// Tokens of a [`ThrottleBudget`], with its settings in the same word, so that a change of them meets no outcome halfway.
#[derive(Debug)]
pub(super) struct GrpcThrottle {
    /// See [`ThrottleWord`].
    word: AtomicU64,
}

/// Units of the word of a throttle. Bits, high to low: 20 max, 20 gain, 20 tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ThrottleWord {
    max: u64,
    gain: u64,
    tokens: u64,
}

impl ThrottleWord {
    /// Returns the word of a full throttle.
    fn full(settings: ThrottleBudget) -> Self {
        // Rounded, since 0.29 times a thousand is a little less than 290.
        let thousandths = |tokens: f64| (tokens * UNITS_PER_TOKEN as f64).round() as u64;
        let max = thousandths(settings.max_tokens);
        ThrottleWord {
            max,
            gain: thousandths(settings.token_ratio),
            tokens: max,
        }
    }

    fn unpack(word: u64) -> Self {
        ThrottleWord {
            max: word >> (2 * BITS) & MASK,
            gain: word >> BITS & MASK,
            tokens: word & MASK,
        }
    }

    fn pack(self) -> u64 {
        self.max << (2 * BITS) | self.gain << BITS | self.tokens
    }

    /// Returns the word after an outcome; `None` if it stays as it is.
    fn after(self, outcome: Outcome) -> Option<Self> {
        let tokens = match outcome {
            // Writes nothing while all tokens are there, as they are in normal operation.
            Outcome::Success if self.tokens == self.max => return None,
            Outcome::Success => (self.tokens + self.gain).min(self.max),
            _ if is_peer_failure(outcome) => self.tokens.saturating_sub(UNITS_PER_TOKEN),
            // Client errors and cancelled calls tell nothing about the peer's load.
            _ => return None,
        };
        Some(ThrottleWord { tokens, ..self })
    }

    /// Returns the word with other settings, as full as it is.
    fn with_settings(self, settings: ThrottleBudget) -> Self {
        let full = ThrottleWord::full(settings);
        let tokens = self.tokens * full.max / self.max;
        ThrottleWord { tokens, ..full }
    }
}

impl GrpcThrottle {
    pub(super) fn new(settings: ThrottleBudget) -> Self {
        GrpcThrottle {
            word: AtomicU64::new(ThrottleWord::full(settings).pack()),
        }
    }

    /// Fills the throttle, with these settings.
    pub(super) fn reset(&self, settings: ThrottleBudget) {
        let word = ThrottleWord::full(settings).pack();
        self.word.store(word, Ordering::Relaxed);
    }

    /// Changes the settings. The throttle stays as full as it is, as in gRPC's C core.
    pub(super) fn apply(&self, settings: ThrottleBudget) {
        self.update(|word| Some(word.with_settings(settings)));
    }

    pub(super) fn allows_retry(&self) -> bool {
        let word = self.read();
        // Doubled instead of halved: an odd maximum keeps its half.
        word.tokens * 2 > word.max
    }

    #[inline]
    pub(super) fn complete(&self, outcome: Outcome) {
        self.update(|word| word.after(outcome));
    }

    #[inline]
    fn update(&self, next: impl Fn(ThrottleWord) -> Option<ThrottleWord>) {
        // Relaxed: the word is all that threads share here.
        let order = Ordering::Relaxed;
        let next = |word| next(ThrottleWord::unpack(word)).map(ThrottleWord::pack);
        let _ = self.word.fetch_update(order, order, next);
    }

    fn read(&self) -> ThrottleWord {
        ThrottleWord::unpack(self.word.load(Ordering::Relaxed))
    }

    /// Returns the number of failures after which no retry is allowed.
    #[cfg(test)]
    fn available(&self) -> u64 {
        let word = self.read();
        (word.tokens * 2)
            .saturating_sub(word.max)
            .div_ceil(UNITS_PER_TOKEN * 2)
    }
}

fn is_peer_failure(outcome: Outcome) -> bool {
    outcome.is_error() || outcome == Outcome::Overload
}

#[cfg(test)]
mod tests {
    use super::{super::Budget, *};
    use crate::call::CallClock;
    use proptest::prelude::*;

    fn available(budget: &Budget) -> u64 {
        budget.0.throttle.available()
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

    #[test]
    fn throttle_stays_as_full_as_it_is_when_its_settings_change() {
        let settings = |max_tokens, token_ratio| ThrottleBudget {
            max_tokens,
            token_ratio,
        };
        let throttle = GrpcThrottle::new(settings(10.0, 0.1));
        throttle.apply(settings(1_000.0, 1_000.0));
        let full = ThrottleWord {
            max: 1_000_000,
            gain: 1_000_000,
            tokens: 1_000_000,
        };
        assert_eq!(throttle.read(), full);
        throttle.apply(settings(10.0, 0.29));
        (0..4).for_each(|_| throttle.complete(Outcome::Failure));
        assert_eq!(throttle.read().tokens, 6_000);
        throttle.apply(settings(20.0, 0.5));
        assert_eq!((throttle.read().tokens, throttle.available()), (12_000, 2));
        throttle.complete(Outcome::Success);
        assert_eq!(throttle.read().tokens, 12_500);
        throttle.apply(settings(1.0, 0.5));
        assert_eq!(throttle.read().tokens, 625);
        assert!(throttle.allows_retry());
        throttle.reset(settings(2.0, 0.5));
        assert_eq!(throttle.read().tokens, 2_000);
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
            assert_eq!(throttle.read().tokens, UNITS_PER_TOKEN / 2);
        });
    }

    #[test]
    fn throttle_loses_no_outcome_while_its_settings_change() {
        loom::model(|| {
            let settings = Budget::throttle().max_tokens(4.0).token_ratio(0.5);
            let throttle = Arc::new(GrpcThrottle::new(settings));
            let other = throttle.clone();
            let other = thread::spawn(move || other.complete(Outcome::Failure));
            throttle.apply(settings.max_tokens(8.0));
            other.join().expect("no panic");
            // Before the change a failure takes a quarter of what there is, after it an eighth.
            assert!([6_000, 7_000].contains(&throttle.read().tokens));
        });
    }
}
