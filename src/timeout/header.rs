//! Sends the time left to the next hop.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{call_timeout::CallTimeout, config::TimeoutConfig};
use crate::{
    call::CallClock,
    protocol::{CallState, Protocol, Side, set_grpc_timeout},
    util::headers::find_header,
};

/// The most by which a `grpc-timeout` may be longer than the time left: less than the way to a peer takes.
const MAX_STALENESS: Duration = Duration::from_millis(1);

/// Writes the time left into a client's request: in `grpc-timeout` for gRPC, else in the configured header.
#[inline]
pub(super) fn write_timeout_header<P: Protocol>(
    config: &TimeoutConfig<P>,
    call: &P::Call,
    timeout: &CallTimeout,
    headers: &mut HeaderMap,
    clock: &CallClock,
) {
    if P::SIDE == Side::Server {
        return;
    }
    let is_grpc = call.wire().is_grpc();
    // gRPC has a header of its own, which every peer knows.
    let header = config.timeout_header.as_ref().filter(|_| !is_grpc);
    if !is_grpc && header.is_none() {
        return;
    }
    let Some(left) = timeout.time_left(config.send_limit, clock) else {
        return;
    };
    match header {
        Some(header) => write_millis_if_shorter(headers, header, left),
        // What the caller sent is part of the deadline already. A layer around this one has mostly just written it.
        None if call.time_limit().is_some_and(|sent| is_current(sent, left)) => {}
        None => set_grpc_timeout(headers, left),
    }
}

/// Returns whether a time that the header has is not noticeably longer than the time left, so that writing it again, which costs
/// more than the rest of the layer, says nothing new.
fn is_current(sent: Duration, left: Duration) -> bool {
    sent <= left + (left / 1_000).min(MAX_STALENESS)
}

/// Sets the header, unless it holds a shorter time already, whose writer knows better.
fn write_millis_if_shorter(headers: &mut HeaderMap, header: &HeaderName, left: Duration) {
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let known = find_header(headers, header).and_then(parse_millis);
    if known.is_none_or(|known| known > Duration::from_millis(left)) {
        headers.insert(header, HeaderValue::from(left));
    }
}

/// Parses whole milliseconds.
pub(super) fn parse_millis(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Digits alone only fail to parse if the number is too large.
    is_number.then(|| Duration::from_millis(text.parse().unwrap_or(u64::MAX)))
}
