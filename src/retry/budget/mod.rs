//! Budgets, which keep retries from making an outage worse: all callers share one, however many there are.

mod bucket;
mod grpc_throttle;
mod kind;
mod reservation;
mod settings;
mod slicing;
mod sliding_window;
#[cfg(test)]
mod sliding_window_tests;
mod throttle;
mod token_bucket;
mod window;

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use tokio::time::Instant;

use crate::{
    call::{CallClock, Outcome},
    util::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
};

use grpc_throttle::GrpcThrottle;
pub(super) use kind::BudgetKind;
use sliding_window::SlidingWindow;
use token_bucket::TokenBucket;

pub use bucket::BucketBudget;
pub use reservation::{Reservation, SpentRetry};
pub use settings::BudgetSettings;
pub use throttle::ThrottleBudget;
pub use window::WindowBudget;

/// A limit for retries, shared by any number of callers.
///
/// | made by | a retry is allowed | in a total outage |
/// |---|---|---|
/// | [`window`](Self::window), the default | for 20 % of the calls of the last 10 s, and 10 times a second | 20 % more load |
/// | [`throttle`](Self::throttle), as in gRPC | while successes outnumber failures 10 to 1 | soon no more load |
/// | [`bucket`](Self::bucket), as in AWS' SDKs | while a bucket lasts that successes fill | soon no more load |
///
/// A retry is reserved *before* its backoff, and refunded if the call is cancelled meanwhile. The budget never blocks.
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
/// drop(reservation); // refunds it
/// let reservation = budget.reserve(Outcome::Failure, &now).expect("refunded");
/// reservation.spend().complete(Outcome::Success);
/// assert_eq!(budget.available(&now), Some(0));
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Clones
///
/// Clones share the budget: give one to everything that calls the same peer.
#[derive(Clone)]
pub struct Budget(Arc<BudgetShared>);

/// All kinds of budget, of which one counts: so that its kind can be changed while calls use it, without a lock.
struct BudgetShared {
    /// The word of the [kind](BudgetKind) that counts.
    kind: AtomicU32,
    /// The settings of the kind that counts. Held while they are changed.
    settings: Mutex<BudgetSettings>,
    window: SlidingWindow,
    throttle: GrpcThrottle,
    bucket: TokenBucket,
}

impl Budget {
    /// Creates a budget from settings that are valid.
    pub(crate) fn from_settings(settings: BudgetSettings) -> Self {
        let (mut window, mut throttle, mut bucket) = Default::default();
        match settings {
            BudgetSettings::Window(settings) => window = settings,
            BudgetSettings::Throttle(settings) => throttle = settings,
            BudgetSettings::Bucket(settings) => bucket = settings,
        }
        Budget(Arc::new(BudgetShared {
            kind: AtomicU32::new(settings.kind().first_word()),
            settings: Mutex::new(settings),
            window: SlidingWindow::new(window, Instant::now()),
            throttle: GrpcThrottle::new(throttle),
            bucket: TokenBucket::new(bucket),
        }))
    }

    /// Allows retries for a fraction of the calls of the last seconds, and some a second for callers with few calls.
    ///
    /// ```
    /// let budget = tower_keep::retry::Budget::window().ratio(0.1).build()?;
    /// # let _ = budget;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn window() -> WindowBudget {
        WindowBudget::default()
    }

    /// Throttles as gRPC does (proposal A6): failures take tokens, successes slowly bring them back.
    ///
    /// ```
    /// let budget = tower_keep::retry::Budget::throttle().max_tokens(20.0).build()?;
    /// # let _ = budget;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn throttle() -> ThrottleBudget {
        ThrottleBudget::default()
    }

    /// Limits retries as AWS' SDKs do: a retry costs tokens, and gets them back only if it succeeds.
    ///
    /// ```
    /// let budget = tower_keep::retry::Budget::bucket().capacity(100).build()?;
    /// # let _ = budget;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn bucket() -> BucketBudget {
        BucketBudget::default()
    }

    /// Counts a call whose first attempt begins, which is always allowed. Takes no lock.
    #[inline]
    pub fn deposit(&self, now: &CallClock) {
        if self.kind() == BudgetKind::Window {
            self.0.window.deposit(now.now());
        }
    }

    /// Counts the outcome of a first attempt. Takes no lock. An attempt that a guard of this process rejected earns
    /// nothing.
    #[inline]
    pub fn complete(&self, outcome: Outcome) {
        match self.kind() {
            // Its deposit was made when the call began, before anybody could know.
            BudgetKind::Window if outcome == Outcome::Rejected => {
                self.0.window.retract(Instant::now());
            }
            BudgetKind::Window => {}
            BudgetKind::Throttle => self.0.throttle.complete(outcome),
            BudgetKind::Bucket => self.0.bucket.complete_first(outcome),
        }
    }

    /// Reserves a retry after an attempt with this outcome. Returns `None` if the budget is used up.
    pub fn reserve(&self, after: Outcome, now: &CallClock) -> Option<Reservation> {
        let kind_word = self.kind_word();
        let taken = match BudgetKind::of_word(kind_word) {
            BudgetKind::Window => self.0.window.reserve(now.now())?,
            // A throttle takes nothing for a retry, so there is nothing to refund.
            BudgetKind::Throttle => self.0.throttle.allows_retry().then_some(0)?,
            BudgetKind::Bucket => self.0.bucket.reserve(after)?,
        };
        Some(Reservation::new(self.clone(), kind_word, taken))
    }

    /// Returns how many retries could be reserved now. `None` for a throttle, which takes nothing for a retry: it
    /// allows any number of them or none.
    pub fn available(&self, now: &CallClock) -> Option<u64> {
        match self.kind() {
            BudgetKind::Window => Some(self.0.window.available(now.now())),
            BudgetKind::Throttle => None,
            BudgetKind::Bucket => Some(self.0.bucket.available()),
        }
    }

    /// Returns how many retries could be reserved now if none had been. `None` for a throttle.
    pub(super) fn capacity(&self, now: &CallClock) -> Option<u64> {
        match self.kind() {
            BudgetKind::Window => Some(self.0.window.capacity(now.now())),
            BudgetKind::Throttle => None,
            BudgetKind::Bucket => Some(self.0.bucket.capacity()),
        }
    }

    /// Returns the settings.
    pub fn settings(&self) -> BudgetSettings {
        *self.lock_settings()
    }

    /// Changes the settings, which are valid. A budget of the same kind keeps what it has counted; one of another kind
    /// starts anew.
    pub(super) fn apply(&self, settings: BudgetSettings, now: Instant) {
        let shared = &*self.0;
        // Held to the end, so that no other change comes between.
        let mut current = self.lock_settings();
        if *current == settings {
            return;
        }
        let has_same_kind = current.kind() == settings.kind();
        match settings {
            BudgetSettings::Window(window) if has_same_kind => shared.window.apply(window, now),
            BudgetSettings::Window(window) => shared.window.reset(window, now),
            BudgetSettings::Throttle(throttle) if has_same_kind => shared.throttle.apply(throttle),
            BudgetSettings::Throttle(throttle) => shared.throttle.reset(throttle),
            BudgetSettings::Bucket(bucket) if has_same_kind => shared.bucket.apply(bucket),
            BudgetSettings::Bucket(bucket) => shared.bucket.reset(bucket),
        }
        if !has_same_kind {
            let next = settings.kind().word_after(self.kind_word());
            // Last, and released: whoever sees the kind sees it as it starts.
            shared.kind.store(next, Ordering::Release);
        }
        *current = settings;
    }

    /// Forgets what was counted.
    pub(crate) fn reset(&self, now: Instant) {
        let shared = &*self.0;
        // Held to the end, so that no change comes between.
        let settings = self.lock_settings();
        match *settings {
            BudgetSettings::Window(window) => shared.window.reset(window, now),
            BudgetSettings::Throttle(throttle) => shared.throttle.reset(throttle),
            BudgetSettings::Bucket(bucket) => shared.bucket.reset(bucket),
        }
    }

    fn lock_settings(&self) -> MutexGuard<'_, BudgetSettings> {
        // Copied as a whole, so that a poisoned lock has nothing half done.
        let settings = self.0.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn kind_word(&self) -> u32 {
        self.0.kind.load(Ordering::Acquire)
    }

    #[inline]
    fn kind(&self) -> BudgetKind {
        BudgetKind::of_word(self.kind_word())
    }

    /// Returns whether the outcomes of calls that took one attempt change it.
    #[inline]
    pub(super) fn needs_outcomes(&self) -> bool {
        self.kind() != BudgetKind::Window
    }

    /// Refunds a retry, unless the kind of the budget has changed since it was reserved.
    fn refund(&self, kind_word: u32, taken: u32) {
        if kind_word != self.kind_word() {
            return;
        }
        match BudgetKind::of_word(kind_word) {
            BudgetKind::Window => self.0.window.refund(taken),
            BudgetKind::Throttle => {}
            BudgetKind::Bucket => self.0.bucket.refund(taken),
        }
    }

    /// Counts the outcome of a retry.
    fn complete_retry(&self, kind_word: u32, taken: u32, outcome: Outcome) {
        match BudgetKind::of_word(kind_word) {
            // Nothing has reached the peer.
            _ if outcome == Outcome::Rejected => self.refund(kind_word, taken),
            BudgetKind::Bucket if outcome == Outcome::Success => self.refund(kind_word, taken),
            BudgetKind::Throttle if kind_word == self.kind_word() => {
                self.0.throttle.complete(outcome);
            }
            // A window counts retries whatever their outcome; a bucket keeps what a failed one has cost.
            BudgetKind::Window | BudgetKind::Throttle | BudgetKind::Bucket => {}
        }
    }
}

/// Allows retries for 20 % of the calls of the last 10 s, and 10 a second.
impl Default for Budget {
    fn default() -> Self {
        Budget::from_settings(BudgetSettings::default())
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_tuple("Budget");
        match self.kind() {
            BudgetKind::Window => debug.field(&self.0.window),
            BudgetKind::Throttle => debug.field(&self.0.throttle),
            BudgetKind::Bucket => debug.field(&self.0.bucket),
        };
        debug.finish()
    }
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

    /// Returns how many retries can be reserved, up to a hundred.
    fn reservable(budget: &Budget, now: &CallClock) -> usize {
        let all: Vec<_> = (0..100)
            .map_while(|_| budget.reserve(Outcome::Failure, now))
            .collect();
        all.len()
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_call_earns_nothing_in_the_window() {
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
    fn debug_of_a_budget_shows_the_kind_that_counts() {
        let starts = [
            "Budget(SlidingWindow {",
            "Budget(GrpcThrottle {",
            "Budget(TokenBucket {",
        ];
        for (budget, start) in budgets().iter().zip(starts) {
            let text = format!("{budget:?}");
            assert!(text.starts_with(start), "{text}");
        }
    }

    #[test]
    fn budget_needs_outcomes_if_successes_of_first_attempts_fill_it() {
        let now = CallClock::at(Instant::now());
        for budget in budgets() {
            (0..100)
                .map_while(|_| budget.reserve(Outcome::Failure, &now))
                .for_each(|reservation| reservation.spend().complete(Outcome::Failure));
            (0..100).for_each(|_| budget.complete(Outcome::Success));
            let fills = reservable(&budget, &now) > 0;
            assert_eq!(budget.needs_outcomes(), fills, "{budget:?}");
        }
    }

    proptest! {
        /// An open circuit emptied the budgets of its callers.
        #[test]
        fn rejected_retry_costs_no_budget(
            events in prop::collection::vec((0_u8..4, any::<bool>()), 0..60),
        ) {
            let now = CallClock::at(Instant::now());
            for (plain, rejected) in budgets().into_iter().zip(budgets()) {
                for &(event, also) in &events {
                    for budget in [&plain, &rejected] {
                        match event {
                            0 => budget.deposit(&now),
                            1 => budget.complete(Outcome::Success),
                            2 => budget.complete(Outcome::Failure),
                            _ => drop(budget.reserve(Outcome::Failure, &now).map(Reservation::spend)),
                        }
                    }
                    let after = if also { Outcome::TimedOut } else { Outcome::Failure };
                    if let Some(reservation) = rejected.reserve(after, &now) {
                        reservation.spend().complete(Outcome::Rejected);
                    }
                    prop_assert_eq!(plain.available(&now), rejected.available(&now));
                }
                prop_assert_eq!(reservable(&plain, &now), reservable(&rejected, &now));
            }
        }
    }
}
