use std::time::Duration;

use http::StatusCode;

use crate::{
    call::{ConfigError, GrpcCode, check_fraction, check_range},
    util::setting_changes::SettingChanges,
};

/// Longest latency: far beyond what a caller waits for, so that only a mistake in the unit is longer.
pub(super) const MAX_LATENCY: Duration = Duration::from_secs(3_600);
/// Longer than most calls take, shorter than most time limits.
const DEFAULT_LATENCY: Duration = Duration::from_secs(1);
/// The status with which a service in an outage responds, or the proxy before it.
const DEFAULT_STATUS: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
/// Some packets, so that the reader has begun.
const DEFAULT_CUT_AFTER: u64 = 1_024;
/// A mobile connection on a bad day.
const DEFAULT_SLOW_SPEED: u64 = 1_024;
pub(super) const MAX_SPEED: u64 = 1 << 30;
/// Enough for a rehearsal at some hundred calls a second, and little memory.
const DEFAULT_MAX_DELAYED: u32 = 1_000;
pub(super) const MAX_DELAYED: u32 = 1_000_000;

/// The settings of a [`Chaos`](super::Chaos) that a file may have: for [`ChaosBuilder::settings`] and [`Chaos::apply`].
///
/// The switch is not one of them: a file switches nothing on. In a file (feature `serde`) durations have a unit
/// (`"250ms"`), and gRPC codes their names. Settings that are absent have their defaults; unknown ones are errors.
///
/// Rates are fractions of the calls that match. `error_rate`, `response_rate`, `hang_rate` and `panic_rate` share the calls
/// between them, so their sum must be at most 1; so do `cut_rate` and `slow_rate`. `latency_rate` is by itself: a call may come
/// late, and fail then.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::chaos::{Chaos, ChaosSettings};
///
/// # #[cfg(feature = "serde")] {
/// let settings: ChaosSettings = toml::from_str(
///     r#"
///     response_rate = 0.1
///     status = 502
///     latency_rate = 0.5
///     latency = "200ms"
///     latency_spread = "100ms"
///     "#,
/// )?;
/// assert_eq!(settings.latency, Duration::from_millis(200));
///
/// let chaos = Chaos::builder("inventory").settings(&settings).build()?;
/// assert_eq!(chaos.settings(), settings);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`ChaosBuilder::settings`]: super::ChaosBuilder::settings
/// [`Chaos::apply`]: super::Chaos::apply
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct ChaosSettings {
    /// The share of calls that fail without a response. Default: 0, as all rates: nothing happens that was not asked for.
    pub error_rate: f64,
    /// The share of calls that get a response with `status`, or `grpc_code`, in the service's place. Default: 0.
    pub response_rate: f64,
    /// The HTTP status of such a response. Must be 400 to 599. Default: 503, as a service in an outage responds.
    pub status: u16,
    /// The gRPC code of such a response. Must not be `OK`. Default: `UNAVAILABLE`, as 503 is.
    #[cfg_attr(feature = "serde", serde(with = "crate::call::grpc_code_name"))]
    pub grpc_code: GrpcCode,
    /// The share of calls whose response comes later. Default: 0.
    pub latency_rate: f64,
    /// The shortest time by which it comes later. Must be at most an hour, with `latency_spread`. Default: 1 s, longer than most
    /// calls and shorter than most time limits.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub latency: Duration,
    /// The range above `latency` from which a time is drawn for each call. Default: 0, the same latency for all.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::util::setting_serde::duration")
    )]
    pub latency_spread: Duration,
    /// The share of calls to which nothing comes until their caller drops them, or the chaos is off. Default: 0.
    pub hang_rate: f64,
    /// The share of calls that panic. Default: 0.
    pub panic_rate: f64,
    /// The share of responses whose body breaks off. Default: 0.
    pub cut_rate: f64,
    /// The bytes of such a body that come before it breaks off. One that is known to be no longer breaks off in the middle.
    /// Default: 1024, so that its reader has begun.
    pub cut_after: u64,
    /// The share of responses whose body comes slowly. Default: 0.
    pub slow_rate: f64,
    /// The speed of such a body, in bytes per second. Must be 1 to 2³⁰. Default: 1024, a bad mobile connection.
    pub slow_speed: u64,
    /// The maximum number of calls that are delayed at once: late, hanging, or with a slow body. Beyond it, a fault that would delay
    /// a call is skipped, and counted. Must be 1 to 1,000,000. Default: 1,000, so that a rehearsal does not use up the memory.
    pub max_delayed: u32,
}

impl Default for ChaosSettings {
    fn default() -> Self {
        ChaosSettings {
            error_rate: 0.0,
            response_rate: 0.0,
            status: DEFAULT_STATUS.as_u16(),
            grpc_code: GrpcCode::UNAVAILABLE,
            latency_rate: 0.0,
            latency: DEFAULT_LATENCY,
            latency_spread: Duration::ZERO,
            hang_rate: 0.0,
            panic_rate: 0.0,
            cut_rate: 0.0,
            cut_after: DEFAULT_CUT_AFTER,
            slow_rate: 0.0,
            slow_speed: DEFAULT_SLOW_SPEED,
            max_delayed: DEFAULT_MAX_DELAYED,
        }
    }
}

impl ChaosSettings {
    /// Checks each setting as `build` and `apply` do, for the handle of this name: to check several settings before the
    /// first is applied.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn check(&self, name: &str) -> Result<(), ConfigError> {
        let component = format!("chaos {name:?}");
        let in_place = self.in_place_rates();
        let of_bodies = [("cut_rate", self.cut_rate), ("slow_rate", self.slow_rate)];
        check_shares(&component, &in_place)?;
        check_shares(&component, &of_bodies)?;
        check_fraction(&component, "latency_rate", self.latency_rate)?;
        self.check_values(&component)
    }

    /// Returns the rates of the faults in place of a call, in the order in which they share the calls.
    fn in_place_rates(&self) -> [(&'static str, f64); 4] {
        [
            ("error_rate", self.error_rate),
            ("response_rate", self.response_rate),
            ("hang_rate", self.hang_rate),
            ("panic_rate", self.panic_rate),
        ]
    }

    fn check_values(&self, component: &str) -> Result<(), ConfigError> {
        let error = |field, value: String, expected: &str| {
            Err(ConfigError::new(component, field, value, expected))
        };
        check_range(component, "status", self.status, 400..=599)?;
        if self.grpc_code == GrpcCode::OK {
            return error("grpc_code", "OK".to_owned(), "the code of a failure");
        }
        if self.latency > MAX_LATENCY {
            let latency = format!("{:?}", self.latency);
            return error("latency", latency, "at most an hour");
        }
        if self.latency_spread > MAX_LATENCY - self.latency {
            let spread = format!("{:?}", self.latency_spread);
            return error("latency_spread", spread, "at most an hour with latency");
        }
        if !(1..=MAX_SPEED).contains(&self.slow_speed) {
            return error("slow_speed", self.slow_speed.to_string(), "1 to 2^30");
        }
        check_range(component, "max_delayed", self.max_delayed, 1..=MAX_DELAYED)
    }

    /// Returns what differs from these settings in others.
    pub(super) fn changes(&self, to: &ChaosSettings) -> SettingChanges {
        let mut changes = SettingChanges::default();
        let rates = |settings: &ChaosSettings| {
            [
                ("error_rate", settings.error_rate),
                ("response_rate", settings.response_rate),
                ("latency_rate", settings.latency_rate),
                ("hang_rate", settings.hang_rate),
                ("panic_rate", settings.panic_rate),
                ("cut_rate", settings.cut_rate),
                ("slow_rate", settings.slow_rate),
            ]
        };
        for ((name, from), (_, to)) in rates(self).iter().zip(rates(to)) {
            changes.compare(name, from, &to);
        }
        changes.compare("status", &self.status, &to.status);
        changes.compare("grpc_code", &self.grpc_code, &to.grpc_code);
        changes.compare("latency", &self.latency, &to.latency);
        changes.compare("latency_spread", &self.latency_spread, &to.latency_spread);
        changes.compare("cut_after", &self.cut_after, &to.cut_after);
        changes.compare("slow_speed", &self.slow_speed, &to.slow_speed);
        changes.compare("max_delayed", &self.max_delayed, &to.max_delayed);
        changes
    }
}

/// Checks that each rate is a fraction, and that all of them together are at most 1.
fn check_shares(component: &str, rates: &[(&'static str, f64)]) -> Result<(), ConfigError> {
    let mut taken = 0.0;
    for &(field, rate) in rates {
        check_fraction(component, field, rate)?;
        // A sum of decimal fractions may be a little more than it says.
        if taken + rate > 1.0 + 1e-9 {
            let left = ((1.0 - taken) * 1e9_f64).round() / 1e9;
            let expected = format!("at most {left}, what the other rates leave of 1");
            return Err(ConfigError::new(component, field, rate, expected));
        }
        taken += rate;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the error of the default settings with a change.
    fn error(change: impl FnOnce(&mut ChaosSettings)) -> Option<String> {
        let mut settings = ChaosSettings::default();
        change(&mut settings);
        let error = settings.check("api").err();
        error.map(|error| error.to_string())
    }

    #[test]
    fn default_settings_are_valid_and_inject_nothing() {
        assert_eq!(error(|_| ()), None);
        let settings = ChaosSettings::default();
        let rates = settings.in_place_rates().map(|(_, rate)| rate);
        assert_eq!(rates, [0.0; 4]);
        let others = [settings.latency_rate, settings.cut_rate, settings.slow_rate];
        assert_eq!(others, [0.0; 3]);
    }

    #[test]
    fn rate_is_a_fraction() {
        let text =
            "chaos \"api\": error_rate is 50, must be 0 to 1 (a fraction; did you mean 0.5?)";
        let percent = error(|settings| settings.error_rate = 50.0);
        assert_eq!(percent.as_deref(), Some(text));
        let setters: [fn(&mut ChaosSettings) -> &mut f64; 7] = [
            |settings| &mut settings.error_rate,
            |settings| &mut settings.response_rate,
            |settings| &mut settings.hang_rate,
            |settings| &mut settings.panic_rate,
            |settings| &mut settings.latency_rate,
            |settings| &mut settings.cut_rate,
            |settings| &mut settings.slow_rate,
        ];
        for rate in setters {
            assert_eq!(error(|settings| *rate(settings) = 1.0), None);
            assert_eq!(error(|settings| *rate(settings) = 0.0), None);
            for invalid in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
                assert!(error(|settings| *rate(settings) = invalid).is_some());
            }
        }
    }

    #[test]
    fn rates_in_place_of_a_call_are_at_most_1_together() {
        let shares = error(|settings| {
            (settings.error_rate, settings.response_rate) = (0.1, 0.2);
            (settings.hang_rate, settings.panic_rate) = (0.3, 0.4);
        });
        assert_eq!(shares, None);
        let more = error(|settings| (settings.error_rate, settings.hang_rate) = (0.7, 0.5));
        let text =
            "chaos \"api\": hang_rate is 0.5, must be at most 0.3, what the other rates leave of 1";
        assert_eq!(more.as_deref(), Some(text));
        let bodies = error(|settings| (settings.cut_rate, settings.slow_rate) = (1.0, 0.1));
        let text =
            "chaos \"api\": slow_rate is 0.1, must be at most 0, what the other rates leave of 1";
        assert_eq!(bodies.as_deref(), Some(text));
        assert_eq!(
            error(|settings| (settings.error_rate, settings.latency_rate) = (1.0, 1.0)),
            None
        );
    }

    #[test]
    fn values_are_in_their_ranges() {
        type Change = fn(&mut ChaosSettings);
        let second = Duration::from_secs(1);
        assert_eq!(error(|settings| settings.latency = MAX_LATENCY), None);
        assert_eq!(
            error(|settings| settings.latency_spread = MAX_LATENCY - second),
            None
        );
        let invalid: [(Change, &str); 9] = [
            (|s| s.status = 399, "status is 399, must be 400 to 599"),
            (|s| s.status = 600, "status is 600, must be 400 to 599"),
            (
                |s| s.grpc_code = GrpcCode::OK,
                "grpc_code is OK, must be the code of a failure",
            ),
            (
                |s| s.latency = MAX_LATENCY * 2,
                "latency is 7200s, must be at most an hour",
            ),
            (
                |s| s.latency_spread = MAX_LATENCY,
                "latency_spread is 3600s, must be at most an hour with latency",
            ),
            (|s| s.slow_speed = 0, "slow_speed is 0, must be 1 to 2^30"),
            (
                |s| s.slow_speed = MAX_SPEED + 1,
                "slow_speed is 1073741825, must be 1 to 2^30",
            ),
            (
                |s| s.max_delayed = 0,
                "max_delayed is 0, must be 1 to 1000000",
            ),
            (
                |s| s.max_delayed = MAX_DELAYED + 1,
                "max_delayed is 1000001, must be 1 to 1000000",
            ),
        ];
        for (change, text) in invalid {
            assert_eq!(error(change), Some(format!("chaos \"api\": {text}")));
        }
    }

    #[test]
    fn changes_name_each_setting_that_differs() {
        let from = ChaosSettings::default();
        assert!(from.changes(&from).is_empty());
        let to = ChaosSettings {
            error_rate: 0.1,
            response_rate: 0.2,
            status: 502,
            grpc_code: GrpcCode::INTERNAL,
            latency_rate: 0.3,
            latency: Duration::from_millis(1),
            latency_spread: Duration::from_millis(2),
            hang_rate: 0.01,
            panic_rate: 0.02,
            cut_rate: 0.03,
            cut_after: 7,
            slow_rate: 0.04,
            slow_speed: 8,
            max_delayed: 9,
        };
        let text = from.changes(&to).text().into_owned();
        let expected = "error_rate: 0.0 -> 0.1, response_rate: 0.0 -> 0.2, latency_rate: 0.0 -> 0.3, \
            hang_rate: 0.0 -> 0.01, panic_rate: 0.0 -> 0.02, cut_rate: 0.0 -> 0.03, slow_rate: 0.0 -> 0.04, \
            status: 503 -> 502, grpc_code: GrpcCode(14) -> GrpcCode(13), latency: 1s -> 1ms, \
            latency_spread: 0ns -> 2ms, cut_after: 1024 -> 7, slow_speed: 1024 -> 8, max_delayed: 1000 -> 9";
        assert_eq!(text, expected);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn settings_are_read_as_they_were_written() {
        let settings = ChaosSettings {
            error_rate: 0.25,
            grpc_code: GrpcCode::RESOURCE_EXHAUSTED,
            latency: Duration::from_millis(250),
            ..ChaosSettings::default()
        };
        let text = toml::to_string(&settings).expect("TOML");
        assert!(
            text.contains("grpc_code = \"RESOURCE_EXHAUSTED\""),
            "{text}"
        );
        assert_eq!(toml::from_str(&text), Ok(settings));
        assert_eq!(toml::from_str(""), Ok(ChaosSettings::default()));
        for (text, part) in [
            ("grpc_code = 'BROKEN'", "BROKEN"),
            ("enabled = true", "enabled"),
            ("latency = 5", "a duration with its unit"),
        ] {
            let error = toml::from_str::<ChaosSettings>(text).expect_err(text);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
