use tokio::time::Instant;

use super::{events::Reason, shared::Shared, state::State};
use crate::{
    guard::Refuses,
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
        self.expire();
        Shared::state(self).as_str()
    }

    fn stats(&self, stats: &mut Stats) {
        self.show();
        self.expire();
        let now = Instant::now();
        let locked = self.lock();
        let counts = locked.core.counts(now);
        stats.count("calls", counts.calls);
        stats.count("failures", counts.failures);
        stats.count("slow", counts.slow);
        stats.count("consecutive_failures", locked.core.streak());
        stats.count("probes_in_flight", locked.core.probes_in_flight());
        stats.count("transitions", locked.core.transitions());
        stats.seconds(
            "open_for_seconds",
            match (locked.core.state(), locked.core.refuses(now)) {
                (State::Open, Refuses::Until(until)) => Some(until.saturating_duration_since(now)),
                _ => None,
            },
        );
        stats.text("reason", locked.why.map(Reason::as_str));
        stats.text("last_error", locked.last_error.as_ref());
        let mode = if self.is_shadow() { "shadow" } else { "on" };
        stats.text("mode", Some(mode));
    }
}
