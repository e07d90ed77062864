use std::time::Duration;

use super::latencies::LatencyConfig;
use crate::{
    call::{ConfigError, GrpcCode},
    retry::{BudgetSettings, GrpcCodes, RetrySettings},
    util::setting_changes::SettingChanges,
};

/// The percentile of "The Tail at Scale": one call in twenty is hedged, which is at most 5 % more load.
const DEFAULT_PERCENTILE: f64 = 0.95;
/// The least number of which a 95th percentile is more than the largest one.
const DEFAULT_MIN_SAMPLES: u32 = 50;
/// Some thousand calls of a busy client, and a change of the peer is noticed within half of it.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// The second hedge gains little beyond the first.
const DEFAULT_MAX_HEDGES: u32 = 1;

/// The resolution of timers.
pub(super) const MIN_DELAY: Duration = Duration::from_millis(1);
pub(super) const MAX_DELAY: Duration = Duration::from_secs(3_600);
pub(super) const MIN_PERCENTILE: f64 = 0.5;
pub(super) const MAX_PERCENTILE: f64 = 0.999;
pub(super) const MIN_SAMPLES: u32 = 10;
pub(super) const MAX_SAMPLES: u32 = 100_000;
pub(super) const MIN_WINDOW: Duration = Duration::from_secs(1);
pub(super) const MAX_WINDOW: Duration = Duration::from_secs(3_600);
pub(super) const MAX_HEDGES: u32 = 10;

/// The settings of a [`Hedge`](super::Hedge) that a file may have: for [`HedgeBuilder::settings`](super::HedgeBuilder::settings) and
/// [`Hedge::apply`](super::Hedge::apply).
///
/// In a file (feature `serde`) durations have a unit (`"250ms"`), and what can be switched off is `"off"` then. Settings that are
/// absent have their defaults; unknown ones are errors.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::hedge::{Hedge, HedgeSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: HedgeSettings = toml::from_str(
///     r#"
///     percentile = 0.99
///     window = "30s"
///     budget = { ratio = 0.05 }
///     "#,
/// )?;
/// let hedge = Hedge::builder("quotes").settings(&settings).build()?;
/// assert_eq!(hedge.settings(), settings);
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
pub struct HedgeSettings {
    /// The fixed time after which a hedge is sent; `None` (in a file `"off"`) for the time that the percentile says. Must be 1 ms to
    /// 1 h. Default: none, since the percentile follows the peer.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional_duration")
    )]
    pub delay: Option<Duration>,
    /// The fraction of attempts that are answered before a hedge is sent. Must be 0.5 to 0.999. Default: 0.95, so that one call in
    /// twenty is hedged.
    pub percentile: f64,
    /// The number of samples in the window below which the percentile counts as unknown. Must be 10 to 100,000. Default: 50, since
    /// of fewer a 95th percentile says little.
    pub min_samples: u32,
    /// The time for which samples count; they are forgotten by halves of it. Must be 1 s to 1 h. Default: 60 s, so that a change of
    /// the peer is noticed within half a minute.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub window: Duration,
    /// The number of hedges of one call; 0 sends none. Must be at most 10. Default: 1, since the second gains little.
    pub max_hedges: u32,
    /// The gRPC codes after which the next attempt is sent, in a file by their names; other failures are the result of the call. Must not
    /// contain `OK`. Default: `UNAVAILABLE`.
    pub grpc_codes: GrpcCodes,
    /// The budget that all hedges share, and retries if it is [theirs](super::HedgeBuilder::retry_budget); `None` for no limit. Default:
    /// hedges for 20 % of the calls of the last 10 s and 10 a second, as for a retry.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::optional")
    )]
    pub budget: Option<BudgetSettings>,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        HedgeSettings {
            delay: None,
            percentile: DEFAULT_PERCENTILE,
            min_samples: DEFAULT_MIN_SAMPLES,
            window: DEFAULT_WINDOW,
            max_hedges: DEFAULT_MAX_HEDGES,
            grpc_codes: GrpcCodes::default(),
            budget: Some(BudgetSettings::default()),
        }
    }
}

impl HedgeSettings {
    /// Checks each setting as `build` and `apply` do, for the hedge of this name: to check several settings before the first is
    /// applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let component = format!("hedge {name:?}");
        let error = |field, value: String, expected| {
            Err(ConfigError::new(&*component, field, value, expected))
        };
        if let Some(delay) = self.delay
            && !(MIN_DELAY..=MAX_DELAY).contains(&delay)
        {
            return error("delay", format!("{delay:?}"), "1 ms to 1 h");
        }
        if !(MIN_PERCENTILE..=MAX_PERCENTILE).contains(&self.percentile) {
            let value = self.percentile.to_string();
            return error("percentile", value, "0.5 to 0.999 (a fraction)");
        }
        if !(MIN_SAMPLES..=MAX_SAMPLES).contains(&self.min_samples) {
            return error("min_samples", self.min_samples.to_string(), "10 to 100000");
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            return error("window", format!("{:?}", self.window), "1 s to 1 h");
        }
        if self.max_hedges > MAX_HEDGES {
            return error("max_hedges", self.max_hedges.to_string(), "0 to 10");
        }
        if self.grpc_codes.contains(GrpcCode::OK) {
            return error("grpc_codes", "OK".to_owned(), "codes of failures");
        }
        match &self.budget {
            Some(budget) => budget.validate(&component),
            None => Ok(()),
        }
    }

    /// Returns the part that decides about the delay.
    pub(super) fn latencies(&self) -> LatencyConfig {
        LatencyConfig {
            percentile: self.percentile,
            min_samples: self.min_samples,
            window: self.window,
        }
    }

    /// Returns the settings of the attempts: how many there are, which failures another one may help, and who pays.
    pub(super) fn attempts(&self) -> RetrySettings {
        RetrySettings {
            max_attempts: 1 + self.max_hedges,
            grpc_codes: self.grpc_codes,
            budget: self.budget,
            ..RetrySettings::default()
        }
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &HedgeSettings) -> SettingChanges {
        let HedgeSettings {
            delay,
            percentile,
            min_samples,
            window,
            max_hedges,
            grpc_codes,
            budget,
        } = self;
        let mut changes = SettingChanges::default();
        changes.compare_optional("delay", "off", delay, &to.delay);
        changes.compare("percentile", percentile, &to.percentile);
        changes.compare("min_samples", min_samples, &to.min_samples);
        changes.compare("window", window, &to.window);
        changes.compare("max_hedges", max_hedges, &to.max_hedges);
        changes.compare("grpc_codes", grpc_codes, &to.grpc_codes);
        changes.compare_optional("budget", "off", budget, &to.budget);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Budget;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the error of the default settings with a change.
    fn error(change: impl FnOnce(&mut HedgeSettings)) -> Option<String> {
        let mut settings = HedgeSettings::default();
        change(&mut settings);
        let error = settings.check("quotes").err();
        error.map(|error| error.to_string())
    }

    #[test]
    fn settings_at_the_ends_of_their_ranges_are_valid() {
        assert_eq!(error(|_| ()), None);
        for delay in [MIN_DELAY, MAX_DELAY] {
            assert_eq!(error(|settings| settings.delay = Some(delay)), None);
        }
        for percentile in [MIN_PERCENTILE, MAX_PERCENTILE] {
            assert_eq!(error(|settings| settings.percentile = percentile), None);
        }
        for samples in [MIN_SAMPLES, MAX_SAMPLES] {
            assert_eq!(error(|settings| settings.min_samples = samples), None);
        }
        for window in [MIN_WINDOW, MAX_WINDOW] {
            assert_eq!(error(|settings| settings.window = window), None);
        }
        for hedges in [0, MAX_HEDGES] {
            assert_eq!(error(|settings| settings.max_hedges = hedges), None);
        }
        assert_eq!(error(|settings| settings.budget = None), None);
    }

    #[test]
    fn settings_that_are_invalid_are_named_with_their_range() {
        let short = Duration::from_micros(999);
        let texts = [
            (
                error(|settings| settings.delay = Some(short)),
                "delay is 999µs, must be 1 ms to 1 h",
            ),
            (
                error(|settings| settings.percentile = 95.0),
                "percentile is 95, must be 0.5 to 0.999 (a fraction)",
            ),
            (
                error(|settings| settings.percentile = f64::NAN),
                "percentile is NaN, must be 0.5 to 0.999 (a fraction)",
            ),
            (
                error(|settings| settings.min_samples = 9),
                "min_samples is 9, must be 10 to 100000",
            ),
            (
                error(|settings| settings.window = MAX_WINDOW + SECOND),
                "window is 3601s, must be 1 s to 1 h",
            ),
            (
                error(|settings| settings.max_hedges = 11),
                "max_hedges is 11, must be 0 to 10",
            ),
            (
                error(|settings| settings.grpc_codes = GrpcCodes::new([GrpcCode::OK])),
                "grpc_codes is OK, must be codes of failures",
            ),
        ];
        for (error, text) in texts {
            let text = format!("hedge \"quotes\": {text}");
            assert_eq!(error, Some(text));
        }
        let budget = error(|settings| settings.budget = Some(Budget::window().ratio(11.0).into()));
        let text = r#"hedge "quotes", budget: ratio is 11, must be 0 to 10 (retries for each call; did you mean 0.11?)"#;
        assert_eq!(budget.as_deref(), Some(text));
    }

    #[test]
    fn changes_have_every_field() {
        let before = HedgeSettings::default();
        assert!(before.changes(&before).is_empty());
        let after = HedgeSettings {
            delay: Some(SECOND),
            percentile: 0.5,
            min_samples: 10,
            window: SECOND,
            max_hedges: 2,
            grpc_codes: GrpcCodes::new([GrpcCode::ABORTED]),
            budget: None,
        };
        let text = before.changes(&after).text().into_owned();
        let start = "delay: off -> 1s, percentile: 0.95 -> 0.5, min_samples: 50 -> 10, window: 60s -> 1s, \
                     max_hedges: 1 -> 2, grpc_codes: {UNAVAILABLE} -> {ABORTED}, budget: Window(";
        assert!(
            text.starts_with(start) && text.ends_with(" -> off"),
            "{text}"
        );
    }
}
