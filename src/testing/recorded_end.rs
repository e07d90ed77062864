use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::call::{Cause, Evidence, GrpcCode, Outcome};

/// The end of a call recorded by a [`RecordingGuard`](super::RecordingGuard).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedEnd {
    /// The outcome of the call.
    pub outcome: Outcome,
    /// The evidence of the peer's health.
    pub evidence: Evidence,
    /// The cause of a failure: the text of the error or of the rejection, `panic: ..`, `grpc-message: ..`, the type name
    /// of an opaque error, or `missing grpc-status`.
    pub cause: Option<String>,
    /// The HTTP status, if there was a response.
    pub status: Option<StatusCode>,
    /// The gRPC code, if there was one.
    pub grpc_code: Option<GrpcCode>,
    /// The number of bytes of the response body that the caller received.
    pub response_bytes: u64,
    /// The time of admission, if any guard read the clock then.
    pub admitted_at: Option<Instant>,
    /// The time of the end, if the guard is [timed](super::RecordingGuard::timed).
    pub completed_at: Option<Instant>,
    /// The time from admission to the head, if any guard read the clock at both.
    pub time_to_head: Option<Duration>,
    /// The number of times the guard was entered: for each poll and drop of the service, and around later guards.
    pub times_entered: usize,
}

impl RecordedEnd {
    /// Returns the time from admission to the end, if both are known.
    pub fn elapsed(&self) -> Option<Duration> {
        Some(self.completed_at? - self.admitted_at?)
    }
}

/// Returns the text of a cause, for [`RecordedEnd::cause`].
pub(super) fn cause_text(cause: &Cause<'_>) -> String {
    match cause {
        Cause::Error(error) => error.to_string(),
        Cause::Opaque { type_name, .. } => (*type_name).to_owned(),
        Cause::Rejection(rejection) => rejection.to_string(),
        Cause::Panic(message) => format!("panic: {message}"),
        Cause::GrpcMessage(message) => format!("grpc-message: {message}"),
        Cause::MissingGrpcStatus => "missing grpc-status".to_owned(),
        Cause::WrongLength {
            content_length: promised,
            bytes_sent: sent,
        } => format!("{sent} of {promised} bytes"),
    }
}
