use std::{fmt, sync::Arc, time::Duration};

#[cfg(feature = "ops-email")]
use super::Email;
#[cfg(feature = "ops-notify")]
use super::{Alertmanager, HttpChannel, PagerDuty, Webhook, pagerduty};
use super::{Channel, ErasedChannel, channel_config::ChannelConfig};
use crate::{
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    call::Label,
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

#[cfg(feature = "ops-notify")]
impl<F> ChannelBuilder<HttpChannel<F>> {
    /// Allows addresses of private networks and of this machine. Default: no, so that whoever chooses the URL cannot reach what
    /// only this process can.
    ///
    /// Link-local addresses, among them those at which clouds serve credentials, are never allowed. A URL whose host is
    /// `localhost` or a loopback address needs no permission: it says so itself.
    pub fn allow_private_addresses(mut self) -> Self {
        self.channel.sender.allow_private();
        self
    }

    /// Allows `http` to other machines. Default: no, since the URL is a secret, and so may be what is sent.
    pub fn allow_plain_http(mut self) -> Self {
        self.channel.sender.allow_plain();
        self
    }

    /// Adds a header to each request. Up to 32; its value is never shown.
    ///
    /// ```
    /// use tower_keep::ops::notify::Webhook;
    ///
    /// let webhook = Webhook::new("https://hooks.example/orders").header("authorization", "Bearer 4711");
    /// assert!(!format!("{webhook:?}").contains("4711"));
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.channel.sender.add_header(name, value);
        self
    }
}

#[cfg(feature = "ops-notify")]
impl ChannelBuilder<HttpChannel<PagerDuty>> {
    /// Sends to PagerDuty's servers in Europe, where accounts of that region are. Default: those in the USA.
    pub fn eu(self) -> Self {
        self.endpoint(pagerduty::EU)
    }

    /// Sets where the API is served, for what imitates it. Default:
    /// `https://events.pagerduty.com`.
    pub fn endpoint(mut self, url: &str) -> Self {
        self.channel.sender.set_url(url);
        self
    }
}

#[cfg(feature = "ops-notify")]
impl ChannelBuilder<HttpChannel<Alertmanager>> {
    /// Sets how often alerts that fire are sent again: longer than zero, and well below the `resolve_timeout` of Alertmanager.
    /// Default: 1 min.
    pub fn resend_every(mut self, time: Duration) -> Self {
        if time.is_zero() {
            let value = format!("{time:?}");
            self.channel
                .sender
                .set_invalid("resend_every", value, "longer than zero");
        }
        self.channel.format.resend_every = time;
        self
    }
}

#[cfg(feature = "ops-notify")]
impl ChannelBuilder<HttpChannel<Webhook>> {
    /// Signs each request with this secret: `whsec_` and 24 to 64 bytes in Base64.
    ///
    /// To replace a secret, add the new one and keep the old one behind it until all receivers know the new one: each request
    /// has a signature of each. Up to 8. Default: no signature.
    pub fn secret(mut self, secret: &str) -> Self {
        let HttpChannel { sender, format } = &mut self.channel;
        format.add_secret(secret, sender);
        self
    }
}

#[cfg(feature = "ops-email")]
impl ChannelBuilder<Email> {
    /// Sets the port. Default: 587 for STARTTLS, 465 for TLS, 25 without encryption.
    pub fn port(mut self, port: u16) -> Self {
        self.channel.port = Some(port);
        self
    }

    /// Sets the user name and the password, which are sent over TLS only. Default: none.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.channel.credentials = Some((user.into(), password.into()));
        self
    }

    /// Sets the sender, such as `Orders <orders@example.org>`. It must be set.
    pub fn from(mut self, address: &str) -> Self {
        self.channel.set_sender(address);
        self
    }

    /// Adds a receiver. There must be one, and can be 50.
    pub fn to(mut self, address: &str) -> Self {
        self.channel.add_receiver(address);
        self
    }

    /// Sets the template of the subject. Line breaks in what it makes become spaces. Default: `{{ headline }}`.
    pub fn subject(mut self, template: &str) -> Self {
        self.channel.set_subject(template);
        self
    }

    /// Sets the template of the text part, in the language of [minijinja](https://docs.rs/minijinja). The guide lists the
    /// values. Default: one that has all of them.
    pub fn text_template(mut self, template: &str) -> Self {
        self.channel.set_text(template);
        self
    }

    /// Sets the template of the HTML part. All values are escaped. Default: one that has all of them.
    pub fn html_template(mut self, template: &str) -> Self {
        self.channel.set_html(template);
        self
    }
}

impl<C> fmt::Debug for ChannelBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ChannelBuilder");
        debug.field("config", &self.config).finish_non_exhaustive()
    }
}
