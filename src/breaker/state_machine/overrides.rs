//! What a breaker is told: by hand, by a switch, by the peer.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{state::CircuitState, switch::SwitchMode, transition::TransitionReason},
    Phase, StateChange, StateMachine, saturating_add,
};

impl StateMachine {
    /// Opens until then, if that is later than it would have been; forced states stay.
    pub(in super::super) fn open_until(
        &mut self,
        until: Instant,
        now: Instant,
    ) -> Option<StateChange> {
        self.open_with_reason(TransitionReason::Manual, until, now)
    }

    /// Opens for as long as a peer has asked for in its answer to a call of this generation. While the circuit is
    /// open, any answer may prolong that; otherwise, late ones count nothing.
    pub(in super::super) fn open_on_retry_after(
        &mut self,
        generation: u64,
        wait: Duration,
        now: Instant,
    ) -> Option<StateChange> {
        let late = generation != self.generation && !matches!(self.phase, Phase::Open { .. });
        if late {
            return None;
        }
        self.open_with_reason(TransitionReason::RetryAfter, saturating_add(now, wait), now)
    }

    fn open_with_reason(
        &mut self,
        reason: TransitionReason,
        until: Instant,
        now: Instant,
    ) -> Option<StateChange> {
        match &mut self.phase {
            Phase::ForcedOpen | Phase::Disabled => None,
            Phase::Open { until: present } => {
                *present = until.max(*present);
                None
            }
            Phase::Closed { .. } | Phase::HalfOpen(_) if until <= now => None,
            _ => {
                self.decay_backoff(now);
                Some(self.open_for(until - now, reason, now))
            }
        }
    }

    pub(in super::super) fn force_open(&mut self, now: Instant) -> Option<StateChange> {
        self.manual_mode = SwitchMode::ForcedOpen;
        self.apply_override(TransitionReason::ForcedOpen, now)
    }

    pub(in super::super) fn disable(&mut self, now: Instant) -> Option<StateChange> {
        self.manual_mode = SwitchMode::Disabled;
        self.apply_override(TransitionReason::Disabled, now)
    }

    pub(in super::super) fn set_switch_mode(
        &mut self,
        position: SwitchMode,
        now: Instant,
    ) -> Option<StateChange> {
        self.switch_mode = position;
        self.apply_override(TransitionReason::Switch, now)
    }

    /// Closes as on the first day, unless a switch is thrown. Late results of a closed circuit do not survive it
    /// either, but that is no transition: only the generation changes.
    pub(in super::super) fn reset(&mut self, now: Instant) -> Option<StateChange> {
        self.manual_mode = SwitchMode::Normal;
        self.backoff_level = 0;
        if self.switch_mode != SwitchMode::Normal {
            return None;
        }
        if let Phase::Closed { since } = &mut self.phase {
            *since = now;
            self.generation += 1;
            self.clear_counts();
            return None;
        }
        Some(self.close(TransitionReason::Reset, now))
    }

    fn apply_override(&mut self, reason: TransitionReason, now: Instant) -> Option<StateChange> {
        let told = match self.switch_mode {
            SwitchMode::Normal => self.manual_mode,
            thrown => thrown,
        };
        match (told, self.state()) {
            (SwitchMode::ForcedOpen, CircuitState::ForcedOpen)
            | (SwitchMode::Disabled, CircuitState::Disabled) => None,
            (SwitchMode::ForcedOpen, _) => Some(self.transition(Phase::ForcedOpen, reason, now)),
            (SwitchMode::Disabled, _) => Some(self.transition(Phase::Disabled, reason, now)),
            (SwitchMode::Normal, CircuitState::ForcedOpen | CircuitState::Disabled) => {
                self.backoff_level = 0;
                Some(self.close(reason, now))
            }
            (SwitchMode::Normal, _) => None,
        }
    }
}
