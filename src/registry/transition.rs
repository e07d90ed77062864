use std::time::SystemTime;

use super::LimitChange;
use crate::call::Label;

/// A change of the state of a guard of this process, as sent to [subscribers](super::subscribe).
///
/// [`breaker::Transition`](crate::breaker::Transition) has more about that of one breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GuardTransition {
    /// The kind of guard, as in a [`Snapshot`](super::Snapshot): `circuit_breaker`, `keyed_circuit_breaker`,
    /// `throttle`, `prioritizer`, `balance`, `chaos` or `bulkhead`.
    pub kind: &'static str,
    /// The name of the guard.
    pub name: Label,
    /// The key, if the guard is one of several under this name: the key's text, at most 128 bytes.
    pub key: Option<Label>,
    /// The state before, in one word.
    pub from: &'static str,
    /// The state from now on, in one word.
    pub to: &'static str,
    /// The limits before and from now on, if they are what has changed, and not the state: of a bulkhead that
    /// [adapts itself](crate::adaptive#reports).
    pub limits: Option<LimitChange>,
    /// The reason, in lower case, words joined by `_`.
    pub reason: &'static str,
    /// The error of the call that caused the transition, at most 1 KiB.
    pub last_error: Option<Label>,
    /// True if the guard was in shadow mode: calls are admitted, whatever the state.
    pub shadow: bool,
    /// The time of the report.
    pub at: SystemTime,
}
