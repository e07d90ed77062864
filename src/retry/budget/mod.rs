//! What keeps retries from making an outage worse: however many callers there are, they share one allowance.

mod bucket;
mod throttle;
mod window;

use std::sync::Arc;

use tokio::time::Instant;

use crate::call::{CallClock, Outcome};

use bucket::TokenBucket;
use throttle::GrpcThrottle;
use window::SlidingWindow;

pub use bucket::BucketBudget;
pub use throttle::ThrottleBudget;
pub use window::WindowBudget;

/// An allowance of attempts beyond the first, shared by any number of retries and hedges.
///
/// | made by | an attempt beyond the first is allowed | in a total outage |
/// |---|---|---|
/// | [`window`](Self::window), the default | as 20 % of the calls of the last 10 s, and 10 a second | 20 % more load |
/// | [`throttle`](Self::throttle), as in gRPC | while successes outnumber failures 10 to 1 | no more load, soon |
/// | [`bucket`](Self::bucket), as in AWS' SDKs | as long as a bucket lasts that successes fill | no more load, soon |
///
/// It is reserved *before* the wait and given back if the call is cancelled during it; it never blocks.
///
/// ```
/// use tower_keep::{Outcome, call::CallClock, retry::Budget};
///
/// let budget = Budget::window().ratio(0.5).per_second(0.0).build()?;
/// let now = CallClock::default();
/// budget.deposit(&now);
/// budget.deposit(&now);
///
/// let reservation = budget.reserve(Outcome::Failure, &now).expect("half of two");
/// assert!(budget.reserve(Outcome::Failure, &now).is_none());
/// drop(reservation); // given up before it was begun
/// let reservation = budget.reserve(Outcome::Failure, &now).expect("what was given back");
/// reservation.spend().settle(Outcome::Success);
/// assert_eq!(budget.available(&now), Some(0));
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Clones
///
/// Clones share the allowance: give one to everything that talks to the same peer.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Core>);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each budget, behind its Arc"
)]
enum Core {
    Window(SlidingWindow),
    Throttle(GrpcThrottle),
    Bucket(TokenBucket),
}

/// What was taken, and so what can be given back.
#[derive(Clone, Copy, Debug)]
enum Withdrawal {
    /// One retry, in this slice of time.
    Window(window::SliceIndex),
    /// Nothing: a throttle looks but does not take.
    Throttle,
    Bucket(bucket::Tokens),
}

impl Budget {
    /// A share of the calls of the last seconds, and some a second for those who make few.
    pub fn window() -> WindowBudget {
        WindowBudget::default()
    }

    /// gRPC's throttle (proposal A6): tokens that failures take and successes bring back slowly.
    pub fn throttle() -> ThrottleBudget {
        ThrottleBudget::default()
    }

    /// The bucket of AWS' SDKs: retries cost tokens, and get them back only if they succeed.
    pub fn bucket() -> BucketBudget {
        BucketBudget::default()
    }

    fn new(core: Core) -> Self {
        Budget(Arc::new(core))
    }

    /// A call begins: its first attempt, which is always allowed. Takes no lock.
    #[inline]
    pub fn deposit(&self, now: &CallClock) {
        if let Core::Window(window) = &*self.0 {
            window.deposit(now.now());
        }
    }

    /// A first attempt has ended so. Takes no lock. One that a guard of this process has refused earns nothing.
    #[inline]
    pub fn complete(&self, outcome: Outcome) {
        match &*self.0 {
            Core::Window(window) if outcome == Outcome::Rejected => window.retract(Instant::now()),
            Core::Window(_) => {}
            Core::Throttle(throttle) => throttle.complete(outcome),
            Core::Bucket(bucket) => bucket.complete_first(outcome),
        }
    }

    /// Asks for one more attempt, after one that ended so (or that a hedge no longer waits for).
    pub fn reserve(&self, after: Outcome, now: &CallClock) -> Option<Reservation> {
        let slip = match &*self.0 {
            Core::Window(window) => Withdrawal::Window(window.withdraw(now.now())?),
            Core::Throttle(throttle) => throttle.allows_retry().then_some(Withdrawal::Throttle)?,
            Core::Bucket(bucket) => Withdrawal::Bucket(bucket.withdraw(after)?),
        };
        Some(Reservation {
            budget: self.clone(),
            withdrawal: Some(slip),
        })
    }

    /// Returns how many more attempts could be had now; `None` for a throttle, which takes nothing for an attempt: it
    /// allows any number of them or none.
    pub fn available(&self, now: &CallClock) -> Option<u64> {
        match &*self.0 {
            Core::Window(window) => Some(window.available(now.now())),
            Core::Throttle(_) => None,
            Core::Bucket(bucket) => Some(bucket.available()),
        }
    }

    /// Returns whether it has to know how calls end that took one attempt.
    #[inline]
    pub(super) fn needs_outcomes(&self) -> bool {
        !matches!(&*self.0, Core::Window(_))
    }

    fn refund(&self, slip: Withdrawal) {
        match (&*self.0, slip) {
            (Core::Window(window), Withdrawal::Window(epoch)) => window.refund(epoch),
            (Core::Bucket(bucket), Withdrawal::Bucket(tokens)) => bucket.refund(tokens),
            _ => {}
        }
    }

    fn complete_retry(&self, slip: Withdrawal, outcome: Outcome) {
        match (&*self.0, slip) {
            // Nothing has reached the peer.
            (_, slip) if outcome == Outcome::Rejected => self.refund(slip),
            (Core::Throttle(throttle), _) => throttle.complete(outcome),
            (Core::Bucket(bucket), Withdrawal::Bucket(tokens)) if outcome == Outcome::Success => {
                bucket.refund(tokens);
            }
            _ => {}
        }
    }
}

/// 20 % of the calls of the last 10 s, and 10 a second.
impl Default for Budget {
    fn default() -> Self {
        WindowBudget::default().build_unchecked()
    }
}

/// One more attempt, reserved but not begun.
#[must_use = "dropping it gives the attempt back"]
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    withdrawal: Option<Withdrawal>,
}

impl Reservation {
    /// The attempt begins: from now on it is not given back.
    pub fn spend(mut self) -> SpentRetry {
        SpentRetry {
            budget: self.budget.clone(),
            withdrawal: self.withdrawal.take(),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(slip) = self.withdrawal.take() {
            self.budget.refund(slip);
        }
    }
}

/// One more attempt that has begun. Dropping it without a word, as a cancelled call does, leaves it spent.
#[derive(Debug)]
pub struct SpentRetry {
    budget: Budget,
    withdrawal: Option<Withdrawal>,
}

impl SpentRetry {
    /// The attempt has ended so. One that a guard of this process has refused is given back.
    pub fn complete(self, outcome: Outcome) {
        if let Some(slip) = self.withdrawal {
            self.budget.complete_retry(slip, outcome);
        }
    }
}

/// Outcomes that speak against the peer.
fn is_peer_failure(outcome: Outcome) -> bool {
    outcome.is_error() || outcome == Outcome::Overload
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn budgets() -> [Budget; 3] {
        let window = Budget::window().ratio(0.5).per_second(0.3);
        let throttle = Budget::throttle();
        let bucket = Budget::bucket().capacity(60);
        [window.build(), throttle.build(), bucket.build()].map(|budget| budget.expect("valid"))
    }

    /// Returns how many attempts are to be had, up to a hundred.
    fn left(budget: &Budget, now: &CallClock) -> usize {
        let all: Vec<_> = (0..100)
            .map_while(|_| budget.reserve(Outcome::Failure, now))
            .collect();
        all.len()
    }

    #[tokio::test(start_paused = true)]
    async fn window_earns_nothing_of_calls_that_this_process_refused() {
        let budget = Budget::window().ratio(1.0).per_second(0.0).build();
        let (budget, now) = (budget.expect("valid"), CallClock::at(Instant::now()));
        for (outcome, earned) in [
            (Outcome::Success, 1),
            (Outcome::Failure, 2),
            (Outcome::Rejected, 2),
        ] {
            budget.deposit(&now);
            budget.complete(outcome);
            assert_eq!(budget.available(&now), Some(earned), "{outcome:?}");
        }
    }

    #[test]
    fn budget_counts_outcomes_if_it_fills_with_the_successes_of_first_attempts() {
        let now = CallClock::at(Instant::now());
        for budget in budgets() {
            (0..100)
                .map_while(|_| budget.reserve(Outcome::Failure, &now))
                .for_each(|reservation| reservation.spend().complete(Outcome::Failure));
            (0..100).for_each(|_| budget.complete(Outcome::Success));
            let fills = left(&budget, &now) > 0;
            assert_eq!(budget.needs_outcomes(), fills, "{budget:?}");
        }
    }

    proptest! {
        /// An open circuit emptied the budgets of those who called through it.
        #[test]
        fn retry_that_this_process_refused_costs_no_budget_anything(
            events in prop::collection::vec((0_u8..4, any::<bool>()), 0..60),
        ) {
            let now = CallClock::at(Instant::now());
            for (plain, refused) in budgets().into_iter().zip(budgets()) {
                for &(event, also) in &events {
                    for budget in [&plain, &refused] {
                        match event {
                            0 => budget.deposit(&now),
                            1 => budget.complete(Outcome::Success),
                            2 => budget.complete(Outcome::Failure),
                            _ => drop(budget.reserve(Outcome::Failure, &now).map(Reservation::spend)),
                        }
                    }
                    let after = if also { Outcome::TimedOut } else { Outcome::Failure };
                    if let Some(reservation) = refused.reserve(after, &now) {
                        reservation.spend().complete(Outcome::Rejected);
                    }
                    prop_assert_eq!(plain.available(&now), refused.available(&now));
                }
                prop_assert_eq!(left(&plain, &now), left(&refused, &now));
            }
        }
    }
}
