use std::time::Duration;

use super::{Budget, BudgetSettings};
use crate::call::{ConfigError, check_range};

const COMPONENT: &str = "retry budget";
const MAX_RATIO: f64 = 10.0;
const MAX_RATE: f64 = 1_000_000.0;
const MIN_WINDOW: Duration = Duration::from_millis(100);
const MAX_WINDOW: Duration = Duration::from_secs(3_600);

/// Settings of a budget over a sliding window; made by [`Budget::window`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct WindowBudget {
    /// The number of retries that each call allows, exact to a millionth. Must be 0 to 10. Default: 0.2, so that an outage
    /// adds a fifth to the load.
    pub ratio: f64,
    /// The number of retries allowed per second in addition. Must be 0 to 1,000,000. Default: 10, so that callers with few
    /// calls can retry at all.
    pub per_second: f64,
    /// The time for which calls and retries count. Must be 100 ms to 1 h. Default: 10 s; a longer window allows longer bursts
    /// of retries.
    pub window: Duration,
}

impl Default for WindowBudget {
    fn default() -> Self {
        WindowBudget {
            ratio: 0.2,
            per_second: 10.0,
            window: Duration::from_secs(10),
        }
    }
}

impl WindowBudget {
    /// Sets the number of retries that each call allows; exact to a millionth.
    ///
    /// Bounds how much an outage multiplies the load. Must be 0 to 10. Default: 0.2.
    #[must_use]
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// Sets the number of retries allowed per second in addition, so that callers with few calls can retry at all.
    ///
    /// Each process has its own budget: a hundred processes with few calls may retry a thousand times a second. Lower
    /// it there, or let a circuit breaker bound the load.
    ///
    /// Must be 0 to 1,000,000. Default: 10.
    #[must_use]
    pub fn per_second(mut self, rate: f64) -> Self {
        self.per_second = rate;
        self
    }

    /// Sets how long calls and retries count. A longer window allows longer bursts of retries.
    ///
    /// Must be 100 ms to 1 h. Default: 10 s.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Builds the budget, with no retry used.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting.
    pub fn build(self) -> Result<Budget, ConfigError> {
        self.validate(COMPONENT)?;
        Ok(Budget::from_settings(BudgetSettings::Window(self)))
    }

    pub(super) fn validate(self, component: &str) -> Result<(), ConfigError> {
        // Negated, so that NaN is invalid, too.
        if !(0.0..=MAX_RATIO).contains(&self.ratio) {
            let expected = format!("0 to 10 (retries for each call{})", self.ratio_hint());
            return Err(ConfigError::new(component, "ratio", self.ratio, expected));
        }
        check_range(component, "per_second", self.per_second, 0.0..=MAX_RATE)?;
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&self.window) {
            let value = format!("{:?}", self.window);
            return Err(ConfigError::new(
                component,
                "window",
                value,
                "100 ms to 1 h",
            ));
        }
        Ok(())
    }

    /// Suggests the fraction for a ratio that looks like a percentage.
    fn ratio_hint(&self) -> String {
        if (MAX_RATIO..=100.0).contains(&self.ratio) {
            // To a millionth, as it is counted: division alone makes 0.10099999999999999 of 10.1.
            let fraction = (self.ratio * 1e4).round() / 1e6;
            format!("; did you mean {fraction}?")
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_named() {
        let ratio = Budget::window().ratio(20.0).build().unwrap_err();
        let text =
            "retry budget: ratio is 20, must be 0 to 10 (retries for each call; did you mean 0.2?)";
        assert_eq!(ratio.to_string(), text);
        let ratio = Budget::window().ratio(10.1).build().unwrap_err();
        assert!(ratio.to_string().ends_with("did you mean 0.101?)"));
        for ratio in [-0.5, 200.0] {
            let error = Budget::window().ratio(ratio).build().unwrap_err();
            let text =
                format!("retry budget: ratio is {ratio}, must be 0 to 10 (retries for each call)");
            assert_eq!(error.to_string(), text, "not a percentage");
        }
        let rate = Budget::window().per_second(f64::NAN).build().unwrap_err();
        assert_eq!(rate.field(), "per_second");
        let rate = Budget::window().per_second(1e6 + 1.0).build().unwrap_err();
        assert_eq!(rate.expected(), "0 to 1000000");
        let window = Budget::window().window(Duration::ZERO).build().unwrap_err();
        let text = "retry budget: window is 0ns, must be 100 ms to 1 h";
        assert_eq!(window.to_string(), text);
    }
}
