//! Headers of gRPC requests that tell about their attempt.

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use tokio::time::Instant;

use crate::{
    call::{BoxError, Rejection},
    protocol::{CallState, HttpExchange, set_grpc_timeout},
    retry::Attempt,
    util::headers::remove_rare_header,
};

/// Number of attempts before this one; absent on the first (proposal A6).
static PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// Removes the header from a first attempt, which may be a copy of another call's request. An attempt of a layer further out
/// says how many there were before it, and keeps it.
#[inline]
pub(super) fn remove_previous_attempts(parts: &mut Parts, exchange: &HttpExchange) {
    if exchange.is_grpc() && earlier_attempts(parts) == 0 {
        remove_rare_header(&mut parts.headers, &PREVIOUS_ATTEMPTS);
    }
}

/// Returns how many attempts a layer further out has made before the one that the request belongs to.
fn earlier_attempts(parts: &Parts) -> u32 {
    let outer = parts.extensions.get::<Attempt>();
    outer.map_or(0, |attempt| attempt.number().saturating_sub(1))
}

/// Sets how many attempts there were before this one. The request has no attempt yet but that of a layer further out.
pub(super) fn set_previous_attempts(parts: &mut Parts, exchange: &HttpExchange, attempt: &Attempt) {
    let own = attempt.number().saturating_sub(1);
    let previous = earlier_attempts(parts).saturating_add(own);
    if previous > 0 && exchange.is_grpc() {
        parts
            .headers
            .insert(&PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
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
        set_grpc_timeout(headers, left.min(limit));
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
