use std::time::Duration;

use tokio::time::Instant;

use super::{
    operator_settings, shared::BreakerShared, state::CircuitState, state_machine::StateMachine,
    transition::TransitionReason,
};
use crate::{
    call::ConfigError,
    guard::Rejects,
    registry::{GuardAction, Inspect, Setting, Stats},
};

impl Inspect for BreakerShared {
    fn kind(&self) -> &'static str {
        "circuit_breaker"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        self.core.expire_probes();
        self.core.state().as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        // Both before the lock is taken: they take it themselves, and a recorder is user code.
        self.core.report_state();
        self.core.expire_probes();
        let now = Instant::now();
        let locked = self.core.lock();
        let machine = &locked.machine;
        let counts = machine.counts(now);
        stats.count("calls", counts.calls);
        stats.count("failures", counts.failures);
        stats.count("slow", counts.slow);
        match machine.settings().failure_rate {
            Some(threshold) => stats.number("failure_rate_threshold", threshold),
            None => stats.text("failure_rate_threshold", None::<&str>),
        }
        stats.count("consecutive_failures", machine.consecutive_failures());
        stats.count("probes_in_flight", machine.probes_in_flight());
        stats.count("rejected", self.core.reporter.rejected());
        stats.count("transitions", machine.transitions());
        stats.seconds("open_for_seconds", open_for(machine, now));
        stats.text("reason", locked.open_reason.map(TransitionReason::as_str));
        stats.text("last_error", locked.last_error.as_ref());
        stats.text("mode", Some(mode(self.core.is_shadow())));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &ACTIONS
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::ForceOpen => self
                .core
                .update(|machine| machine.force_open(Instant::now())),
            GuardAction::Disable => self.core.update(|machine| machine.disable(Instant::now())),
            GuardAction::Reset => self.core.update(|machine| machine.reset(Instant::now())),
            GuardAction::ShadowOn => self.core.set_shadow(true),
            GuardAction::ShadowOff => self.core.set_shadow(false),
            // A breaker is on unless it is disabled.
            GuardAction::Enable => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        operator_settings::list(&BreakerShared::settings(self))
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        match operator_settings::with(&BreakerShared::settings(self), setting, value) {
            Some(settings) => self.apply_settings(&settings),
            None => Ok(()),
        }
    }
}

const ACTIONS: [GuardAction; 5] = [
    GuardAction::ForceOpen,
    GuardAction::Disable,
    GuardAction::Reset,
    GuardAction::ShadowOn,
    GuardAction::ShadowOff,
];

/// Returns for how long an open circuit stays open.
fn open_for(machine: &StateMachine, now: Instant) -> Option<Duration> {
    match (machine.state(), machine.rejects(now)) {
        (CircuitState::Open, Rejects::AllUntil(until)) => {
            Some(until.saturating_duration_since(now))
        }
        _ => None,
    }
}

/// Returns the text of the stat `mode`.
pub(super) fn mode(is_shadow: bool) -> &'static str {
    if is_shadow { "shadow" } else { "on" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CircuitBreaker, registry};

    #[test]
    fn breaker_does_the_actions_of_the_registry() {
        let breaker = CircuitBreaker::new("actions of the registry");
        let act = |action| {
            let done = registry::act("circuit_breaker", breaker.name(), action);
            assert_eq!(done, 1);
            (breaker.state(), breaker.is_shadow())
        };
        for (action, state, shadow) in [
            (GuardAction::ForceOpen, CircuitState::ForcedOpen, false),
            (GuardAction::Disable, CircuitState::Disabled, false),
            (GuardAction::ShadowOn, CircuitState::Disabled, true),
            (GuardAction::Reset, CircuitState::Closed, true),
            (GuardAction::ShadowOff, CircuitState::Closed, false),
        ] {
            assert_eq!(act(action), (state, shadow), "{action}");
        }
        let all = registry::snapshots();
        let own = all.iter().find(|guard| guard.name() == breaker.name());
        assert_eq!(own.expect("registered").actions(), ACTIONS);
    }
}
