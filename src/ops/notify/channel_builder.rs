use std::{fmt, sync::Arc, time::Duration};

use super::{Channel, channel_config::ChannelConfig};
use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    call::{ConfigError, Label},
    ops::journal::{EventKind, Severity},
    retry::Backoff,
};

/// The failures in a row by which the circuit of a channel opens.
const FAILURES: u32 = 5;
const OPEN_TIME: Duration = Duration::from_secs(15);
/// The longest wait of the backoff, too.
const MAX_OPEN_TIME: Duration = Duration::from_secs(300);

/// A builder of a channel: what it is told, and how hard it tries. The constructors of the channels make one.
#[must_use]
pub struct ChannelBuilder<C> {
    pub(super) channel: C,
    pub(super) config: ChannelConfig,
    pub(super) breaker: CircuitBreakerBuilder,
}

impl<C: Channel> ChannelBuilder<C> {
    /// Creates a builder of a custom channel. The name is a label of metrics, and part of an address: up to 64 letters, digits,
    /// `_`, `-` and `.`.
    ///
    /// [`Channel`] has an example.
    pub fn new(name: impl Into<Label>, channel: C) -> Self {
        ChannelBuilder {
            channel,
            config: ChannelConfig::new(name.into()),
            breaker: CircuitBreaker::builder("notify")
                .consecutive_failures(FAILURES)
                .failure_rate(None)
                .open_time(OPEN_TIME)
                .open_backoff(2.0)
                .max_open_time(MAX_OPEN_TIME),
        }
    }

    /// Sets the name, where there are several channels of one kind. Default: the kind, such as `slack`.
    pub fn named(mut self, name: impl Into<Label>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Sets the lowest severity that is told. Default: [`Severity::Info`], so that nothing is missed.
    ///
    /// An alert that was told goes on here when its severity falls, and its resolve goes here in any case.
    pub fn at_least(mut self, severity: Severity) -> Self {
        self.config.min_severity = severity;
        self
    }

    /// Sets the kinds of events that are told. Default: all that [`Ops::notify`](crate::ops::Ops::notify) gets.
    pub fn events(mut self, kinds: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.events = Some(kinds.into_iter().map(Into::into).collect());
        self
    }

    /// Leaves out alerts. Default: they are told.
    pub fn without_alerts(mut self) -> Self {
        self.config.has_alerts = false;
        self
    }

    /// Adds events of the [journal](crate::ops::journal) of these kinds: transitions of guards, changes of health, new error
    /// groups. Their kind is `journal_` with that of the event, such as `journal_health`. Default: none, since alerts are for
    /// what matters.
    pub fn journal(mut self, kinds: impl IntoIterator<Item = EventKind>) -> Self {
        self.config.journal = kinds.into_iter().collect();
        self
    }

    /// Sets the time limit of one attempt: longer than zero, at most 5 min. Default: 10 s, since a peer that takes longer for a
    /// few kilobytes is down.
    pub fn attempt_limit(mut self, limit: Duration) -> Self {
        self.config.attempt_limit = limit;
        self
    }

    /// Sets after which time a message becomes a dead letter: longer than zero, at most 7 d. Default: 24 h, since later nobody
    /// needs it.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.config.give_up_after = time;
        self
    }

    /// Sets how many messages can wait, 1 to 100,000. Default: 1,000. In a queue that is full, the oldest one that is no resolve
    /// is dropped, and counted.
    pub fn max_queued(mut self, messages: usize) -> Self {
        self.config.max_queued = messages;
        self
    }

    /// Sets the waits between attempts. Default: 1 s, doubled up to 5 min, with jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Changes the settings of the circuit breaker, whose name is `notify.` and that of the channel. Default: 5 failures in a row
    /// open it for 15 s, and up to 5 min if it opens again.
    ///
    /// ```
    /// use tower_keep::ops::notify::{Channel, ChannelBuilder};
    ///
    /// fn patient<C: Channel>(channel: ChannelBuilder<C>) -> ChannelBuilder<C> {
    ///     channel.breaker(|breaker| breaker.consecutive_failures(20))
    /// }
    /// ```
    pub fn breaker(
        mut self,
        change: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
    ) -> Self {
        self.breaker = change(self.breaker);
        self
    }

    /// Forgets the type of the channel.
    pub(crate) fn erase(self) -> ErasedChannel {
        ErasedChannel {
            channel: Arc::new(self.channel),
            config: self.config,
            breaker: self.breaker,
        }
    }
}

impl<C> fmt::Debug for ChannelBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ChannelBuilder");
        debug.field("config", &self.config).finish_non_exhaustive()
    }
}

/// A channel of any type, not checked yet.
pub(crate) struct ErasedChannel {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) config: ChannelConfig,
    breaker: CircuitBreakerBuilder,
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
