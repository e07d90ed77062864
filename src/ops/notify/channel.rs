use std::{future::Future, pin::Pin, time::Duration};

use super::{Message, Receipt, SendError};
use crate::call::ConfigError;

/// The future of [`Channel::send`].
pub type SendFuture<'a> = Pin<Box<dyn Future<Output = Result<Receipt, SendError>> + Send + 'a>>;

/// A way to tell people: implement it for what this module does not have.
///
/// The rest is done around it: queue, retries, time limit, circuit breaker, delivery log. The [module](super) says how.
///
/// ```
/// use tower_keep::ops::{Ops, notify::{Channel, ChannelBuilder, Message, Receipt, SendError, SendFuture}};
///
/// struct Pager;
///
/// impl Channel for Pager {
///     fn kind(&self) -> &str {
///         "pager"
///     }
///
///     fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
///         Box::pin(async move {
///             let line = message.notification().title();
///             if line.is_ascii() { Ok(Receipt::new()) } else { Err(SendError::permanent("a pager has ASCII only")) }
///         })
///     }
/// }
///
/// let ops = Ops::builder("orders").notify(ChannelBuilder::new("pager", Pager)).build()?;
/// # let _ = ops;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
pub trait Channel: Send + Sync + 'static {
    /// Returns what kind of channel it is, such as `slack`.
    fn kind(&self) -> &str;

    /// Returns where it sends to, as viewers of the console may see it: without secrets. Default: nothing.
    fn target(&self) -> String {
        String::new()
    }

    /// Returns how often alerts that fire are sent again, though nothing has changed: for receivers that forget them otherwise.
    /// Default: never.
    fn resend_every(&self) -> Option<Duration> {
        None
    }

    /// Checks the settings: [`build`](crate::ops::OpsBuilder::build) does so. Default: there is nothing to check.
    ///
    /// # Errors
    ///
    /// Returns an error that names the setting that is invalid.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Sends a message. One at a time: the next begins when this one has ended.
    ///
    /// A future that does not end within the [attempt limit](super::ChannelBuilder::attempt_limit) is dropped, and one that
    /// panics has failed; both are sent again. It must not block its thread.
    ///
    /// # Errors
    ///
    /// A [retryable](SendError::retryable) error is sent again later, not before its
    /// [`retry_after`](SendError::with_retry_after). A [permanent](SendError::permanent) one makes the message a dead letter.
    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a>;
}
