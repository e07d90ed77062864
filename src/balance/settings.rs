use std::time::Duration;

use crate::{breaker::BreakerSettings, call::ConfigError, util::setting_changes::SettingChanges};

/// The tenth of Envoy: what one in ten does is an outlier, what half of them do is the load or the caller.
const DEFAULT_MAX_EJECTED: f64 = 0.1;
/// The decay of Finagle and linkerd.
const DEFAULT_DECAY: Duration = Duration::from_secs(10);
/// Far above what most calls take, so that an endpoint which has just failed loses against each that has not.
const DEFAULT_FAILURE_PENALTY: Duration = Duration::from_secs(1);
/// For connections to be made and caches to be filled.
const DEFAULT_SLOW_START: Duration = Duration::from_secs(10);
/// The number of Envoy. Without it, an endpoint that few calls reach would need the twenty calls of a rate.
const DEFAULT_CONSECUTIVE_FAILURES: u32 = 5;
pub(super) const MIN_DECAY: Duration = Duration::from_millis(100);
pub(super) const MIN_SLOW_START: Duration = Duration::from_millis(1);
pub(super) const MAX_TIME: Duration = Duration::from_secs(3_600);
pub(super) const MAX_PENALTY: Duration = Duration::from_secs(60);

/// The settings of a [`Balance`](super::Balance) that a file may have: for
/// [`BalanceBuilder::settings`](super::BalanceBuilder::settings) and [`Balance::apply`](super::Balance::apply).
///
/// In a file (feature `serde`) durations have a unit (`"10s"`), and what is switched off is `"off"`. Settings that are absent have their
/// defaults; unknown ones are errors.
///
/// ```
/// use tower_keep::balance::{Balance, BalanceSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: BalanceSettings = toml::from_str(
///     r#"
///     max_ejected = 0.3
///     slow_start = "off"
///
///     [breaker]
///     consecutive_failures = 3
///     "#,
/// )?;
/// let balance = Balance::builder("ledger").settings(&settings).build()?;
/// assert_eq!(balance.settings().max_ejected, 0.3);
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
pub struct BalanceSettings {
    /// The share of endpoints that may be ejected at once, rounded down, but one if it is above 0; never the last endpoint. Must be 0
    /// (none) to 1. Default: 0.1, as in Envoy.
    pub max_ejected: f64,
    /// The time after which e⁻¹ of a latency is left in the estimate, and without an answer nothing. Must be 100 ms to 1 h. Default: 10 s, as in Finagle.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub decay: Duration,
    /// The time by which a failed call counts as longer than it took. Must be at most 1 min. Default: 1 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub failure_penalty: Duration,
    /// The time for which a new endpoint, and one that returns, gets less than its share. Must be 1 ms to 1 h. Default: 10 s.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub slow_start: Option<Duration>,
    /// The settings of the circuit of each endpoint, which is ejected while it is open. Default: those of a breaker, and 5
    /// consecutive failures; a section in a file that leaves these out has none.
    pub breaker: BreakerSettings,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        BalanceSettings {
            max_ejected: DEFAULT_MAX_EJECTED,
            decay: DEFAULT_DECAY,
            failure_penalty: DEFAULT_FAILURE_PENALTY,
            slow_start: Some(DEFAULT_SLOW_START),
            breaker: BreakerSettings {
                consecutive_failures: Some(DEFAULT_CONSECUTIVE_FAILURES),
                ..BreakerSettings::default()
            },
        }
    }
}

impl BalanceSettings {
    /// Checks each setting as `build` and `apply` do, for the balancer of this name: to check several settings before the first is
    /// applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            let component = format!("balance {name:?}");
            Err(ConfigError::new(component, field, value, expected))
        };
        if !(0.0..=1.0).contains(&self.max_ejected) {
            let value = self.max_ejected.to_string();
            return error("max_ejected", value, "0 to 1 (a fraction)");
        }
        if !(MIN_DECAY..=MAX_TIME).contains(&self.decay) {
            return error("decay", format!("{:?}", self.decay), "100 ms to 1 h");
        }
        if self.failure_penalty > MAX_PENALTY {
            let value = format!("{:?}", self.failure_penalty);
            return error("failure_penalty", value, "0 to 1 min");
        }
        if let Some(time) = self.slow_start
            && !(MIN_SLOW_START..=MAX_TIME).contains(&time)
        {
            return error("slow_start", format!("{time:?}"), "1 ms to 1 h, or off");
        }
        self.breaker.check(name)
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &BalanceSettings) -> SettingChanges {
        let BalanceSettings {
            max_ejected,
            decay,
            failure_penalty,
            slow_start,
            breaker,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare("max_ejected", max_ejected, &to.max_ejected);
        changes.compare("decay", decay, &to.decay);
        changes.compare("failure_penalty", failure_penalty, &to.failure_penalty);
        changes.compare_optional("slow_start", "off", slow_start, &to.slow_start);
        changes.add_part("breaker", &breaker.changes(&to.breaker));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_every_field() {
        let before = BalanceSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = BalanceSettings {
            max_ejected: 0.5,
            decay: Duration::from_secs(5),
            failure_penalty: Duration::ZERO,
            slow_start: None,
            breaker: BreakerSettings {
                probes: 1,
                ..before.breaker.clone()
            },
        };
        let text = "max_ejected: 0.1 -> 0.5, decay: 10s -> 5s, failure_penalty: 1s -> 0ns, \
                    slow_start: 10s -> off, breaker: (probes: 3 -> 1)";
        assert_eq!(before.changes(&after).text(), text);
    }

    #[test]
    fn settings_that_are_invalid_are_named() {
        let with = |change: fn(&mut BalanceSettings)| {
            let mut settings = BalanceSettings::default();
            change(&mut settings);
            settings
        };
        for (field, settings) in [
            ("max_ejected", with(|s| s.max_ejected = 10.0)),
            ("max_ejected", with(|s| s.max_ejected = f64::NAN)),
            ("decay", with(|s| s.decay = Duration::ZERO)),
            (
                "failure_penalty",
                with(|s| s.failure_penalty = 2 * MAX_PENALTY),
            ),
            ("slow_start", with(|s| s.slow_start = Some(Duration::ZERO))),
            ("probes", with(|s| s.breaker.probes = 0)),
        ] {
            let error = settings.check("ledger").expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(BalanceSettings::default().check("ledger"), Ok(()));
    }
}
