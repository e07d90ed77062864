use crate::breaker::config::BreakerConfig;

/// The settings of the breakers of all keys, present and to come.
pub(super) struct Template {
    pub(super) config: BreakerConfig,
    /// The version of the settings; 0 for those that the set was built with.
    pub(super) version: u64,
}
