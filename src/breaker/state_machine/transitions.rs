use crate::{
    breaker::{
        call_counts::CallCounts,
        state::CircuitState,
        transition::{Transition, TransitionReason},
    },
    call::Label,
};

/// The transitions of a circuit, which are numbered and bear its name.
#[derive(Debug)]
pub(super) struct Transitions {
    breaker: Label,
    key: Option<Label>,
    count: u64,
}

impl Transitions {
    pub(super) fn new(breaker: Label, key: Option<Label>) -> Self {
        Transitions {
            breaker,
            key,
            count: 0,
        }
    }

    /// Returns how many there have been.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Creates the next one. `counts` are those before it.
    pub(super) fn next(
        &mut self,
        from: CircuitState,
        to: CircuitState,
        reason: TransitionReason,
        counts: CallCounts,
    ) -> Transition {
        self.count += 1;
        Transition {
            breaker: self.breaker.clone(),
            key: self.key.clone(),
            number: self.count,
            from,
            to,
            reason,
            counts,
            open_for: None,
            last_error: None,
            shadow: false,
        }
    }
}
