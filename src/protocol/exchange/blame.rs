//! Tells the caller's faults from the service's.

use http::HeaderMap;

use super::{HttpExchange, failure_detail::decode_grpc_message};
use crate::{
    call::{Classification, Evidence, GRPC_MESSAGE, Outcome},
    protocol::{Side, decode_errors::is_undecodable_request},
    util::headers::find_header,
};

/// Blames the caller for a failure if its request broke off, was malformed or could not be decoded: the response says nothing
/// about the service then. `status` are the headers or trailers with the gRPC status.
#[inline]
pub(super) fn caller(
    call: &HttpExchange,
    classification: Classification,
    status: &HeaderMap,
) -> Classification {
    // First, since the rest takes a lock.
    if classification.outcome == Outcome::Success {
        return classification;
    }
    if call.is_request_broken() || is_undecodable(call, classification, status) {
        Classification::CALLER_FAULT
    } else {
        classification
    }
}

/// Blames the caller for an error if its request broke off, or took the time until the limit elapsed.
pub(super) fn caller_for_error(
    call: &HttpExchange,
    classification: Classification,
) -> Classification {
    if classification.outcome == Outcome::TimedOut && call.blames_caller_for_timeout() {
        return Classification::CALLER_FAULT;
    }
    match classification.outcome {
        // A guard rejects before anything is read: the upload has no part in it.
        Outcome::Rejected => classification,
        _ => caller(call, classification, &HeaderMap::new()),
    }
}

/// Classifies a panic. The service is not blamed if the request broke off or was malformed.
pub(super) fn classify_panic(call: &HttpExchange) -> Classification {
    match call.is_request_broken() {
        true => Classification::new(Outcome::Panicked, Evidence::Inconclusive),
        false => Classification::PANICKED,
    }
}

/// Returns whether a gRPC server reports that it could not decode the request, before it did anything about it.
fn is_undecodable(call: &HttpExchange, classification: Classification, status: &HeaderMap) -> bool {
    // On a client, the peer's word alone does not clear the peer.
    let may_be = call.side == Side::Server
        && call.grpc_code.is_some()
        && classification.evidence == Evidence::Unhealthy;
    let message =
        || find_header(status, &GRPC_MESSAGE).map(|raw| decode_grpc_message(raw.as_bytes()));
    may_be && message().is_some_and(|message| is_undecodable_request(&message))
}
