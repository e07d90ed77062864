use std::time::Duration;

use super::RetryAfter;

/// Decision about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Another attempt would not help: the error is the answer.
    Stop,
    /// Another attempt, after the backoff.
    Retry,
    /// Another attempt after this time, and some jitter, whatever the backoff says; the backoff begins anew.
    After(Duration),
    /// Another attempt, neither before this time has passed nor before the backoff has.
    NotBefore(Duration),
    /// Another attempt might help, but the peer asks for none. Counted as refused.
    DeclinedByPeer,
    /// Another attempt might help, but the work must not be done twice. Counted as refused.
    NotRepeatable,
}

impl From<bool> for RetryDecision {
    /// Retries on `true`.
    fn from(again: bool) -> Self {
        if again {
            RetryDecision::Retry
        } else {
            RetryDecision::Stop
        }
    }
}

impl From<RetryAfter> for RetryDecision {
    fn from(hint: RetryAfter) -> Self {
        match hint {
            RetryAfter::After(wait) => RetryDecision::After(wait),
            RetryAfter::NotBefore(wait) => RetryDecision::NotBefore(wait),
            RetryAfter::Never => RetryDecision::DeclinedByPeer,
        }
    }
}
