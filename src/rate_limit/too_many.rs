//! Recognizes what a peer says when it is called too often.

use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::{
    call::{CallEnd, GrpcCode, Outcome, Rejection},
    guard::Head,
    protocol::{ResponseHead, WireFormat, grpc_status_of},
    retry_after::{RetryAfter, retry_after_of},
};

/// For how long a peer wants not to be called; `Some(None)` if it does not say.
type Pause = Option<Option<Duration>>;

/// Returns the pause that a head asks for, if it says that there were too many calls.
pub(super) fn pause_of_head(head: &Head<'_>) -> Pause {
    // Most calls succeed.
    if head.outcome != Outcome::Overload {
        return None;
    }
    let response = ResponseHead {
        status: head.status,
        headers: head.headers,
        extensions: head.extensions,
    };
    pause_of_response(response, head.wire)
}

/// Returns the pause that the head of a response asks for, likewise.
#[inline]
pub(super) fn pause_of_response(head: ResponseHead<'_>, wire: WireFormat) -> Pause {
    let is_too_many = match wire.is_grpc() {
        true => grpc_status_of(head.headers) == Some(GrpcCode::RESOURCE_EXHAUSTED),
        false => head.status == StatusCode::TOO_MANY_REQUESTS,
    };
    // A rejection by this process, which a guard further in may have made, is no word of the peer.
    if !is_too_many || head.extensions.get::<Rejection>().is_some() {
        return None;
    }
    let asked = RetryAfter::from_headers(head.headers, SystemTime::now());
    Some(asked.and_then(as_pause))
}

/// Returns the pause that the end of a call asks for: gRPC's trailers, or an error that means an overload.
pub(super) fn pause_of_end(end: &CallEnd<'_>) -> Pause {
    // A status was judged with its head: a 503 says that the peer is down, not that its callers are too many.
    if end.outcome() != Outcome::Overload || (end.status().is_some() && !end.wire().is_grpc()) {
        return None;
    }
    if end
        .grpc_code()
        .is_some_and(|code| code != GrpcCode::RESOURCE_EXHAUSTED)
    {
        return None;
    }
    Some(end.error().and_then(retry_after_of).and_then(as_pause))
}

fn as_pause(asked: RetryAfter) -> Option<Duration> {
    match asked {
        RetryAfter::After(pause) | RetryAfter::NotBefore(pause) => Some(pause),
        RetryAfter::Never => None,
    }
}
