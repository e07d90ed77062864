use std::fmt;

use super::Outcome;

/// The evidence of the peer's health that a call gives: the only thing that circuit breakers count.
///
/// Decided together with the [`Outcome`], which is for metrics and logs. The two differ on purpose: a 404 is a client error and
/// yet shows that the peer is alive, and what a remote caller controls (its upload, deadline or patience) is never held
/// against a peer that others share. See the table in the docs of [`breaker`](mod@crate::breaker#evidence).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The peer answered as a healthy peer does.
    Healthy,
    /// The peer or the connection to it is at fault.
    Unhealthy,
    /// The call says nothing about the peer.
    Inconclusive,
}

impl Evidence {
    /// All kinds, in the order of the enum.
    pub const ALL: [Evidence; 3] = [
        Evidence::Healthy,
        Evidence::Unhealthy,
        Evidence::Inconclusive,
    ];

    /// Returns the name in lower case, for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Evidence::Healthy => "healthy",
            Evidence::Unhealthy => "unhealthy",
            Evidence::Inconclusive => "inconclusive",
        }
    }

    /// Returns the evidence that follows from an outcome alone. A client error that is an `Err` never reached the peer; one that is
    /// a response came from a peer that is alive.
    pub(crate) const fn from_outcome(outcome: Outcome, is_error: bool) -> Self {
        match outcome {
            Outcome::Success => Evidence::Healthy,
            Outcome::ClientError if !is_error => Evidence::Healthy,
            Outcome::Failure | Outcome::Overload | Outcome::TimedOut | Outcome::Panicked => {
                Evidence::Unhealthy
            }
            Outcome::ClientError | Outcome::Cancelled | Outcome::Rejected => Evidence::Inconclusive,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_of_an_outcome_depends_on_whether_the_peer_has_answered() {
        use Evidence::{Healthy, Inconclusive, Unhealthy};
        for (outcome, answer, error) in [
            (Outcome::Success, Healthy, Healthy),
            (Outcome::ClientError, Healthy, Inconclusive),
            (Outcome::Failure, Unhealthy, Unhealthy),
            (Outcome::Overload, Unhealthy, Unhealthy),
            (Outcome::TimedOut, Unhealthy, Unhealthy),
            (Outcome::Panicked, Unhealthy, Unhealthy),
            (Outcome::Cancelled, Inconclusive, Inconclusive),
            (Outcome::Rejected, Inconclusive, Inconclusive),
        ] {
            assert_eq!(Evidence::from_outcome(outcome, false), answer, "{outcome}");
            assert_eq!(Evidence::from_outcome(outcome, true), error, "{outcome}");
        }
        let names = Evidence::ALL.map(|evidence| evidence.to_string());
        assert_eq!(names, ["healthy", "unhealthy", "inconclusive"]);
    }
}
