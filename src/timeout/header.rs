//! Tells a request how much time is left.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{call_timeout::CallTimeout, layer::TimeoutConfig};
use crate::{
    call::CallClock,
    protocol::{CallState, GRPC_TIMEOUT, Protocol, Side, write_grpc_timeout},
};

/// Tells a client's request how much time is left: a gRPC call always, others in the header that was chosen.
#[inline]
pub(super) fn write_timeout_header<P: Protocol>(
    plan: &TimeoutConfig<P>,
    call: &P::Call,
    asked: &CallTimeout,
    headers: &mut HeaderMap,
    now: &CallClock,
) {
    if P::SIDE == Side::Server {
        return;
    }
    let is_grpc = call.wire().is_grpc();
    let header = plan.timeout_header.as_ref().filter(|_| !is_grpc);
    if !is_grpc && header.is_none() {
        return;
    }
    let Some(left) = asked.time_left(plan.send_limit, now) else {
        return;
    };
    match header {
        Some(header) => write_millis_if_shorter(headers, header, left),
        None => {
            headers.insert(GRPC_TIMEOUT, write_grpc_timeout(left));
        }
    }
}

/// One that is there and shorter stays: its writer knows better.
fn write_millis_if_shorter(headers: &mut HeaderMap, header: &HeaderName, left: Duration) {
    let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let known = headers.get(header).and_then(parse_millis);
    if known.is_none_or(|known| known > Duration::from_millis(left)) {
        headers.insert(header, HeaderValue::from(left));
    }
}

/// Reads whole milliseconds.
pub(super) fn parse_millis(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Nothing but digits fails only by being too large.
    digits.then(|| Duration::from_millis(text.parse().unwrap_or(u64::MAX)))
}
