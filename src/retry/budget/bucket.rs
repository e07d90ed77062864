use super::{Budget, BudgetKind, TokenBucket};
use crate::call::ConfigError;

const COMPONENT: &str = "retry bucket";
const DEFAULT_COST: u32 = 5;
const DEFAULT_TIMEOUT_COST: u32 = 10;

/// Settings of a token bucket as in AWS' SDKs; made by [`Budget::bucket`].
///
/// A peer that always fails the first attempt and then succeeds never drains it, since successful retries cost nothing.
#[derive(Clone, Copy, Debug)]
pub struct BucketBudget {
    pub(super) capacity: u32,
    cost: Option<u32>,
    timeout_cost: Option<u32>,
    pub(super) refill: u32,
}

impl Default for BucketBudget {
    fn default() -> Self {
        BucketBudget {
            capacity: 500,
            cost: None,
            timeout_cost: None,
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
        self.cost = Some(tokens);
        self
    }

    /// Sets the cost of a retry after a timeout, refunded if it succeeds. Must be 1 to the capacity. Default: 10.
    #[must_use]
    pub fn timeout_cost(mut self, tokens: u32) -> Self {
        self.timeout_cost = Some(tokens);
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
        // Both against the capacity, or a retry could never be paid.
        check_cost("cost", self.cost, DEFAULT_COST, self.capacity)?;
        check_cost(
            "timeout_cost",
            self.timeout_cost,
            DEFAULT_TIMEOUT_COST,
            self.capacity,
        )?;
        Ok(Budget::new(BudgetKind::Bucket(TokenBucket::new(self))))
    }

    pub(super) fn cost_or_default(&self) -> u32 {
        self.cost.unwrap_or(DEFAULT_COST)
    }

    pub(super) fn timeout_cost_or_default(&self) -> u32 {
        self.timeout_cost.unwrap_or(DEFAULT_TIMEOUT_COST)
    }
}

/// Checks a cost. A capacity that is smaller than a default cost is the invalid setting, not the cost.
fn check_cost(
    field: &'static str,
    configured: Option<u32>,
    default: u32,
    capacity: u32,
) -> Result<(), ConfigError> {
    match configured {
        Some(cost) if cost == 0 || cost > capacity => {
            let expected = format!("1 to the capacity, {capacity}");
            Err(ConfigError::new(COMPONENT, field, cost, expected))
        }
        None if default > capacity => {
            let expected = format!("at least the {field}, {default}");
            Err(ConfigError::new(COMPONENT, "capacity", capacity, expected))
        }
        _ => Ok(()),
    }
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
