//! Headers of gRPC requests that tell about their attempt.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::{
    call::{BoxError, Rejection},
    protocol::{CallState, GRPC_TIMEOUT, HttpExchange, write_grpc_timeout},
    retry::Attempt,
    util::headers::remove_rare_header,
};

/// Number of attempts before this one; absent on the first (proposal A6).
static PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Removes the header from a first attempt, which may be a copy of another call's request.
pub(super) fn remove_previous_attempts(headers: &mut HeaderMap, exchange: &HttpExchange) {
    if exchange.is_grpc() {
        remove_rare_header(headers, &PREVIOUS_ATTEMPTS);
    }
}

pub(super) fn set_previous_attempts(
    headers: &mut HeaderMap,
    exchange: &HttpExchange,
    attempt: &Attempt,
) {
    let previous = attempt.number().saturating_sub(1);
    if previous > 0 && exchange.is_grpc() {
        headers.insert(&PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
    }
}

/// Shortens the request's time limit by the time that has passed. A request without a limit gets none.
pub(super) fn shorten_timeout(
    headers: &mut HeaderMap,
    exchange: &HttpExchange,
    deadline: Option<Instant>,
) {
    if let (Some(limit), Some(deadline)) = (exchange.time_limit(), deadline) {
        // Never more than the caller asked for, even if the deadline is later than its limit.
        let left = deadline.saturating_duration_since(Instant::now());
        headers.insert(&GRPC_TIMEOUT, write_grpc_timeout(left.min(limit)));
    }
}

/// Makes the error of a call whose deadline has passed. tonic derives a status from its own errors only.
pub(super) fn deadline_error(exchange: &HttpExchange, rejection: Rejection) -> BoxError {
    #[cfg(feature = "tonic")]
    if exchange.is_grpc() {
        return tonic::Status::from(rejection).into();
    }
    let _ = exchange;
    rejection.into()
}
