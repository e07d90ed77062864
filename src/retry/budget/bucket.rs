use super::{Budget, BudgetSettings};
use crate::call::ConfigError;

const COMPONENT: &str = "retry bucket";
const DEFAULT_COST: u32 = 5;
const DEFAULT_TIMEOUT_COST: u32 = 10;

/// Settings of a token bucket as in AWS' SDKs; made by [`Budget::bucket`].
///
/// A peer that always fails the first attempt and then succeeds never drains it, since successful retries cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketBudget {
    /// The number of tokens there are at most, and at first. Must be at least both costs. Default: 500, as in AWS' SDKs.
    pub capacity: u32,
    /// The cost of a retry, in tokens, refunded if it succeeds. Must be 1 to the capacity. Default: 5, as in AWS' SDKs.
    pub cost: u32,
    /// The cost of a retry after a timeout, in tokens, refunded if it succeeds. Must be 1 to the capacity. Default: 10,
    /// since a timeout has held the peer for longer.
    pub timeout_cost: u32,
    /// The number of tokens that a successful first attempt brings. Default: 1, as in AWS' SDKs.
    pub refill: u32,
}

impl Default for BucketBudget {
    fn default() -> Self {
        BucketBudget {
            capacity: 500,
            cost: DEFAULT_COST,
            timeout_cost: DEFAULT_TIMEOUT_COST,
            refill: 1,
        }
    }
}

impl BucketBudget {
    /// Sets the number of tokens there are at most, and at first. Must be at least both costs. Default: 500.
    #[must_use]
    pub fn capacity(mut self, tokens: u32) -> Self {
        self.capacity = tokens;
        self
    }

    /// Sets the cost of a retry, refunded if it succeeds. Must be 1 to the capacity. Default: 5.
    #[must_use]
    pub fn cost(mut self, tokens: u32) -> Self {
        self.cost = tokens;
        self
    }

    /// Sets the cost of a retry after a timeout, refunded if it succeeds. Must be 1 to the capacity. Default: 10.
    #[must_use]
    pub fn timeout_cost(mut self, tokens: u32) -> Self {
        self.timeout_cost = tokens;
        self
    }

    /// Sets the number of tokens that a successful first attempt brings. Default: 1.
    #[must_use]
    pub fn refill(mut self, tokens: u32) -> Self {
        self.refill = tokens;
        self
    }

    /// Builds the budget, with all its tokens.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] that names the first invalid setting.
    pub fn build(self) -> Result<Budget, ConfigError> {
        self.validate(COMPONENT)?;
        Ok(Budget::from_settings(BudgetSettings::Bucket(self)))
    }

    pub(super) fn validate(self, component: &str) -> Result<(), ConfigError> {
        // Both against the capacity, or a retry could never be paid.
        let costs = [
            ("cost", self.cost, DEFAULT_COST),
            ("timeout_cost", self.timeout_cost, DEFAULT_TIMEOUT_COST),
        ];
        for (field, cost, default) in costs {
            check_cost(component, field, cost, default, self.capacity)?;
        }
        Ok(())
    }
}

/// Checks a cost. A capacity that is smaller than a default cost is the invalid setting, not the cost.
fn check_cost(
    component: &str,
    field: &'static str,
    cost: u32,
    default: u32,
    capacity: u32,
) -> Result<(), ConfigError> {
    if (1..=capacity).contains(&cost) {
        return Ok(());
    }
    if cost == default {
        let expected = format!("at least the {field}, {cost}");
        return Err(ConfigError::new(component, "capacity", capacity, expected));
    }
    let expected = format!("1 to the capacity, {capacity}");
    Err(ConfigError::new(component, field, cost, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_settings_are_named() {
        let error = Budget::bucket().capacity(4).build().unwrap_err();
        let text = "retry bucket: capacity is 4, must be at least the cost, 5";
        assert_eq!(error.to_string(), text);
        let error = Budget::bucket().cost(9).capacity(9).build().unwrap_err();
        assert_eq!(
            error.field(),
            "capacity",
            "the default cost is valid by itself"
        );
        let error = Budget::bucket().cost(501).build().unwrap_err();
        assert_eq!(error.field(), "cost");
        let error = Budget::bucket().timeout_cost(0).build().unwrap_err();
        assert_eq!(error.field(), "timeout_cost");
    }
}
