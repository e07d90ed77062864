use std::time::Duration;

use super::{
    Channel, ChannelBuilder, Message, Receipt, SendError, SendFuture, http_answer::Answer,
    http_message::HttpMessage, http_sender::HttpSender,
};
use crate::call::ConfigError;

/// A channel that sends by HTTP. Sealed: the channels of this module.
pub trait HttpChannel: Channel + SendsHttp {}

impl<C: Channel + SendsHttp> HttpChannel for C {}

/// The part of an [`HttpChannel`] that is private, and in which one differs from another.
pub trait SendsHttp: Send + Sync + 'static {
    #[doc(hidden)]
    const KIND: &'static str;

    #[doc(hidden)]
    fn sender(&self) -> &HttpSender;

    #[doc(hidden)]
    fn sender_mut(&mut self) -> &mut HttpSender;

    /// Returns what is sent for a message.
    #[doc(hidden)]
    fn http_message(&self, message: &Message) -> HttpMessage;

    /// Reads the response to a message, whose status is a success.
    #[doc(hidden)]
    fn read_answer(&self, answer: &Answer) -> Result<Receipt, SendError> {
        Ok(answer.receipt())
    }

    #[doc(hidden)]
    fn shown_target(&self) -> String {
        self.sender().target()
    }

    #[doc(hidden)]
    fn resend_interval(&self) -> Option<Duration> {
        None
    }
}

impl<C: SendsHttp> Channel for C {
    fn kind(&self) -> &str {
        C::KIND
    }

    fn target(&self) -> String {
        self.shown_target()
    }

    fn resend_every(&self) -> Option<Duration> {
        self.resend_interval()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.sender().validate()
    }

    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
        Box::pin(async move {
            let sent = self.sender().post(self.http_message(message), message.at());
            self.read_answer(&sent.await?)
        })
    }
}

impl<C: HttpChannel> ChannelBuilder<C> {
    /// Allows addresses of private networks and of this machine. Default: no, so that whoever chooses the URL cannot reach what
    /// only this process can.
    ///
    /// Link-local addresses, among them those at which clouds serve credentials, are never allowed. A URL whose host is
    /// `localhost` or a loopback address needs no permission: it says so itself.
    pub fn allow_private_addresses(mut self) -> Self {
        self.channel.sender_mut().allow_private();
        self
    }

    /// Allows `http` to other machines. Default: no, since the URL is a secret, and so may be what is sent.
    pub fn allow_plain_http(mut self) -> Self {
        self.channel.sender_mut().allow_plain();
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
        self.channel.sender_mut().add_header(name, value);
        self
    }
}
