use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::util::duration::saturating_nanos;

/// The share of the latest run in the mean: one part of this many.
const WEIGHT: u64 = 8;

/// The time of the latest runs: an exponentially weighted mean in nanoseconds, 0 if there was none.
///
/// An estimate: an update that is lost to another thread does no harm.
#[derive(Debug, Default)]
pub(super) struct RecentRun(AtomicU64);

impl RecentRun {
    #[inline]
    pub(super) fn add(&self, time: Duration) {
        let mean = self.0.load(Relaxed);
        self.0.store(weigh(mean, saturating_nanos(time)), Relaxed);
    }

    pub(super) fn get(&self) -> Option<Duration> {
        match self.0.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// Returns the mean after another run.
#[inline]
fn weigh(mean: u64, nanos: u64) -> u64 {
    let mean = match mean {
        0 => nanos,
        _ => mean - mean / WEIGHT + nanos / WEIGHT,
    };
    // 0 stands for no run.
    mean.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn recent_run_follows_the_latest_calls() {
        let runs = RecentRun::default();
        assert_eq!(runs.get(), None);
        runs.add(Duration::ZERO);
        assert_eq!(runs.get(), Some(Duration::from_nanos(1)), "not none");
        for _ in 0..100 {
            runs.add(8 * MILLI);
        }
        let recent = runs.get().expect("some");
        assert!(recent > 7 * MILLI && recent <= 8 * MILLI, "{recent:?}");
        runs.add(16 * MILLI);
        let recent = runs.get().expect("some");
        assert!(recent > 8 * MILLI && recent < 10 * MILLI, "{recent:?}");
        assert_eq!(weigh(u64::MAX, u64::MAX), u64::MAX);
    }
}
