use tokio::time::Instant;

use super::{shared::BreakerShared, state::CircuitState, transition::TransitionReason};
use crate::{
    guard::Rejects,
    registry::{Inspect, Stats},
};

impl Inspect for BreakerShared {
    fn kind(&self) -> &'static str {
        "circuit_breaker"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        self.expire_probes();
        BreakerShared::state(self).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        // Both before the lock is taken: they take it themselves, and a recorder is user code.
        self.report_state();
        self.expire_probes();
        let now = Instant::now();
        let locked = self.lock();
        let machine = &locked.machine;
        let counts = machine.counts(now);
        stats.count("calls", counts.calls);
        stats.count("failures", counts.failures);
        stats.count("slow", counts.slow);
        stats.count("consecutive_failures", machine.consecutive_failures());
        stats.count("probes_in_flight", machine.probes_in_flight());
        stats.count("transitions", machine.transitions());
        let open_for = match (machine.state(), machine.rejects(now)) {
            (CircuitState::Open, Rejects::AllUntil(until)) => {
                Some(until.saturating_duration_since(now))
            }
            _ => None,
        };
        stats.seconds("open_for_seconds", open_for);
        stats.text("reason", locked.open_reason.map(TransitionReason::as_str));
        stats.text("last_error", locked.last_error.as_ref());
        stats.text("mode", Some(mode(self.is_shadow())));
    }
}

/// Returns the text of the stat `mode`.
pub(super) fn mode(is_shadow: bool) -> &'static str {
    if is_shadow { "shadow" } else { "on" }
}
