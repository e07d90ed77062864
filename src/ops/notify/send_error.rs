use std::{fmt, time::Duration};

use crate::{ops::redact::redacted, util::text::truncated};

/// The longest text, in bytes.
const MAX_TEXT: usize = 512;

/// The reason for which a channel could not send a message.
///
/// The text is shortened to 512 bytes, becomes one line, and loses what looks like a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    text: String,
    is_retryable: bool,
    retry_after: Option<Duration>,
    status: Option<u16>,
    /// True if the message may have arrived all the same.
    is_uncertain: bool,
}

impl SendError {
    /// Creates the error of a message that may be sent again: the peer was not reached, or has too much to do.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::ops::notify::SendError;
    ///
    /// let error = SendError::retryable("responds 429").with_retry_after(Duration::from_secs(30));
    /// assert!(error.is_retryable());
    /// ```
    pub fn retryable(text: impl AsRef<str>) -> Self {
        SendError {
            text: truncated(&redacted(text.as_ref()), MAX_TEXT).into_owned(),
            is_retryable: true,
            retry_after: None,
            status: None,
            is_uncertain: false,
        }
    }

    /// Creates the error of a message that the peer will never take: sending it again would not help.
    ///
    /// ```
    /// use tower_keep::ops::notify::SendError;
    ///
    /// let error = SendError::permanent("responds 404: no_service").with_status(404);
    /// assert_eq!((error.is_retryable(), error.status()), (false, Some(404)));
    /// ```
    pub fn permanent(text: impl AsRef<str>) -> Self {
        SendError {
            is_retryable: false,
            ..SendError::retryable(text)
        }
    }

    /// Sets how long the peer wants to be left alone. Default: what the backoff says.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Sets the status of the response, for the delivery log. Default: none.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Says that the message may have arrived all the same: the connection broke after it was sent, say. Then a resolve is sent
    /// though its trigger has no receipt. Default: no.
    #[must_use]
    pub fn uncertain(mut self) -> Self {
        self.is_uncertain = true;
        self
    }

    /// Returns whether the message may be sent again.
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// Returns how long the peer wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the status of the response.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns whether the message may have arrived all the same.
    pub fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_error_has_no_credentials_and_one_line() {
        let error = SendError::retryable("cannot reach\nhttps://a:b@host/x?token=abc");
        let expected = "cannot reach https://REDACTED@host/x?token=REDACTED";
        assert_eq!(error.to_string(), expected);
        assert!(SendError::permanent("x".repeat(2_000)).to_string().len() <= MAX_TEXT);
    }
}
