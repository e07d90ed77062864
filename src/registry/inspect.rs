use super::{GuardAction, Stats};

/// A guard that can be listed.
///
/// Implement it for a custom guard, and [`register`](super::register) it.
pub trait Inspect: Send + Sync {
    /// Returns the kind of guard in snake case, such as `circuit_breaker`.
    fn kind(&self) -> &'static str;

    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the state in one word, as in metrics.
    fn state(&self) -> &'static str;

    /// Adds the stats of the guard.
    fn stats(&self, stats: &mut Stats);

    /// Returns the actions that [`act`](Self::act) does. Default: none.
    fn actions(&self) -> &'static [GuardAction] {
        &[]
    }

    /// Does one of its [actions](Self::actions); any other does nothing.
    fn act(&self, action: GuardAction) {
        let _ = action;
    }
}
