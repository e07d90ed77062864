use std::time::Duration;

use tokio::time::Instant;

use super::half_open::HalfOpen;
use crate::{
    breaker::{permit::PermitState, state::CircuitState, switch::SwitchMode},
    guard::Rejects,
};

/// The phase of a circuit, with what each state has to remember.
#[derive(Debug)]
pub(super) enum Phase {
    Closed { since: Instant },
    Open { until: Instant },
    HalfOpen(HalfOpen),
    ForcedOpen,
    Disabled,
}

impl Phase {
    /// Returns the phase of a circuit that begins in a mode.
    pub(super) fn of_mode(mode: SwitchMode, now: Instant) -> Self {
        match mode {
            SwitchMode::Normal => Phase::Closed { since: now },
            SwitchMode::ForcedOpen => Phase::ForcedOpen,
            SwitchMode::Disabled => Phase::Disabled,
        }
    }

    pub(super) fn mode(&self) -> SwitchMode {
        match self {
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen(_) => SwitchMode::Normal,
            Phase::ForcedOpen => SwitchMode::ForcedOpen,
            Phase::Disabled => SwitchMode::Disabled,
        }
    }

    pub(super) fn state(&self) -> CircuitState {
        match self {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen(_) => CircuitState::HalfOpen,
            Phase::ForcedOpen => CircuitState::ForcedOpen,
            Phase::Disabled => CircuitState::Disabled,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Phase::Closed { .. })
    }

    pub(super) fn half_open(&self) -> Option<&HalfOpen> {
        match self {
            Phase::HalfOpen(half_open) => Some(half_open),
            _ => None,
        }
    }

    pub(super) fn half_open_mut(&mut self) -> Option<&mut HalfOpen> {
        match self {
            Phase::HalfOpen(half_open) => Some(half_open),
            _ => None,
        }
    }

    /// Admits a call, as a probe with this deadline where the circuit is half open; `None` rejects it.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        deadline: Instant,
        has_upload: bool,
        random: &mut fastrand::Rng,
    ) -> Option<PermitState> {
        match self {
            Phase::Closed { .. } | Phase::Disabled => Some(PermitState::Admitted),
            // Once a caller has stalled, half of the uploads are rejected: the first to come could all be stalling.
            Phase::HalfOpen(half_open)
                if has_upload && half_open.has_stalled() && random.bool() =>
            {
                None
            }
            Phase::HalfOpen(half_open) => half_open.admit(now, deadline),
            Phase::Open { .. } | Phase::ForcedOpen => None,
        }
    }

    pub(super) fn rejects(&self, now: Instant, stall_timeout: Duration) -> Rejects {
        match self {
            Phase::Closed { .. } | Phase::Disabled => Rejects::None,
            Phase::ForcedOpen => Rejects::All,
            Phase::Open { until } if now < *until => Rejects::AllUntil(*until),
            // The next call begins a half-open phase, which admits only a few.
            Phase::Open { .. } => Rejects::Some,
            // Full without a probe in flight cannot be: so many results decide the phase.
            Phase::HalfOpen(half_open) => match half_open.next_deadline(now, stall_timeout) {
                Some(until) if half_open.is_full() => Rejects::AllUntil(until),
                _ => Rejects::Some,
            },
        }
    }

    /// Checks that the circuit is not open for some time to come. The error is that time, if it is known.
    #[inline]
    pub(super) fn check_not_open(&self, now: Instant) -> Result<(), Option<Duration>> {
        match self {
            Phase::Open { until } if now < *until => Err(Some(*until - now)),
            Phase::ForcedOpen => Err(None),
            _ => Ok(()),
        }
    }

    /// Returns how long a rejected caller should wait. While probes are in flight, that is until the first of them times
    /// out, but not longer than the circuit opens for: it is a hint, and probes are usually fast.
    pub(super) fn retry_after(
        &self,
        now: Instant,
        stall_timeout: Duration,
        open_time: Duration,
    ) -> Option<Duration> {
        let Rejects::AllUntil(until) = self.rejects(now, stall_timeout) else {
            return None;
        };
        let wait = until.saturating_duration_since(now);
        Some(match self {
            Phase::HalfOpen(_) => wait.min(open_time),
            _ => wait,
        })
    }
}
