use crate::call::{ConfigError, check_range};

/// Enough for all faults that a service with fifty routes has at the same time; half a MiB with messages of average
/// length.
const DEFAULT_MAX_GROUPS: usize = 512;

/// An eighth of the groups, so that one endpoint with names in its messages cannot evict the groups of others.
const DEFAULT_MAX_VARIANTS: usize = 64;

const MAX_LIMIT: usize = 65_536;

/// The limits of a [`GroupStore`](super::GroupStore).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreLimits {
    /// The number of groups.
    pub(crate) max_groups: usize,
    /// The number of messages per kind and route. All others go to the overflow group.
    pub(crate) max_variants: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        StoreLimits {
            max_groups: DEFAULT_MAX_GROUPS,
            max_variants: DEFAULT_MAX_VARIANTS,
        }
    }
}

impl StoreLimits {
    /// Checks that all limits are in their range.
    pub(super) fn check(self) -> Result<(), ConfigError> {
        check_limit("max_groups", self.max_groups)?;
        check_limit("max_variants", self.max_variants)
    }
}

/// Checks that a setting of an error tracker is in its range.
pub(crate) fn check_limit(field: &'static str, value: usize) -> Result<(), ConfigError> {
    check_range("error tracker", field, value, 1..=MAX_LIMIT)
}
