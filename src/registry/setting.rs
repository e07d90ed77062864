use std::{ops::RangeInclusive, time::Duration};

use crate::call::ConfigError;

/// A number that decides what a guard does, and that an operator may change while the guard is in use: see
/// [`set`](super::set).
///
/// `None` is a value as well where the setting [can be off](Self::can_be_off).
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    name: &'static str,
    value: Option<f64>,
    min: f64,
    max: f64,
    is_whole: bool,
    can_be_off: bool,
}

impl Setting {
    /// Creates a setting whose value is a number, such as a fraction.
    ///
    /// ```
    /// use tower_keep::registry::Setting;
    ///
    /// let rate = Setting::number("failure_rate", 0.5, 0.001..=1.0);
    /// assert_eq!((rate.value(), rate.max()), (Some(0.5), 1.0));
    /// ```
    pub fn number(
        name: &'static str,
        value: impl Into<Option<f64>>,
        allowed: RangeInclusive<f64>,
    ) -> Self {
        Setting {
            name,
            value: value.into(),
            min: *allowed.start(),
            max: *allowed.end(),
            is_whole: false,
            can_be_off: false,
        }
    }

    /// Creates a setting whose value is a whole number.
    ///
    /// ```
    /// use tower_keep::registry::Setting;
    ///
    /// let limit = Setting::count("limit", 25, 1..=10_000);
    /// assert!(limit.is_whole());
    /// ```
    pub fn count(
        name: &'static str,
        value: impl Into<Option<u32>>,
        allowed: RangeInclusive<u32>,
    ) -> Self {
        let allowed = f64::from(*allowed.start())..=f64::from(*allowed.end());
        Setting {
            is_whole: true,
            ..Setting::number(name, value.into().map(f64::from), allowed)
        }
    }

    /// Creates a setting whose value is a time, in seconds. Its name ends in `_seconds`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::registry::Setting;
    ///
    /// let allowed = Duration::from_millis(1)..=Duration::from_secs(60);
    /// let wait = Setting::seconds("wait_seconds", Duration::from_millis(250), allowed);
    /// assert_eq!(wait.value(), Some(0.25));
    /// ```
    pub fn seconds(
        name: &'static str,
        value: impl Into<Option<Duration>>,
        allowed: RangeInclusive<Duration>,
    ) -> Self {
        let value = value.into().map(|time| time.as_secs_f64());
        let allowed = allowed.start().as_secs_f64()..=allowed.end().as_secs_f64();
        Setting::number(name, value, allowed)
    }

    /// Allows `None`, which switches off what the setting is for.
    pub fn or_off(mut self) -> Self {
        self.can_be_off = true;
        self
    }

    /// Returns the name, as in a settings file; that of a time has `_seconds` appended.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the value; `None` if it is off.
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// Returns the smallest value that is allowed.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Returns the largest value that is allowed.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Returns whether the value is a whole number.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Returns whether `None` is a value.
    pub fn can_be_off(&self) -> bool {
        self.can_be_off
    }

    /// Checks a new value for this setting of a guard.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting and the allowed values.
    pub fn check(&self, guard: &str, value: Option<f64>) -> Result<(), ConfigError> {
        let is_allowed = match value {
            None => self.can_be_off,
            // `NaN` is in no range.
            Some(value) => {
                (self.min..=self.max).contains(&value) && !(self.is_whole && value.fract() != 0.0)
            }
        };
        if is_allowed {
            return Ok(());
        }
        let shown = value.map_or_else(|| "off".to_owned(), |value| value.to_string());
        let (min, max) = (self.min, self.max);
        let whole = if self.is_whole {
            "a whole number, "
        } else {
            ""
        };
        let off = if self.can_be_off { ", or off" } else { "" };
        let expected = format!("{whole}{min} to {max}{off}");
        Err(ConfigError::new(guard, self.name, shown, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(setting: &Setting, value: Option<f64>) -> String {
        let error = setting.check("bulkhead \"db\"", value);
        error.expect_err("not allowed").to_string()
    }

    #[test]
    fn setting_allows_what_is_in_its_range() {
        let rate = Setting::number("rate", 0.5, 0.25..=1.0);
        for value in [0.25, 0.3, 1.0] {
            assert_eq!(rate.check("", Some(value)), Ok(()));
        }
        for value in [0.24, 1.01, f64::NAN, f64::INFINITY, -0.5] {
            let expected = format!("bulkhead \"db\": rate is {value}, must be 0.25 to 1");
            assert_eq!(refused(&rate, Some(value)), expected);
        }
        let off = "bulkhead \"db\": rate is off, must be 0.25 to 1";
        assert_eq!(refused(&rate, None), off);
    }

    #[test]
    fn setting_that_counts_allows_whole_numbers() {
        let limit = Setting::count("limit", None, 1..=100).or_off();
        for value in [None, Some(1.0), Some(100.0)] {
            assert_eq!(limit.check("", value), Ok(()));
        }
        let expected = "bulkhead \"db\": limit is 1.5, must be a whole number, 1 to 100, or off";
        assert_eq!(refused(&limit, Some(1.5)), expected);
    }
}
