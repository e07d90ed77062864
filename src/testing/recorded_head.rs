use http::StatusCode;

use crate::call::{Evidence, Outcome};

/// A response head recorded by a [`RecordingGuard`](super::RecordingGuard).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedHead {
    /// The status.
    pub status: StatusCode,
    /// The outcome of the call according to the head.
    pub outcome: Outcome,
    /// The evidence of the peer's health according to the head.
    pub evidence: Evidence,
}
