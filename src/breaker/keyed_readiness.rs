use std::time::Duration;

use tokio::time::Instant;

use crate::{
    guard::ReadySignal,
    util::{
        duration::saturating_nanos,
        sync::atomic::{AtomicU64, Ordering},
    },
};

/// The readiness of circuits of many keys, for callers that wait for a service: a request, and so its key, comes only when
/// the service is ready.
#[derive(Debug)]
pub(super) struct KeyedReadiness {
    created: Instant,
    /// The nanoseconds from the creation until the last open time ends, of those that have begun.
    open_until: AtomicU64,
    pub(super) signal: ReadySignal,
}

impl KeyedReadiness {
    pub(super) fn new() -> Self {
        KeyedReadiness {
            created: Instant::now(),
            open_until: AtomicU64::new(0),
            signal: ReadySignal::new(),
        }
    }

    pub(super) fn opened(&self, now: Instant, open_for: Duration) {
        let until = self.nanos(now).saturating_add(saturating_nanos(open_for));
        // Relaxed: the lock of the signal orders it for those whom that wakes.
        self.open_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Returns whether a circuit may still reject calls. One whose open time is over waits for its next call, perhaps forever.
    pub(super) fn is_open_at(&self, now: Instant) -> bool {
        self.nanos(now) < self.open_until.load(Ordering::Relaxed)
    }

    fn nanos(&self, now: Instant) -> u64 {
        saturating_nanos(now.saturating_duration_since(self.created))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_time_that_ends_last_counts() {
        let readiness = KeyedReadiness::new();
        let now = readiness.created;
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!readiness.is_open_at(now));
        readiness.opened(after(1), Duration::from_secs(4));
        readiness.opened(after(2), Duration::from_secs(1));
        assert!(readiness.is_open_at(after(4)));
        assert!(!readiness.is_open_at(after(5)));
        readiness.opened(after(1), Duration::MAX);
        assert!(readiness.is_open_at(after(99)));
    }
}
