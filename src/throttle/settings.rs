use std::time::Duration;

use super::{ThrottleAccounting, window::WindowConfig};
use crate::{call::ConfigError, util::setting_changes::SettingChanges};

/// The factor of the SRE book: for each call that the peer serves, a second one is sent to find out whether it can serve more.
const DEFAULT_FACTOR: f64 = 2.0;
/// A quarter of the SRE book's two minutes, so that an outage is forgotten within a minute.
const DEFAULT_WINDOW: Duration = Duration::from_secs(30);
/// The tenth call finds out that the peer is back.
const DEFAULT_MAX_REJECTION: f64 = 0.9;
/// Fewer calls say little about a peer.
const DEFAULT_MIN_CALLS: u32 = 10;
pub(super) const MAX_FACTOR: f64 = 100.0;
pub(super) const MIN_WINDOW: Duration = Duration::from_millis(100);
pub(super) const MAX_WINDOW: Duration = Duration::from_secs(3_600);
pub(super) const MAX_CALLS: u32 = 1_000_000;

/// The settings of a [`Throttle`](super::Throttle) that a file may have: for
/// [`ThrottleBuilder::settings`](super::ThrottleBuilder::settings) and [`Throttle::apply`](super::Throttle::apply).
///
/// In a file (feature `serde`) durations have a unit (`"30s"`). Settings that are absent have their defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::throttle::{Throttle, ThrottleSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: ThrottleSettings = toml::from_str(
///     r#"
///     factor = 1.1
///     accounting = "admitted"
///     window = "10s"
///     "#,
/// )?;
/// let throttle = Throttle::builder("ledger").settings(&settings).build()?;
/// assert_eq!(throttle.settings().factor, 1.1);
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
pub struct ThrottleSettings {
    /// The calls to send for each one that the peer serves. Must be 1 to 100. Default: 2, as in the SRE book.
    pub factor: f64,
    /// The time for which calls count. Must be 100 ms to 1 h. Default: 30 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub window: Duration,
    /// The largest fraction of calls that is rejected. Must be 0 to 1. Default: 0.9, so that one call in ten finds out that the
    /// peer is back.
    pub max_rejection_rate: f64,
    /// The number of calls in the window below which none is rejected. Must be 1 to 1,000,000. Default: 10.
    pub min_calls: u32,
    /// The calls that count, in a file `"all"` or `"admitted"`. Default: all, as in the SRE book.
    pub accounting: ThrottleAccounting,
    /// `true` for shadow mode: calls that would be rejected are counted, and admitted. Default: `false`.
    pub shadow: bool,
}

impl Default for ThrottleSettings {
    fn default() -> Self {
        ThrottleSettings {
            factor: DEFAULT_FACTOR,
            window: DEFAULT_WINDOW,
            max_rejection_rate: DEFAULT_MAX_REJECTION,
            min_calls: DEFAULT_MIN_CALLS,
            accounting: ThrottleAccounting::All,
            shadow: false,
        }
    }
}

impl ThrottleSettings {
    /// Checks each setting as `build` and `apply` do, for the throttle of this name: to check several settings before the first is
    /// applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            let component = format!("throttle {name:?}");
            Err(ConfigError::new(component, field, value, expected))
        };
        if !(1.0..=MAX_FACTOR).contains(&self.factor) {
            return error("factor", self.factor.to_string(), "1 to 100");
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            return error("window", format!("{:?}", self.window), "100 ms to 1 h");
        }
        if !(0.0..=1.0).contains(&self.max_rejection_rate) {
            let value = self.max_rejection_rate.to_string();
            return error("max_rejection_rate", value, "0 to 1 (a fraction)");
        }
        if !(1..=MAX_CALLS).contains(&self.min_calls) {
            return error("min_calls", self.min_calls.to_string(), "1 to 1000000");
        }
        Ok(())
    }

    /// Returns the part that decides.
    pub(super) fn config(&self) -> WindowConfig {
        WindowConfig {
            accounting: self.accounting,
            factor: self.factor,
            window: self.window,
            max_rejection_rate: self.max_rejection_rate,
            min_calls: self.min_calls,
        }
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &ThrottleSettings) -> SettingChanges {
        let ThrottleSettings {
            factor,
            window,
            max_rejection_rate,
            min_calls,
            accounting,
            shadow,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("factor", factor, &to.factor);
        changes.compare("window", window, &to.window);
        changes.compare(
            "max_rejection_rate",
            max_rejection_rate,
            &to.max_rejection_rate,
        );
        changes.compare("min_calls", min_calls, &to.min_calls);
        changes.compare("accounting", accounting, &to.accounting);
        changes.compare("shadow", shadow, &to.shadow);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = ThrottleSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = ThrottleSettings {
            factor: 1.5,
            window: Duration::from_secs(10),
            max_rejection_rate: 0.5,
            min_calls: 7,
            accounting: ThrottleAccounting::Admitted,
            shadow: true,
        };
        let text = "factor: 2.0 -> 1.5, window: 30s -> 10s, max_rejection_rate: 0.9 -> 0.5, min_calls: 10 -> 7, \
                    accounting: All -> Admitted, shadow: false -> true";
        assert_eq!(before.changes(&after).text(), text);
    }

    #[test]
    fn settings_that_are_invalid_are_named() {
        let default = ThrottleSettings::default;
        for (field, settings) in [
            (
                "factor",
                ThrottleSettings {
                    factor: f64::NAN,
                    ..default()
                },
            ),
            (
                "factor",
                ThrottleSettings {
                    factor: 0.9,
                    ..default()
                },
            ),
            (
                "window",
                ThrottleSettings {
                    window: Duration::ZERO,
                    ..default()
                },
            ),
            (
                "max_rejection_rate",
                ThrottleSettings {
                    max_rejection_rate: 90.0,
                    ..default()
                },
            ),
            (
                "min_calls",
                ThrottleSettings {
                    min_calls: 0,
                    ..default()
                },
            ),
        ] {
            let error = settings.check("ledger").expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(default().check("ledger"), Ok(()));
    }
}
