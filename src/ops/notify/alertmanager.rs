use std::time::Duration;

use super::{
    ChannelBuilder, HttpChannel, Message, Notification, http_channel::HttpFormat,
    http_message::HttpMessage, webhook_v4,
};

/// Alertmanager forgets after 5 min by default: of four, three may be lost.
const RESEND: Duration = Duration::from_secs(60);

/// An Alertmanager, which groups, silences and forwards what it gets: `POST /api/v2/alerts`.
///
/// Alerts that fire are sent again each minute, since Alertmanager takes them for resolved otherwise. It has no events that are
/// no alerts, so that it is not told of those.
#[derive(Debug)]
pub struct Alertmanager {
    pub(super) resend_every: Duration,
}

impl Alertmanager {
    /// Creates a builder of a channel with the name `alertmanager`, from the address under which Alertmanager serves: without
    /// `/api/v2/alerts`.
    ///
    /// ```
    /// use tower_keep::ops::{Ops, notify::Alertmanager};
    ///
    /// let alertmanager = Alertmanager::new("http://alertmanager:9093")
    ///     .allow_plain_http()
    ///     .allow_private_addresses();
    /// let ops = Ops::builder("orders").notify(alertmanager).build()?;
    /// # let _ = ops;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn new(url: &str) -> ChannelBuilder<HttpChannel<Alertmanager>> {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        let alertmanager = Alertmanager {
            resend_every: RESEND,
        };
        HttpChannel::builder(&url, alertmanager).events(Vec::<String>::new())
    }
}

impl HttpFormat for Alertmanager {
    const KIND: &'static str = "alertmanager";

    fn http_message(&self, message: &Message) -> HttpMessage {
        // A test is sent as no alert at all: Alertmanager says whether it would take one.
        let body = match message.notification() {
            Notification::Alerts(group) => webhook_v4::alerts(message, group).to_string(),
            Notification::Event(_) => "[]".to_owned(),
        };
        HttpMessage::new(body)
    }

    fn resend_interval(&self) -> Option<Duration> {
        Some(self.resend_every)
    }
}
