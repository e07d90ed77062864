//! The registry's entry of a fallback.

use std::sync::atomic::Ordering::Relaxed;

use super::shared::FallbackShared;
use crate::registry::{Inspect, Stats};

impl Inspect for FallbackShared {
    fn kind(&self) -> &'static str {
        "fallback"
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        stats.count("served", self.served.load(Relaxed));
        stats.count("failed", self.failed.load(Relaxed));
    }
}
