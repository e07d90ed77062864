//! The registry's entry of a time limit.

use crate::{
    call::TimeoutKind,
    registry::{Inspect, Stats},
    timeout::limit::LimitShared,
    util::{duration::saturating_nanos, sync::atomic::Ordering},
};

impl Inspect for LimitShared {
    fn kind(&self) -> &'static str {
        "timeout"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        let time = self.get();
        // A limit that is none shows no time, instead of some 584 years.
        let is_limited = saturating_nanos(time) < u64::MAX;
        let time = is_limited.then_some(time);
        stats.seconds("limit_seconds", time);
        for (kind, count) in TimeoutKind::ALL.iter().zip(&self.timeouts) {
            stats.count(kind.as_str(), count.load(Ordering::Relaxed));
        }
        stats.count("rejected", self.rejections.load(Ordering::Relaxed));
    }
}
