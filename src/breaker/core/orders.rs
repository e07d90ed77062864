//! What a breaker is told: by hand, by a switch, by the peer.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{events::Reason, state::State, switch::Position},
    Change, Core, Phase, later,
};

impl Core {
    /// Opens until then, if that is later than it would have been; forced states stay.
    pub(in super::super) fn open_until(&mut self, until: Instant, now: Instant) -> Option<Change> {
        self.open_because(Reason::Told, until, now)
    }

    /// Opens for as long as a peer has asked for in its answer to a call of this generation. While the circuit is
    /// open, any answer may prolong that; otherwise, late ones count nothing.
    pub(in super::super) fn heed(
        &mut self,
        generation: u64,
        wait: Duration,
        now: Instant,
    ) -> Option<Change> {
        let late = generation != self.generation && !matches!(self.phase, Phase::Open { .. });
        if late {
            return None;
        }
        self.open_because(Reason::Hinted, later(now, wait), now)
    }

    fn open_because(&mut self, reason: Reason, until: Instant, now: Instant) -> Option<Change> {
        match &mut self.phase {
            Phase::ForcedOpen | Phase::Disabled => None,
            Phase::Open { until: present } => {
                *present = until.max(*present);
                None
            }
            Phase::Closed { .. } | Phase::HalfOpen(_) if until <= now => None,
            _ => {
                self.decay(now);
                Some(self.open(until - now, reason, now))
            }
        }
    }

    pub(in super::super) fn force_open(&mut self, now: Instant) -> Option<Change> {
        self.by_hand = Position::ForcedOpen;
        self.obey(Reason::Forced, now)
    }

    pub(in super::super) fn disable(&mut self, now: Instant) -> Option<Change> {
        self.by_hand = Position::Disabled;
        self.obey(Reason::Disabled, now)
    }

    pub(in super::super) fn switch(&mut self, position: Position, now: Instant) -> Option<Change> {
        self.by_switch = position;
        self.obey(Reason::Switched, now)
    }

    /// Closes as on the first day, unless a switch is thrown. Late results of a closed circuit do not survive it
    /// either, but that is no transition: only the generation changes.
    pub(in super::super) fn reset(&mut self, now: Instant) -> Option<Change> {
        self.by_hand = Position::Normal;
        self.level = 0;
        if self.by_switch != Position::Normal {
            return None;
        }
        if let Phase::Closed { since } = &mut self.phase {
            *since = now;
            self.generation += 1;
            self.clear();
            return None;
        }
        Some(self.close(Reason::Reset, now))
    }

    fn obey(&mut self, reason: Reason, now: Instant) -> Option<Change> {
        let told = match self.by_switch {
            Position::Normal => self.by_hand,
            thrown => thrown,
        };
        match (told, self.state()) {
            (Position::ForcedOpen, State::ForcedOpen) | (Position::Disabled, State::Disabled) => {
                None
            }
            (Position::ForcedOpen, _) => Some(self.turn(Phase::ForcedOpen, reason, now)),
            (Position::Disabled, _) => Some(self.turn(Phase::Disabled, reason, now)),
            (Position::Normal, State::ForcedOpen | State::Disabled) => {
                self.level = 0;
                Some(self.close(reason, now))
            }
            (Position::Normal, _) => None,
        }
    }
}
