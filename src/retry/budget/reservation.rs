use super::Budget;
use crate::call::Outcome;

/// A retry that was reserved but has not begun.
#[must_use = "dropping it refunds the retry"]
#[derive(Debug)]
pub struct Reservation {
    /// Taken when it begins.
    retry: Option<SpentRetry>,
}

impl Reservation {
    pub(super) fn new(budget: Budget, kind_word: u32, taken: u32) -> Self {
        let retry = Some(SpentRetry {
            budget,
            kind_word,
            taken,
        });
        Reservation { retry }
    }

    /// Spends the reservation as its attempt begins; from now on it is not refunded when dropped.
    pub fn spend(mut self) -> SpentRetry {
        self.retry.take().expect("a reservation is spent once")
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(retry) = &self.retry {
            retry.budget.refund(retry.kind_word, retry.taken);
        }
    }
}

/// A retry that has begun. Dropping it, as a cancelled call does, leaves it spent.
#[derive(Debug)]
pub struct SpentRetry {
    budget: Budget,
    /// The word of the [kind](super::BudgetKind) of budget that it was taken from.
    kind_word: u32,
    /// The slice of a window, or the tokens of a bucket.
    taken: u32,
}

impl SpentRetry {
    /// Counts the outcome of the retry. A retry that a guard of this process rejected is refunded.
    pub fn complete(self, outcome: Outcome) {
        self.budget
            .complete_retry(self.kind_word, self.taken, outcome);
    }
}
