use std::time::Duration;

use super::Hint;

/// Decision about an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Another attempt would not help: the error is the answer.
    Stop,
    /// Another attempt, after the backoff.
    Retry,
    /// Another attempt after this time, and some jitter, whatever the backoff says; the backoff begins anew.
    After(Duration),
    /// Another attempt, neither before this time has passed nor before the backoff has.
    NotBefore(Duration),
    /// Another attempt might help, but the peer asks for none. Counted as refused.
    ToldNotTo,
    /// Another attempt might help, but the work must not be done twice. Counted as refused.
    NotRepeatable,
}

impl From<bool> for Advice {
    /// Retries on `true`.
    fn from(again: bool) -> Self {
        if again { Advice::Retry } else { Advice::Stop }
    }
}

impl From<Hint> for Advice {
    fn from(hint: Hint) -> Self {
        match hint {
            Hint::After(wait) => Advice::After(wait),
            Hint::NotBefore(wait) => Advice::NotBefore(wait),
            Hint::Never => Advice::ToldNotTo,
        }
    }
}
