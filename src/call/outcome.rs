use std::fmt;

/// How a call ended, judged once and the same for everybody who wants to know.
///
/// The spelling of [`as_str`](Self::as_str) is what metrics, logs and error records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The peer did what it was asked to.
    Success,
    /// The peer's fault, or the transport's: 5xx, a broken connection, a body cut short.
    Failure,
    /// The peer says "less": 429, 503, `RESOURCE_EXHAUSTED`.
    Overload,
    /// A client error: the caller's own fault, 4xx and their like (but for 429, and 408 to a client). An answer of this kind
    /// comes from a peer that is alive; see [`Evidence`](super::Evidence).
    ClientError,
    /// No time was left: a deadline passed, 504, `DEADLINE_EXCEEDED`, to a client also 408.
    TimedOut,
    /// Given up by the caller: the future or the body was dropped before its end, or a peer says so with gRPC's
    /// `CANCELLED`.
    Cancelled,
    /// The service panicked.
    Panicked,
    /// Refused by a guard of this process, see [`Rejection`](super::Rejection).
    Rejected,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
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

    /// The outcome in lower case, words joined by `_`.
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

    /// Whether somebody should look into it: `Failure`, `TimedOut` or `Panicked`.
    ///
    /// These become error records and are always in the access log.
    pub const fn is_error(self) -> bool {
        matches!(
            self,
            Outcome::Failure | Outcome::TimedOut | Outcome::Panicked
        )
    }

    /// Position in [`ALL`](Self::ALL), for tables indexed by outcome.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
