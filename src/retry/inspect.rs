use super::{Budget, retry::RetryShared};
use crate::{
    call::CallClock,
    registry::{Inspect, Stats},
};

impl Inspect for RetryShared {
    fn kind(&self) -> &'static str {
        "retry"
    }

    fn name(&self) -> &str {
        self.metrics.name()
    }

    fn state(&self) -> &'static str {
        "on"
    }

    fn stats(&self, stats: &mut Stats) {
        self.metrics.write_stats(stats);
        let available = |budget: &Budget| budget.available(&CallClock::default());
        // A throttle has no number to show.
        if let Some(available) = self.budget().and_then(available) {
            stats.count("budget_available", available);
        }
    }
}
