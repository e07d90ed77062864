use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Marks that the runtime has not beaten yet.
const NEVER: u64 = u64::MAX;

/// The last moment at which the runtime is known to have run a task.
#[derive(Debug)]
pub(super) struct Heartbeat {
    base: Instant,
    /// Milliseconds from the base to the last beat.
    last: AtomicU64,
    limit: Duration,
}

impl Heartbeat {
    /// Time between two beats.
    pub(super) const INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn new(base: Instant, limit: Duration) -> Self {
        Heartbeat {
            base,
            last: AtomicU64::new(NEVER),
            limit,
        }
    }

    pub(super) fn beat(&self, now: Instant) {
        self.last.store(self.millis(now), Ordering::Relaxed);
    }

    /// Returns whether the last beat is recent enough. A runtime that nobody watches is taken for alive.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        match self.last.load(Ordering::Relaxed) {
            NEVER => true,
            last => u128::from(self.millis(now).saturating_sub(last)) <= self.limit.as_millis(),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.base).as_millis();
        // The process would have to run for 584 million years.
        u64::try_from(millis).unwrap_or(NEVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_is_alive_until_the_limit_since_the_last_beat() {
        let base = Instant::now();
        let after = |millis| base + Duration::from_millis(millis);
        let heart = Heartbeat::new(base, Duration::from_secs(10));
        assert!(heart.is_alive(after(60_000)), "not watched");
        heart.beat(after(1_000));
        assert!(heart.is_alive(after(500)), "before the last beat");
        assert!(heart.is_alive(after(11_000)));
        assert!(!heart.is_alive(after(11_001)));
        heart.beat(after(11_001));
        assert!(heart.is_alive(after(11_001)));
    }
}
