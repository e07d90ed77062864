use std::{fmt, time::Duration};

use super::{
    Channel, ChannelBuilder, Message, Receipt, SendError, SendFuture, http_answer::HttpAnswer,
    http_message::HttpMessage, http_sender::HttpSender,
};
use crate::call::ConfigError;

/// A channel that sends JSON by HTTP, in the format of one of the services of this [module](super), such as
/// [`Slack`](super::Slack). The constructors of these make it.
pub struct HttpChannel<F> {
    pub(super) sender: HttpSender,
    pub(super) format: F,
}

/// The part in which one service differs from another.
pub trait HttpFormat: Send + Sync + 'static {
    /// The kind of the channel, and its name by default.
    const KIND: &'static str;

    /// Returns what is sent for a message.
    fn http_message(&self, message: &Message) -> HttpMessage;

    /// Reads the response to a message, whose status is a success.
    fn read_answer(&self, answer: &HttpAnswer) -> Result<Receipt, SendError> {
        Ok(answer.receipt())
    }

    /// Returns what viewers see as the target, where the address says nothing.
    fn shown_target(&self) -> Option<String> {
        None
    }

    fn resend_interval(&self) -> Option<Duration> {
        None
    }
}

impl<F: HttpFormat> HttpChannel<F> {
    /// Returns a builder of a channel to this address, by the name of its kind.
    pub(super) fn builder(url: &str, format: F) -> ChannelBuilder<HttpChannel<F>> {
        let sender = HttpSender::new(F::KIND, url);
        ChannelBuilder::new(F::KIND, HttpChannel { sender, format })
    }
}

impl<F: HttpFormat> Channel for HttpChannel<F> {
    fn kind(&self) -> &str {
        F::KIND
    }

    fn target(&self) -> String {
        let shown = self.format.shown_target();
        shown.unwrap_or_else(|| self.sender.target())
    }

    fn resend_every(&self) -> Option<Duration> {
        self.format.resend_interval()
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.sender.validate()
    }

    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
        Box::pin(async move {
            let sent = self
                .sender
                .post(self.format.http_message(message), message.at());
            self.format.read_answer(&sent.await?)
        })
    }
}

impl<F: HttpFormat> fmt::Debug for HttpChannel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("HttpChannel");
        debug
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
