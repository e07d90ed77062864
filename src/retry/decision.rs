use std::time::Duration;

use super::RetryAfter;

/// Decision about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Returns the result to the caller: another attempt would not help.
    Stop,
    /// Retries after the backoff.
    Retry,
    /// Retries after this time and some jitter, whatever the backoff says. The backoff starts over.
    After(Duration),
    /// Retries after this time or the backoff, whichever is longer.
    NotBefore(Duration),
    /// Does not retry, since the peer asked for no other attempt. Counted as [not retried](super::NotRetried).
    DeclinedByPeer,
    /// Does not retry, since the request must not be sent twice. Counted as [not retried](super::NotRetried).
    NotRepeatable,
}

impl From<bool> for RetryDecision {
    /// Retries on `true`.
    fn from(retry: bool) -> Self {
        if retry {
            RetryDecision::Retry
        } else {
            RetryDecision::Stop
        }
    }
}

impl From<RetryAfter> for RetryDecision {
    fn from(retry_after: RetryAfter) -> Self {
        match retry_after {
            RetryAfter::After(wait) => RetryDecision::After(wait),
            RetryAfter::NotBefore(wait) => RetryDecision::NotBefore(wait),
            RetryAfter::Never => RetryDecision::DeclinedByPeer,
        }
    }
}
