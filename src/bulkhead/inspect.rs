//! The registry's entry of a bulkhead.

use std::time::Duration;

use super::{shared::BulkheadShared, slots::MAX_LIMIT};
use crate::{
    call::ConfigError,
    registry::{Inspect, Setting, Stats},
};

const MIN_WAIT: Duration = Duration::from_millis(1);
/// A day: nobody waits for longer.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3_600);

impl Inspect for BulkheadShared {
    fn kind(&self) -> &'static str {
        "bulkhead"
    }

    fn name(&self) -> &str {
        BulkheadShared::name(self).as_str()
    }

    fn state(&self) -> &'static str {
        self.slots().load().state()
    }

    fn stats(&self, stats: &mut Stats) {
        let now = BulkheadShared::stats(self);
        // To a recorder that was installed, or has a bulkhead of the same name, since.
        self.metrics.report_limit(now.limit);
        stats.count("in_flight", now.in_flight);
        stats.count("limit", now.limit);
        stats.count("queued", now.queued);
        stats.count("queue_limit", now.queue_limit);
        stats.count("done", now.done);
        stats.count("failed", now.failed);
        stats.count("inconclusive", now.inconclusive);
        stats.count("rejected", now.rejected);
        stats.seconds("mean_run_seconds", now.mean_run);
        stats.seconds("recent_run_seconds", now.recent_run);
        stats.count("waited", now.waited);
        stats.seconds("mean_wait_seconds", now.mean_wait);
        stats.seconds("max_wait_seconds", now.max_wait);
    }

    fn settings(&self) -> Vec<Setting> {
        let settings = BulkheadShared::settings(self);
        let (limit, queue_limit) = (settings.limit, settings.queue_limit);
        let mut list = vec![
            Setting::count("limit", limit, 1..=MAX_LIMIT),
            Setting::count("queue_limit", queue_limit, 0..=MAX_LIMIT),
            Setting::seconds(
                "wait_limit_seconds",
                settings.wait_limit,
                MIN_WAIT..=MAX_WAIT,
            )
            .or_off(),
        ];
        if let Some(adaptive) = &settings.adaptive {
            list.push(Setting::count("adaptive_min", adaptive.min, 1..=limit));
            list.push(Setting::count(
                "adaptive_max",
                adaptive.max,
                limit..=MAX_LIMIT,
            ));
        }
        list
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let mut settings = BulkheadShared::settings(self);
        match (setting, value) {
            ("limit", Some(calls)) => settings.limit = calls as u32,
            ("queue_limit", Some(calls)) => settings.queue_limit = calls as u32,
            ("adaptive_min", Some(calls)) => {
                settings.adaptive.get_or_insert_default().min = calls as u32;
            }
            ("adaptive_max", Some(calls)) => {
                settings.adaptive.get_or_insert_default().max = calls as u32;
            }
            ("wait_limit_seconds", time) => settings.wait_limit = time.map(Duration::from_secs_f64),
            _ => return Ok(()),
        }
        settings.check(BulkheadShared::name(self).as_str())?;
        self.apply(&settings);
        Ok(())
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use super::*;
    use crate::{Bulkhead, registry};

    #[test]
    fn bulkhead_is_set_by_the_registry() {
        let bulkhead = Bulkhead::new("set by the registry");
        let set = |setting, value| registry::set("bulkhead", bulkhead.name(), setting, value);
        let _permits: Vec<_> = (0..3).map(|_| bulkhead.try_acquire()).collect();
        assert_eq!(set("limit", Some(2.0)), Ok(1));
        assert_eq!((bulkhead.limit(), bulkhead.in_flight()), (2, 3));
        assert_eq!(set("queue_limit", Some(7.0)), Ok(1));
        assert_eq!(set("wait_limit_seconds", Some(0.25)), Ok(1));
        let settings = bulkhead.settings();
        assert_eq!(settings.queue_limit, 7);
        assert_eq!(settings.wait_limit, Some(Duration::from_millis(250)));
        assert_eq!(set("wait_limit_seconds", None), Ok(1));
        assert_eq!(bulkhead.settings().wait_limit, None);
        for (setting, value) in [
            ("limit", Some(0.0)),
            ("limit", None),
            ("queue_limit", Some(0.5)),
        ] {
            let error = set(setting, value).expect_err("not allowed");
            assert_eq!(error.field(), setting);
        }
        assert_eq!(set("until_head", Some(1.0)), Ok(0));
    }

    #[test]
    fn settings_of_operators_have_the_values_of_now() {
        let bulkhead = Bulkhead::new("listed settings");
        let listed = Inspect::settings(&*bulkhead.shared);
        let values: Vec<_> = listed.iter().map(|one| (one.name(), one.value())).collect();
        let expected = [
            ("limit", Some(25.0)),
            ("queue_limit", Some(0.0)),
            ("wait_limit_seconds", Some(1.0)),
        ];
        assert_eq!(values, expected);
    }
}
