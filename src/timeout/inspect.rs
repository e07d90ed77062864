//! The registry's entry of a time limit.

use std::time::Duration;

use crate::{
    call::{ConfigError, TimeoutKind},
    registry::{Inspect, Setting, Stats},
    timeout::limit::LimitShared,
    util::{duration::saturating_nanos, sync::atomic::Ordering},
};

const MIN_TIME: Duration = Duration::from_millis(1);
/// A day: nobody waits for longer.
const MAX_TIME: Duration = Duration::from_secs(24 * 3_600);

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

    fn settings(&self) -> Vec<Setting> {
        let (min, max) = self.bounds();
        let allowed = min.max(MIN_TIME)..=max.min(MAX_TIME);
        let time = self.get();
        let time = (time <= *allowed.end()).then_some(time);
        vec![Setting::seconds("limit_seconds", time, allowed)]
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        if let ("limit_seconds", Some(seconds)) = (setting, value) {
            self.store(Duration::from_secs_f64(seconds));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registry,
        timeout::{TimeLimit, Timeouts},
    };

    #[test]
    fn limit_is_set_by_the_registry() {
        let limit = TimeLimit::new("set by the registry", Duration::from_secs(2));
        let set = |value| registry::set("timeout", "set by the registry", "limit_seconds", value);
        assert_eq!(set(Some(0.25)), Ok(1));
        assert_eq!(limit.get(), Duration::from_millis(250));
        for value in [None, Some(0.0), Some(1e9)] {
            assert_eq!(
                set(value).expect_err("not allowed").field(),
                "limit_seconds"
            );
        }
    }

    #[test]
    fn limit_is_set_within_that_of_the_whole_call() {
        let timeouts = Timeouts::new("set by the registry within");
        let attempt = timeouts.attempt();
        let set = |value| registry::set("timeout", attempt.name(), "limit_seconds", Some(value));
        let total = timeouts.total().get().as_secs_f64();
        assert!(set(total + 1.0).is_err());
        assert_eq!((set(total), attempt.get()), (Ok(1), timeouts.total().get()));
    }
}
