use std::time::Duration;

use crate::{
    call::ConfigError,
    context::PriorityClass,
    throttle::{ThrottleAccounting, window::WindowConfig},
    util::setting_changes::SettingChanges,
};

/// A twentieth of its fair share: enough to see that a class is alive, and hardly anything of what the others need.
const DEFAULT_FLOOR: f64 = 0.05;
/// For two calls that get through, a third one is let in to find out whether there is room for more.
const DEFAULT_FACTOR: f64 = 1.5;
/// Twice WeChat's second: what is shed follows the load within seconds.
const DEFAULT_WINDOW: Duration = Duration::from_secs(2);
/// The twentieth call finds out that there is room again.
const DEFAULT_MAX_SHED_RATE: f64 = 0.95;
/// Fewer calls say little about the load.
const DEFAULT_MIN_CALLS: u32 = 20;
/// With half, each call is compared with one that is drawn: no class can get more without taking from those above it.
pub(super) const MAX_FLOOR: f64 = 0.5;
pub(super) const MAX_FACTOR: f64 = 100.0;
pub(super) const MIN_WINDOW: Duration = Duration::from_millis(100);
pub(super) const MAX_WINDOW: Duration = Duration::from_secs(3_600);
pub(super) const MAX_CALLS: u32 = 1_000_000;

/// The settings of a [`Prioritizer`](super::Prioritizer) that a file may have: for
/// [`PrioritizerBuilder::settings`](super::PrioritizerBuilder::settings) and [`Prioritizer::apply`](super::Prioritizer::apply).
///
/// In a file (feature `serde`) durations have a unit (`"2s"`). Settings that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::priority::{Prioritizer, PrioritizerSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: PrioritizerSettings = toml::from_str(
///     r#"
///     default_class = "low"
///     floor = 0.1
///     window = "5s"
///     "#,
/// )?;
/// let orders = Prioritizer::builder("orders").settings(&settings).build()?;
/// assert_eq!(orders.settings().floor, 0.1);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct PrioritizerSettings {
    /// The class of calls that have no priority, in a file its name. Default: normal.
    pub default_class: PriorityClass,
    /// The part of what a class would get without priorities that it gets in any case. Must be 0 to 0.5. Default: 0.05.
    pub floor: f64,
    /// The calls to admit for each one that gets through. Must be 1 to 100. Default: 1.5.
    pub factor: f64,
    /// The time for which calls count. Must be 100 ms to 1 h. Default: 2 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub window: Duration,
    /// The largest fraction of calls that is shed. Must be 0 to 1. Default: 0.95, so that one call in twenty finds out that there is
    /// room again.
    pub max_shed_rate: f64,
    /// The number of calls in the window below which none is shed. Must be 1 to 1,000,000. Default: 20.
    pub min_calls: u32,
    /// `true` for shadow mode: calls that would be shed are counted, and admitted. Default: `false`.
    pub shadow: bool,
}

impl Default for PrioritizerSettings {
    fn default() -> Self {
        PrioritizerSettings {
            default_class: PriorityClass::Normal,
            floor: DEFAULT_FLOOR,
            factor: DEFAULT_FACTOR,
            window: DEFAULT_WINDOW,
            max_shed_rate: DEFAULT_MAX_SHED_RATE,
            min_calls: DEFAULT_MIN_CALLS,
            shadow: false,
        }
    }
}

impl PrioritizerSettings {
    /// Checks each setting as `build` and `apply` do, for the prioritizer of this name: to check several settings before the first
    /// is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            let component = format!("prioritizer {name:?}");
            Err(ConfigError::new(component, field, value, expected))
        };
        if !(0.0..=MAX_FLOOR).contains(&self.floor) {
            return error("floor", self.floor.to_string(), "0 to 0.5 (a fraction)");
        }
        if !(1.0..=MAX_FACTOR).contains(&self.factor) {
            return error("factor", self.factor.to_string(), "1 to 100");
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            return error("window", format!("{:?}", self.window), "100 ms to 1 h");
        }
        if !(0.0..=1.0).contains(&self.max_shed_rate) {
            let value = self.max_shed_rate.to_string();
            return error("max_shed_rate", value, "0 to 1 (a fraction)");
        }
        if !(1..=MAX_CALLS).contains(&self.min_calls) {
            return error("min_calls", self.min_calls.to_string(), "1 to 1000000");
        }
        Ok(())
    }

    /// Returns the part that decides how many calls are shed: that of a throttle which counts all calls.
    pub(super) fn config(&self) -> WindowConfig {
        WindowConfig {
            accounting: ThrottleAccounting::All,
            factor: self.factor,
            window: self.window,
            max_rejection_rate: self.max_shed_rate,
            min_calls: self.min_calls,
        }
    }

    /// Returns the probability with which a call is compared with another one that is drawn.
    ///
    /// More than the floor, since the calls that are lifted take room from the others, by which the threshold rises. With a part `s` of
    /// the calls admitted, a floor `f` and this probability `p`, a class gets at least `p·s / (1 + p)`, which is to be `f·s`.
    pub(super) fn lift_rate(&self) -> f32 {
        (self.floor / (1.0 - self.floor)) as f32
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &PrioritizerSettings) -> SettingChanges {
        let PrioritizerSettings {
            default_class,
            floor,
            factor,
            window,
            max_shed_rate,
            min_calls,
            shadow,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("default_class", default_class, &to.default_class);
        changes.compare("floor", floor, &to.floor);
        changes.compare("factor", factor, &to.factor);
        changes.compare("window", window, &to.window);
        changes.compare("max_shed_rate", max_shed_rate, &to.max_shed_rate);
        changes.compare("min_calls", min_calls, &to.min_calls);
        changes.compare("shadow", shadow, &to.shadow);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = PrioritizerSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = PrioritizerSettings {
            default_class: PriorityClass::Low,
            floor: 0.1,
            factor: 1.1,
            window: Duration::from_secs(10),
            max_shed_rate: 0.5,
            min_calls: 7,
            shadow: true,
        };
        let text = "default_class: Normal -> Low, floor: 0.05 -> 0.1, factor: 1.5 -> 1.1, window: 2s -> 10s, \
                    max_shed_rate: 0.95 -> 0.5, min_calls: 20 -> 7, shadow: false -> true";
        assert_eq!(before.changes(&after).text(), text);
    }

    #[test]
    fn settings_that_are_invalid_are_named() {
        let changed = |change: fn(&mut PrioritizerSettings)| {
            let mut settings = PrioritizerSettings::default();
            change(&mut settings);
            settings
        };
        for (field, settings) in [
            ("floor", changed(|it| it.floor = -0.1)),
            ("floor", changed(|it| it.floor = f64::NAN)),
            ("floor", changed(|it| it.floor = 5.0)),
            ("factor", changed(|it| it.factor = 0.9)),
            ("factor", changed(|it| it.factor = 101.0)),
            ("window", changed(|it| it.window = Duration::ZERO)),
            ("window", changed(|it| it.window = 2 * MAX_WINDOW)),
            ("max_shed_rate", changed(|it| it.max_shed_rate = 95.0)),
            ("max_shed_rate", changed(|it| it.max_shed_rate = f64::NAN)),
            ("min_calls", changed(|it| it.min_calls = 0)),
            ("min_calls", changed(|it| it.min_calls = MAX_CALLS + 1)),
        ] {
            let error = settings.check("orders").expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(PrioritizerSettings::default().check("orders"), Ok(()));
    }
}
