use std::pin::Pin;

use super::attempt_clock::AttemptClock;
use crate::retry::{Attempt, RunningAttempt, SpentRetry};

/// An attempt that runs beside the first.
pub(super) struct HedgeAttempt<F> {
    // Dropped first: the clock counts what becomes of it.
    pub(super) running: Pin<Box<RunningAttempt<F>>>,
    pub(super) clock: AttemptClock,
    pub(super) attempt: Attempt,
    /// Paid for it.
    pub(super) spent: Option<SpentRetry>,
}
