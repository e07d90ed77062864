//! What gRPC requests say of their attempt.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::super::Attempt;
use crate::{
    call::{BoxError, Rejection},
    protocol::{CallState, GRPC_TIMEOUT, HttpExchange, write_grpc_timeout},
};

/// How many attempts came before this one; absent on the first (proposal A6).
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// The first attempt has none before it, whatever the request says that it was made from.
pub(super) fn remove_previous_attempts(
    headers: &mut HeaderMap,
    notes: &HttpExchange,
    announce: bool,
) {
    if announce && notes.is_grpc() {
        headers.remove(PREVIOUS_ATTEMPTS);
    }
}

/// A further attempt says how many came before it.
pub(super) fn set_previous_attempts(
    headers: &mut HeaderMap,
    notes: &HttpExchange,
    attempt: &Attempt,
) {
    let before = attempt.number().saturating_sub(1);
    if before > 0 && notes.is_grpc() {
        headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(before));
    }
}

/// A limit is as much shorter as time has passed. Who said nothing of one is left alone: that is not a retry's business.
pub(super) fn shorten_timeout(
    headers: &mut HeaderMap,
    notes: &HttpExchange,
    deadline: Option<Instant>,
) {
    if let (Some(limit), Some(deadline)) = (notes.time_limit(), deadline) {
        let left = deadline.saturating_duration_since(Instant::now());
        headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left.min(limit)));
    }
}

/// What is said when the service was not ready in time. tonic makes a status of its own errors only.
pub(super) fn deadline_error(notes: &HttpExchange, why: Rejection) -> BoxError {
    #[cfg(feature = "tonic")]
    if notes.is_grpc() {
        return tonic::Status::from(why).into();
    }
    let _ = notes;
    why.into()
}
