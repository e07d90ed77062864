use tokio::time::Instant;

use super::{shared::Shared, state::CircuitState, transition::TransitionReason};
use crate::{
    guard::Rejects,
    registry::{Inspect, Stats},
};

impl Inspect for Shared {
    fn kind(&self) -> &'static str {
        "circuit_breaker"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        self.expire_probes();
        Shared::state(self).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.report_state();
        self.expire_probes();
        let now = Instant::now();
        let locked = self.lock();
        let counts = locked.machine.counts(now);
        stats.count("calls", counts.calls);
        stats.count("failures", counts.failures);
        stats.count("slow", counts.slow);
        stats.count(
            "consecutive_failures",
            locked.machine.consecutive_failures(),
        );
        stats.count("probes_in_flight", locked.machine.probes_in_flight());
        stats.count("transitions", locked.machine.transitions());
        stats.seconds(
            "open_for_seconds",
            match (locked.machine.state(), locked.machine.rejects(now)) {
                (CircuitState::Open, Rejects::AllUntil(until)) => {
                    Some(until.saturating_duration_since(now))
                }
                _ => None,
            },
        );
        stats.text("reason", locked.open_reason.map(TransitionReason::as_str));
        stats.text("last_error", locked.last_error.as_ref());
        let mode = if self.is_shadow() { "shadow" } else { "on" };
        stats.text("mode", Some(mode));
    }
}
