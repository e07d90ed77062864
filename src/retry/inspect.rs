use std::time::Duration;

use super::{
    Budget,
    settings::{MAX_ATTEMPTS, MAX_RETRY_AFTER as MAX_TIME},
    shared::RetryShared,
};
use crate::{
    call::{CallClock, ConfigError},
    registry::{Inspect, Setting, Stats},
};

const MIN_TIME: Duration = Duration::from_millis(1);

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
        let now = CallClock::default();
        let level = |budget: &Budget| Some((budget.available(&now)?, budget.capacity(&now)?));
        // A throttle has no number to show.
        if let Some((available, capacity)) = self.budget().and_then(level) {
            stats.count("budget_available", available);
            stats.count("budget_capacity", capacity);
        }
    }

    fn settings(&self) -> Vec<Setting> {
        let settings = self.latest_settings();
        let time =
            |name, value: Option<Duration>| Setting::seconds(name, value, MIN_TIME..=MAX_TIME);
        vec![
            Setting::count("max_attempts", settings.max_attempts, 1..=MAX_ATTEMPTS),
            time("max_elapsed_seconds", settings.max_elapsed).or_off(),
            time("max_retry_after_seconds", Some(settings.max_retry_after)),
        ]
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let mut settings = self.latest_settings();
        let time = value.map(Duration::from_secs_f64);
        match (setting, value, time) {
            ("max_attempts", Some(attempts), _) => settings.max_attempts = attempts as u32,
            ("max_elapsed_seconds", ..) => settings.max_elapsed = time,
            ("max_retry_after_seconds", _, Some(time)) => settings.max_retry_after = time,
            _ => return Ok(()),
        }
        self.apply(&settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{registry, retry::Retry};

    #[test]
    fn retry_is_set_by_the_registry() {
        let retry = Retry::new("set by the registry");
        let set = |setting, value| registry::set("retry", retry.name(), setting, value);
        assert_eq!(set("max_attempts", Some(5.0)), Ok(1));
        assert_eq!(set("max_elapsed_seconds", Some(2.5)), Ok(1));
        assert_eq!(set("max_retry_after_seconds", Some(7.0)), Ok(1));
        let settings = retry.settings();
        assert_eq!(settings.max_attempts, 5);
        assert_eq!(settings.max_elapsed, Some(Duration::from_millis(2_500)));
        assert_eq!(settings.max_retry_after, Duration::from_secs(7));
        let values = |retry: &Retry| -> Vec<_> {
            let all = retry.shared.settings();
            all.iter().map(Setting::value).collect()
        };
        assert_eq!(values(&retry), [Some(5.0), Some(2.5), Some(7.0)]);
        assert_eq!(set("max_elapsed_seconds", None), Ok(1));
        assert_eq!(retry.settings().max_elapsed, None);
        let error = set("max_attempts", Some(0.0)).expect_err("too few");
        let text =
            r#"retry "set by the registry": max_attempts is 0, must be a whole number, 1 to 100"#;
        assert_eq!(error.to_string(), text);
    }
}
