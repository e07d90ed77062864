//! The registry's entry of a chaos.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    ChaosSettings, FaultKind,
    settings::{MAX_DELAYED, MAX_LATENCY},
    shared::{ChaosShared, KIND, state_text},
};
use crate::{
    call::ConfigError,
    registry::{GuardAction, Inspect, Setting, Stats},
};

impl Inspect for ChaosShared {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn state(&self) -> &'static str {
        state_text(self.is_on())
    }

    fn stats(&self, stats: &mut Stats) {
        // Before the lock is taken: a recorder is code of others.
        self.report_late();
        let settings = self.lock_settings().clone();
        stats.number("error_rate", settings.error_rate);
        stats.number("response_rate", settings.response_rate);
        stats.number("latency_rate", settings.latency_rate);
        stats.seconds("latency_seconds", settings.latency);
        stats.seconds("latency_spread_seconds", settings.latency_spread);
        stats.number("hang_rate", settings.hang_rate);
        stats.number("panic_rate", settings.panic_rate);
        for kind in FaultKind::ALL {
            stats.count(kind.as_str(), self.injected_count(kind));
        }
        stats.count("skipped", self.skipped_count());
        stats.count("delayed", self.delayed_count());
        let left = self
            .end()
            .map(|end| end.saturating_duration_since(Instant::now()));
        stats.seconds("on_for_seconds", left);
        // A text, since a page would round the number.
        stats.text("seed", Some(self.seed));
    }

    fn actions(&self) -> &'static [GuardAction] {
        &[
            GuardAction::Enable,
            GuardAction::Disable,
            GuardAction::Reset,
        ]
    }

    fn act(&self, action: GuardAction) {
        match action {
            GuardAction::Enable => self.override_with(Some(true)),
            GuardAction::Disable => self.override_with(Some(false)),
            GuardAction::Reset => self.override_with(None),
            GuardAction::ForceOpen | GuardAction::ShadowOn | GuardAction::ShadowOff => {}
        }
    }

    fn settings(&self) -> Vec<Setting> {
        let settings = self.lock_settings().clone();
        let rate = |name, rate| Setting::number(name, rate, 0.0..=1.0);
        // Both together are limited.
        let seconds =
            |name, time, other| Setting::seconds(name, time, Duration::ZERO..=MAX_LATENCY - other);
        let (latency, spread) = (settings.latency, settings.latency_spread);
        vec![
            rate("error_rate", settings.error_rate),
            rate("response_rate", settings.response_rate),
            Setting::count("status", u32::from(settings.status), 400..=599),
            rate("latency_rate", settings.latency_rate),
            seconds("latency_seconds", latency, spread),
            seconds("latency_spread_seconds", spread, latency),
            rate("hang_rate", settings.hang_rate),
            rate("panic_rate", settings.panic_rate),
            rate("cut_rate", settings.cut_rate),
            rate("slow_rate", settings.slow_rate),
            Setting::count("max_delayed", settings.max_delayed, 1..=MAX_DELAYED),
        ]
    }

    fn set(&self, setting: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let Some(value) = value else {
            return Ok(());
        };
        let mut settings = self.lock_settings().clone();
        change(&mut settings, setting, value);
        self.apply(&settings)
    }
}

/// Changes the setting of this name to a value within its range.
fn change(settings: &mut ChaosSettings, setting: &str, value: f64) {
    match setting {
        "error_rate" => settings.error_rate = value,
        "response_rate" => settings.response_rate = value,
        "status" => settings.status = value as u16,
        "latency_rate" => settings.latency_rate = value,
        "latency_seconds" => settings.latency = Duration::from_secs_f64(value),
        "latency_spread_seconds" => settings.latency_spread = Duration::from_secs_f64(value),
        "hang_rate" => settings.hang_rate = value,
        "panic_rate" => settings.panic_rate = value,
        "cut_rate" => settings.cut_rate = value,
        "slow_rate" => settings.slow_rate = value,
        "max_delayed" => settings.max_delayed = value as u32,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chaos::Chaos, registry};

    #[test]
    fn chaos_is_set_by_the_registry() {
        let chaos = Chaos::new("set by the registry");
        let set = |name: &str, value| registry::set(KIND, chaos.name(), name, Some(value));
        let settings = chaos.shared.settings();
        for setting in &settings {
            // Alone, since rates share the calls.
            chaos.apply(&ChaosSettings::default()).expect("valid");
            let value = setting.max();
            assert_eq!(set(setting.name(), value), Ok(1), "{}", setting.name());
            let after = chaos.shared.settings();
            let after = after.iter().find(|after| after.name() == setting.name());
            assert_eq!(
                after.expect("listed").value(),
                Some(value),
                "{}",
                setting.name()
            );
        }
        assert_eq!(set("no such setting", 1.0), Ok(0));
    }

    #[test]
    fn chaos_is_not_set_to_what_does_not_go_with_other_rates() {
        let chaos = Chaos::builder("set by the registry, not").hang_rate(0.75);
        let chaos = chaos.build().expect("valid");
        let error = registry::set(KIND, chaos.name(), "error_rate", Some(0.5));
        let error = error.expect_err("too much").to_string();
        let text = "hang_rate is 0.75, must be at most 0.5, what the other rates leave of 1";
        assert!(error.ends_with(text), "{error}");
        assert_eq!(chaos.settings().error_rate, 0.0);
        assert!(registry::set(KIND, chaos.name(), "error_rate", None).is_err());
    }
}
