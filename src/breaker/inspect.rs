use std::hash::Hash;

use tokio::time::Instant;

use super::{
    keyed::KeyedShared, shared::BreakerShared, state::CircuitState, transition::TransitionReason,
};
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

impl<K: Hash + Eq + Send> Inspect for KeyedShared<K> {
    fn kind(&self) -> &'static str {
        "keyed_circuit_breaker"
    }

    fn name(&self) -> &str {
        self.metrics.name().as_str()
    }

    /// Returns the worst state of any key.
    fn state(&self) -> &'static str {
        let counts = self.metrics.counts();
        let worst_first = [
            CircuitState::ForcedOpen,
            CircuitState::Open,
            CircuitState::HalfOpen,
        ];
        let worst = worst_first
            .into_iter()
            .find(|state| counts[*state as usize] > 0);
        worst.unwrap_or(CircuitState::Closed).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.metrics.report_state();
        let counts = self.metrics.counts();
        stats.count("keys", self.lock_map().len() as u64);
        stats.count("max_keys", self.max_keys as u64);
        for (state, keys) in CircuitState::ALL.into_iter().zip(counts) {
            stats.count(state.as_str(), keys);
        }
        stats.count("evicted", self.metrics.evicted());
        stats.text("mode", Some(mode(self.config.shadow)));
    }
}

fn mode(is_shadow: bool) -> &'static str {
    if is_shadow { "shadow" } else { "on" }
}
