//! Another attempt after a failure: how long to wait before it, and how many there may be.

mod backoff;
mod budget;
mod hints;

pub use backoff::{Backoff, Chance, Delays, Jitter};
pub use budget::{BucketBudget, Budget, Reservation, Spent, ThrottleBudget, WindowBudget};
pub use hints::Hint;
