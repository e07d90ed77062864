use super::{Budget, Receipt};
use crate::call::Outcome;

/// A retry that was reserved but has not begun.
#[must_use = "dropping it refunds the retry"]
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    receipt: Option<Receipt>,
}

impl Reservation {
    pub(super) fn new(budget: Budget, receipt: Receipt) -> Self {
        let receipt = Some(receipt);
        Reservation { budget, receipt }
    }

    /// Spends the reservation as its attempt begins; from now on it is not refunded when dropped.
    pub fn spend(mut self) -> SpentRetry {
        SpentRetry {
            budget: self.budget.clone(),
            receipt: self.receipt.take(),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            self.budget.refund(receipt);
        }
    }
}

/// A retry that has begun. Dropping it, as a cancelled call does, leaves it spent.
#[derive(Debug)]
pub struct SpentRetry {
    budget: Budget,
    receipt: Option<Receipt>,
}

impl SpentRetry {
    /// Counts the outcome of the retry. A retry that a guard of this process rejected is refunded.
    pub fn complete(self, outcome: Outcome) {
        if let Some(receipt) = self.receipt {
            self.budget.complete_retry(receipt, outcome);
        }
    }
}
