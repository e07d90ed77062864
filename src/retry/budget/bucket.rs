use super::{Budget, Core};
use crate::{
    call::{ConfigError, Outcome},
    util::sync::atomic::{AtomicU32, Ordering},
};

const COMPONENT: &str = "retry bucket";

/// Settings of a bucket as in AWS' SDKs; made by [`Budget::bucket`].
///
/// A load that always fails once and then succeeds never drains it, since retries that succeed cost nothing.
#[derive(Clone, Copy, Debug)]
pub struct BucketBudget {
    capacity: u32,
    cost: Option<u32>,
    timeout_cost: Option<u32>,
    refill: u32,
}

const DEFAULT_COST: u32 = 5;
const DEFAULT_TIMEOUT_COST: u32 = 10;

impl Default for BucketBudget {
    fn default() -> Self {
        BucketBudget {
            capacity: 500,
            cost: None,
            timeout_cost: None,
            refill: 1,
        }
    }
}

impl BucketBudget {
    /// How many tokens it holds, and has at first. Must be at least both costs. Default: 500.
    #[must_use]
    pub fn capacity(mut self, tokens: u32) -> Self {
        self.capacity = tokens;
        self
    }

    /// What a retry costs; given back if it succeeds. Must not be 0. Default: 5.
    #[must_use]
    pub fn cost(mut self, tokens: u32) -> Self {
        self.cost = Some(tokens);
        self
    }

    /// What a retry after a timeout costs; given back if it succeeds. Must not be 0. Default: 10.
    #[must_use]
    pub fn timeout_cost(mut self, tokens: u32) -> Self {
        self.timeout_cost = Some(tokens);
        self
    }

    /// What a first attempt brings that succeeds. Default: 1.
    #[must_use]
    pub fn refill(mut self, tokens: u32) -> Self {
        self.refill = tokens;
        self
    }

    /// Makes the budget, full.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that makes no sense.
    pub fn build(self) -> Result<Budget, ConfigError> {
        let costs = [
            ("cost", self.cost, DEFAULT_COST),
            ("timeout_cost", self.timeout_cost, DEFAULT_TIMEOUT_COST),
        ];
        for (field, set, default) in costs {
            match set {
                Some(cost) if cost == 0 || cost > self.capacity => {
                    let must = format!("1 to the capacity, {}", self.capacity);
                    return Err(ConfigError::new(COMPONENT, field, cost, must));
                }
                None if default > self.capacity => {
                    let must = format!("at least the {field}, {default}");
                    let got = self.capacity;
                    return Err(ConfigError::new(COMPONENT, "capacity", got, must));
                }
                _ => {}
            }
        }
        Ok(Budget::new(Core::Bucket(TokenBucket::new(self))))
    }
}

pub(super) type Tokens = u32;

#[derive(Debug)]
pub(super) struct TokenBucket {
    capacity: Tokens,
    cost: Tokens,
    timeout_cost: Tokens,
    refill: Tokens,
    tokens: AtomicU32,
}

impl TokenBucket {
    fn new(settings: BucketBudget) -> Self {
        TokenBucket {
            capacity: settings.capacity,
            cost: settings.cost.unwrap_or(DEFAULT_COST),
            timeout_cost: settings.timeout_cost.unwrap_or(DEFAULT_TIMEOUT_COST),
            refill: settings.refill,
            tokens: AtomicU32::new(settings.capacity),
        }
    }

    pub(super) fn withdraw(&self, after: Outcome) -> Option<Tokens> {
        let cost = match after {
            Outcome::TimedOut => self.timeout_cost,
            _ => self.cost,
        };
        let order = Ordering::Relaxed;
        let paid = self
            .tokens
            .fetch_update(order, order, |tokens| tokens.checked_sub(cost));
        paid.is_ok().then_some(cost)
    }

    #[inline]
    pub(super) fn refund(&self, tokens: Tokens) {
        let capacity = self.capacity;
        let order = Ordering::Relaxed;
        // Full: the good path writes nothing.
        let _ = self.tokens.fetch_update(order, order, |held| {
            (held < capacity).then(|| held.saturating_add(tokens).min(capacity))
        });
    }

    #[inline]
    pub(super) fn complete_first(&self, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.refund(self.refill);
        }
    }

    pub(super) fn available(&self) -> u64 {
        u64::from(self.tokens.load(Ordering::Relaxed) / self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallClock;
    use proptest::prelude::*;

    #[test]
    fn a_total_outage_gets_a_hundred_retries_and_no_more() {
        let budget = Budget::bucket().build().unwrap();
        let now = CallClock::default();
        for _ in 0..100 {
            let reservation = budget.reserve(Outcome::Failure, &now).expect("tokens");
            reservation.spend().complete(Outcome::Failure);
        }
        assert!(budget.reserve(Outcome::Failure, &now).is_none());
        (0..5).for_each(|_| budget.complete(Outcome::Success));
        assert_eq!(budget.available(&now), Some(1));
        assert!(
            budget.reserve(Outcome::TimedOut, &now).is_none(),
            "costs double"
        );
    }

    #[test]
    fn what_succeeds_or_is_cancelled_in_time_costs_nothing() {
        let budget = Budget::bucket().capacity(10).build().unwrap();
        let now = CallClock::default();
        for _ in 0..9 {
            let reservation = budget.reserve(Outcome::TimedOut, &now).expect("tokens");
            reservation.spend().complete(Outcome::Success);
            drop(budget.reserve(Outcome::TimedOut, &now).expect("tokens"));
        }
        drop(
            budget
                .reserve(Outcome::Failure, &now)
                .expect("tokens")
                .spend(),
        );
        assert_eq!(
            budget.available(&now),
            Some(1),
            "cancelled after it had begun"
        );
    }

    #[test]
    fn its_costs_and_its_refill_are_those_that_were_set() {
        let settings = Budget::bucket().capacity(20).cost(2).timeout_cost(7);
        let budget = settings.refill(4).build().unwrap();
        let now = CallClock::default();
        let lost = |after| {
            let reservation = budget.reserve(after, &now).expect("tokens");
            reservation.spend().complete(Outcome::Failure);
            budget.available(&now)
        };
        assert_eq!(lost(Outcome::Failure), Some(9));
        assert_eq!(lost(Outcome::TimedOut), Some(5), "11 tokens");
        budget.complete(Outcome::Success);
        assert_eq!(budget.available(&now), Some(7), "15 tokens");
    }

    #[test]
    fn silly_settings_are_named() {
        let error = Budget::bucket().capacity(4).build().unwrap_err();
        let says = "retry bucket: capacity is 4, must be at least the cost, 5";
        assert_eq!(error.to_string(), says);
        let error = Budget::bucket().cost(9).capacity(9).build().unwrap_err();
        assert_eq!(error.field(), "capacity", "what was set");
        let error = Budget::bucket().cost(501).build().unwrap_err();
        assert_eq!(error.field(), "cost");
        let error = Budget::bucket().timeout_cost(0).build().unwrap_err();
        assert_eq!(error.field(), "timeout_cost");
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_capacity_nor_lends(
            capacity in 10_u32..100, ends in prop::collection::vec((any::<bool>(), any::<bool>()), 0..300),
        ) {
            let budget = Budget::bucket().capacity(capacity).build().unwrap();
            let now = CallClock::default();
            let mut tokens = capacity;
            for (retry, good) in ends {
                let outcome = if good { Outcome::Success } else { Outcome::Failure };
                if retry {
                    let reservation = budget.reserve(Outcome::Failure, &now);
                    prop_assert_eq!(reservation.is_some(), tokens >= 5);
                    if let Some(reservation) = reservation {
                        reservation.spend().complete(outcome);
                        tokens -= if good { 0 } else { 5 };
                    }
                } else {
                    budget.complete(outcome);
                    tokens = (tokens + u32::from(good)).min(capacity);
                }
                prop_assert_eq!(budget.available(&now), Some(u64::from(tokens / 5)));
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
    fn tokens_are_neither_lost_nor_made_by_those_who_take_and_bring_at_once() {
        loom::model(|| {
            let bucket = Arc::new(TokenBucket::new(
                Budget::bucket().capacity(12).cost(4).timeout_cost(8),
            ));
            let take = |after| {
                let bucket = bucket.clone();
                thread::spawn(move || bucket.withdraw(after).unwrap_or(0))
            };
            let (a, b) = (take(Outcome::TimedOut), take(Outcome::TimedOut));
            let mine = bucket.withdraw(Outcome::Failure).unwrap_or(0);
            bucket.give_back(mine);
            let taken = a.join().expect("no panic") + b.join().expect("no panic");
            assert_eq!(taken, 8, "one of the two, whoever it is");
            assert_eq!(bucket.tokens.load(Ordering::Relaxed), 12 - taken);
        });
    }
}
