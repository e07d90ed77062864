//! Recognizes what a peer says when it is called too often.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};

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
        true => is_exhausted(head.headers),
        false => head.status == StatusCode::TOO_MANY_REQUESTS,
    };
    // A rejection by this process, which a guard further in may have made, is no word of the peer.
    if !is_too_many || head.extensions.get::<Rejection>().is_some() {
        return None;
    }
    Some(pause_in(head.headers))
}

/// Returns the pause that the trailers of a gRPC call ask for, likewise.
pub(super) fn pause_of_trailers(trailers: &HeaderMap) -> Pause {
    is_exhausted(trailers).then(|| pause_in(trailers))
}

/// Returns the pause that a failure asks for which is no response, likewise. A rejection by this process asks for none.
pub(super) fn pause_of_failure(outcome: Outcome, error: Option<&(dyn Error + 'static)>) -> Pause {
    let is_overload = outcome == Outcome::Overload;
    is_overload.then(|| error.and_then(retry_after_of).and_then(as_pause))
}

fn is_exhausted(headers: &HeaderMap) -> bool {
    grpc_status_of(headers) == Some(GrpcCode::RESOURCE_EXHAUSTED)
}

fn pause_in(headers: &HeaderMap) -> Option<Duration> {
    RetryAfter::from_headers(headers, SystemTime::now()).and_then(as_pause)
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
    pause_of_failure(end.outcome(), end.error())
}

fn as_pause(asked: RetryAfter) -> Option<Duration> {
    match asked {
        RetryAfter::After(pause) | RetryAfter::NotBefore(pause) => Some(pause),
        RetryAfter::Never => None,
    }
}
