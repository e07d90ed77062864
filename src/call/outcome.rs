use std::fmt;

/// The outcome of a call: how it ended, the same for metrics, logs and every guard.
///
/// The spelling of [`as_str`](Self::as_str) is what metrics, logs and error records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The peer did what was asked.
    Success,
    /// The peer or the transport failed: 5xx, a broken connection, a body cut short, a gRPC response without its status.
    Failure,
    /// The peer is overloaded: 429, 503 or `RESOURCE_EXHAUSTED`.
    Overload,
    /// The caller is at fault: 4xx and the like (but for 429, and 408 on a client). A response of this kind comes from a peer that
    /// is alive; see [`Evidence`](super::Evidence).
    ClientError,
    /// The time limit elapsed: a deadline passed, 504 or `DEADLINE_EXCEEDED`; on a client also 408.
    TimedOut,
    /// The caller gave up: the future or the body was dropped before its end, or the peer reports gRPC's `CANCELLED`.
    Cancelled,
    /// The service panicked.
    Panicked,
    /// A guard of this process rejected the call, see [`Rejection`](super::Rejection).
    Rejected,
}

impl Outcome {
    /// All outcomes, in the order of the enum.
    pub const ALL: [Outcome; 8] = [
        Outcome::Success,
        Outcome::Failure,
        Outcome::Overload,
        Outcome::ClientError,
        Outcome::TimedOut,
        Outcome::Cancelled,
        Outcome::Panicked,
        Outcome::Rejected,
    ];

    /// Returns the name in lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Overload => "overload",
            Outcome::ClientError => "client_error",
            Outcome::TimedOut => "timed_out",
            Outcome::Cancelled => "cancelled",
            Outcome::Panicked => "panicked",
            Outcome::Rejected => "rejected",
        }
    }

    /// Returns whether the call needs attention: `Failure`, `TimedOut` or `Panicked`.
    ///
    /// These become error records and are always in the access log.
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Outcome::Failure | Outcome::TimedOut | Outcome::Panicked
        )
    }

    /// Returns the position in [`ALL`](Self::ALL), for tables indexed by outcome.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
