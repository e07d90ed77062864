//! What gRPC requests say of their attempt.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::super::Attempt;
use crate::{
    call::{BoxError, Rejection},
    protocol::{GRPC_TIMEOUT, HttpCall, Notes, write_grpc_timeout},
};

/// How many attempts came before this one; absent on the first (proposal A6).
const PREVIOUS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// The first attempt has none before it, whatever the request says that it was made from.
pub(super) fn begin(headers: &mut HeaderMap, notes: &HttpCall, announce: bool) {
    if announce && notes.is_grpc() {
        headers.remove(PREVIOUS);
    }
}

/// A further attempt says how many came before it.
pub(super) fn number(headers: &mut HeaderMap, notes: &HttpCall, attempt: &Attempt) {
    let before = attempt.number().saturating_sub(1);
    if before > 0 && notes.is_grpc() {
        headers.insert(PREVIOUS, HeaderValue::from(before));
    }
}

/// A limit is as much shorter as time has passed. Who said nothing of one is left alone: that is not a retry's business.
pub(super) fn hurry(headers: &mut HeaderMap, notes: &HttpCall, deadline: Option<Instant>) {
    if let (Some(limit), Some(deadline)) = (notes.time_limit(), deadline) {
        let left = deadline.saturating_duration_since(Instant::now());
        headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left.min(limit)));
    }
}

/// What is said when the service was not ready in time. tonic makes a status of its own errors only.
pub(super) fn too_late(notes: &HttpCall, why: Rejection) -> BoxError {
    #[cfg(feature = "tonic")]
    if notes.is_grpc() {
        return tonic::Status::from(why).into();
    }
    let _ = notes;
    why.into()
}
