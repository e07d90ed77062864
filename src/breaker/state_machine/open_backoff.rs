use std::time::Duration;

use crate::breaker::config::BreakerConfig;

/// Bounds the exponent of the backoff; beyond it every factor has reached its maximum.
const MAX_LEVEL: u32 = 64;

/// The backoff of the open time.
#[derive(Debug, Default)]
pub(super) struct OpenBackoff {
    /// The number of times that the open time is multiplied.
    level: u32,
}

impl OpenBackoff {
    pub(super) fn reset(&mut self) {
        self.level = 0;
    }

    /// Returns the next open time with backoff and jitter.
    pub(super) fn next_open_time(
        &mut self,
        config: &BreakerConfig,
        random: &mut fastrand::Rng,
    ) -> Duration {
        let jitter = 1.0 + config.settings.open_jitter * random.f64();
        let time =
            Duration::try_from_secs_f64(config.open_time_at(self.level).as_secs_f64() * jitter);
        // Afterwards: the first time is the open time as it was configured.
        self.level = (self.level + 1).min(MAX_LEVEL);
        // Jitter may exceed what a `Duration` can hold.
        time.unwrap_or(config.max_open_time)
    }

    /// Lowers the backoff by a level for each open time that the circuit has stayed closed.
    pub(super) fn decay(&mut self, mut healthy: Duration, config: &BreakerConfig) {
        // Each level has an open time of its own, the highest the longest.
        while self.level > 0 {
            let Some(rest) = healthy.checked_sub(config.open_time_at(self.level)) else {
                return;
            };
            healthy = rest;
            self.level -= 1;
        }
    }
}
