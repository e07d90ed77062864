use super::{Budget, BudgetSettings};
use crate::call::{ConfigError, check_range};

const COMPONENT: &str = "retry throttle";

/// Settings of gRPC's retry throttle; made by [`Budget::throttle`].
///
/// A failed attempt takes a token, a successful one brings back a fraction of one. Retries are allowed while more than
/// half of the tokens are left. Source: gRPC proposal A6.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ThrottleBudget {
    /// The number of tokens there are at most, and at first. Half as many failures in a row stop all retries. Must be 1 to
    /// 1,000. Default: 10, as in gRPC's own examples.
    pub max_tokens: f64,
    /// The part of a token that a success brings back, counted in thousandths. Must be 0.001 to 1,000. Default: 0.1, as in
    /// gRPC's own examples.
    pub token_ratio: f64,
}

impl Default for ThrottleBudget {
    fn default() -> Self {
        ThrottleBudget {
            max_tokens: 10.0,
            token_ratio: 0.1,
        }
    }
}

impl ThrottleBudget {
    /// Sets the number of tokens there are at most, and at first. Half as many failures in a row stop all retries.
    ///
    /// Must be 1 to 1,000. Default: 10.
    #[must_use]
    pub fn max_tokens(mut self, tokens: f64) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Sets the part of a token that a success brings back. With 0.1, retries stop while more than 1 in 11 attempts
    /// fails.
    ///
    /// Must be 0.001 to 1,000; counted in thousandths. Default: 0.1.
    #[must_use]
    pub fn token_ratio(mut self, ratio: f64) -> Self {
        self.token_ratio = ratio;
        self
    }

    /// Builds the budget, with all its tokens.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting.
    pub fn build(self) -> Result<Budget, ConfigError> {
        self.validate(COMPONENT)?;
        Ok(Budget::from_settings(BudgetSettings::Throttle(self)))
    }

    pub(super) fn validate(self, component: &str) -> Result<(), ConfigError> {
        check_range(component, "max_tokens", self.max_tokens, 1.0..=1_000.0)?;
        check_range(component, "token_ratio", self.token_ratio, 0.001..=1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_named() {
        let error = Budget::throttle().max_tokens(0.0).build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "retry throttle: max_tokens is 0, must be 1 to 1000"
        );
        let error = Budget::throttle().token_ratio(f64::NAN).build();
        assert_eq!(error.unwrap_err().field(), "token_ratio");
    }
}
