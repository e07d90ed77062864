use std::{fmt, sync::Arc};

use super::{Channel, channel_config::ChannelConfig};
use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    call::ConfigError,
};

/// A channel of any type, not checked yet.
pub(crate) struct ErasedChannel {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) config: ChannelConfig,
    pub(super) breaker: CircuitBreakerBuilder,
}

impl ErasedChannel {
    pub(crate) fn name(&self) -> &str {
        self.config.name.as_str()
    }

    /// Checks the settings, and returns the channel with its breaker.
    pub(super) fn build(
        self,
    ) -> Result<(Arc<dyn Channel>, ChannelConfig, CircuitBreaker), ConfigError> {
        self.config.validate()?;
        self.channel.validate()?;
        let name = format!("notify.{}", self.name());
        let breaker = self.breaker.name(name).build()?;
        Ok((self.channel, self.config, breaker))
    }
}

impl fmt::Debug for ErasedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ErasedChannel");
        debug.field("config", &self.config).finish_non_exhaustive()
    }
}
