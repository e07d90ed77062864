//! The default classification: the outcome and the evidence of a status, a code or an error.

use std::error::Error;
#[cfg(feature = "hyper")]
use std::io::{self, ErrorKind};

use http::StatusCode;

use crate::call::{
    Classification, ClassifiedError, Elapsed, Evidence, GrpcCode, NotSent, Outcome, Rejection,
    find, is_overload, is_timeout, not_sent,
};

/// The side on which a call is classified: some statuses mean another thing to their sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The side that responds.
    #[default]
    Server,
    /// The side that sends the request.
    Client,
}

pub(crate) fn classify_status(side: Side, status: StatusCode) -> Classification {
    match status.as_u16() {
        // The server gave up waiting for the client's request: on the server, the caller's fault. On the client the cause may be a
        // slow server, or the upload of its own caller: nothing is known of the server's health.
        408 if side == Side::Client => {
            Classification::new(Outcome::TimedOut, Evidence::Inconclusive)
        }
        429 | 503 => Outcome::Overload.into(),
        504 => Outcome::TimedOut.into(),
        // About the request: its method, its version, its representation, a loop that it runs into, an extension or a
        // login that it lacks. The caller chooses them, and the peer is alive.
        501 | 505 | 506 | 508 | 510 | 511 => Outcome::ClientError.into(),
        500.. => Outcome::Failure.into(),
        400..=499 => Outcome::ClientError.into(),
        _ => Classification::SUCCESS,
    }
}

/// Classifies a gRPC code. Those that semantic conventions call server errors are failures, but for `UNIMPLEMENTED`, which any
/// caller can provoke with an unknown method.
pub(crate) fn classify_grpc_code(code: GrpcCode) -> Classification {
    match code {
        GrpcCode::OK => Classification::SUCCESS,
        GrpcCode::CANCELLED => Classification::CANCELLED,
        GrpcCode::DEADLINE_EXCEEDED => Outcome::TimedOut.into(),
        GrpcCode::RESOURCE_EXHAUSTED => Outcome::Overload.into(),
        GrpcCode::UNKNOWN | GrpcCode::INTERNAL | GrpcCode::UNAVAILABLE | GrpcCode::DATA_LOSS => {
            Classification::FAILURE
        }
        _ => Outcome::ClientError.into(),
    }
}

pub(crate) fn classify_error(error: &(dyn Error + 'static)) -> Classification {
    // tower's load shedding is a rejection of this process, too.
    if Rejection::find(error).is_some() || is_overload(error) {
        return Classification::REJECTED;
    }
    if let Some(classification) = ClassifiedError::find(error) {
        return classification;
    }
    if let Some(elapsed) = find::<Elapsed>(error) {
        return elapsed.classification();
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = find::<tonic::Status>(error) {
        return classify_grpc_code(GrpcCode::parse(
            (status.code() as u8).to_string().as_bytes(),
        ));
    }
    match not_sent(error) {
        // The peer was reached and never saw the request, or nothing tried to reach it.
        Some(NotSent::ClosedIdle | NotSent::RefusedByPeer | NotSent::Unsendable) => {
            return Classification::new(Outcome::Failure, Evidence::Inconclusive);
        }
        Some(NotSent::NoConnection | NotSent::UntrustedPeer) => return Classification::FAILURE,
        None => {}
    }
    if is_of_this_side(error) {
        Classification::CALLER_FAULT
    } else if is_closed_on_upload(error) {
        Classification::new(Outcome::Failure, Evidence::Inconclusive)
    } else if is_timeout(error) {
        Outcome::TimedOut.into()
    } else {
        Classification::FAILURE
    }
}

/// Returns whether hyper reports that the request's body has failed, or that the request cannot be sent.
#[cfg(feature = "hyper")]
fn is_of_this_side(error: &(dyn Error + 'static)) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_user)
}
#[cfg(not(feature = "hyper"))]
fn is_of_this_side(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Returns whether the peer closed the connection while the request's body was being sent. A healthy peer with a smaller body
/// limit does that: it responds with 413 and closes, and hyper does not read the response when it can write no more. The
/// caller chooses how much it sends.
#[cfg(feature = "hyper")]
fn is_closed_on_upload(error: &(dyn Error + 'static)) -> bool {
    // hyper has no accessor for it.
    let writes = |error: &hyper::Error| error.to_string() == "error writing a body to connection";
    let closed = |error: &io::Error| {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset
        )
    };
    find::<hyper::Error>(error).is_some_and(writes) && find::<io::Error>(error).is_some_and(closed)
}
#[cfg(not(feature = "hyper"))]
fn is_closed_on_upload(_: &(dyn Error + 'static)) -> bool {
    false
}

/// Returns the outcome of an error alone, to decide about another attempt.
pub(crate) fn error_outcome(error: &(dyn Error + 'static)) -> Outcome {
    classify_error(error).outcome
}

#[cfg(all(test, feature = "hyper"))]
mod hyper_error_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_classified_by_who_is_at_fault() {
        use Evidence::{Healthy, Unhealthy};
        let table = [
            (200, Outcome::Success, Healthy),
            (302, Outcome::Success, Healthy),
            (404, Outcome::ClientError, Healthy),
            (429, Outcome::Overload, Unhealthy),
            (500, Outcome::Failure, Unhealthy),
            (501, Outcome::ClientError, Healthy),
            (502, Outcome::Failure, Unhealthy),
            (503, Outcome::Overload, Unhealthy),
            (504, Outcome::TimedOut, Unhealthy),
            (505, Outcome::ClientError, Healthy),
            (506, Outcome::ClientError, Healthy),
            (507, Outcome::Failure, Unhealthy),
            (508, Outcome::ClientError, Healthy),
            (510, Outcome::ClientError, Healthy),
            (511, Outcome::ClientError, Healthy),
            (599, Outcome::Failure, Unhealthy),
        ];
        for (status, outcome, evidence) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            let classification = Classification::new(outcome, evidence);
            assert_eq!(
                classify_status(Side::Server, status),
                classification,
                "{status}"
            );
            assert_eq!(
                classify_status(Side::Client, status),
                classification,
                "{status}"
            );
        }
        let timeout = StatusCode::REQUEST_TIMEOUT;
        let server = classify_status(Side::Server, timeout);
        assert_eq!(server, Classification::new(Outcome::ClientError, Healthy));
        let client = classify_status(Side::Client, timeout);
        let unknown = Classification::new(Outcome::TimedOut, Evidence::Inconclusive);
        assert_eq!(client, unknown);
    }

    #[test]
    fn code_is_classified_by_who_is_at_fault() {
        for number in 0..=16_u8 {
            let code = GrpcCode::parse(number.to_string().as_bytes());
            let expected = match number {
                0 => Classification::SUCCESS,
                1 => Classification::CANCELLED,
                2 | 13 | 14 | 15 => Classification::FAILURE,
                4 => Classification::new(Outcome::TimedOut, Evidence::Unhealthy),
                8 => Classification::new(Outcome::Overload, Evidence::Unhealthy),
                _ => Classification::new(Outcome::ClientError, Evidence::Healthy),
            };
            assert_eq!(classify_grpc_code(code), expected, "{code}");
        }
    }

    #[test]
    fn request_that_was_never_sent_is_no_evidence_unless_there_was_no_connection() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(classify_error(&refused), Classification::FAILURE);
        #[cfg(feature = "tonic")]
        {
            let unconnected = tonic::ConnectError("no route".into());
            assert_eq!(classify_error(&unconnected), Classification::FAILURE);
        }
    }

    #[test]
    fn rejection_is_found_under_other_errors() {
        #[derive(Debug)]
        struct Outer(Rejection);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("outer")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(Rejection::overloaded("shed"));
        assert_eq!(classify_error(&error), Classification::REJECTED);
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "slow disk");
        assert_eq!(classify_error(&error).outcome, Outcome::TimedOut);
    }
}
