//! The protocols' own judgement: what a status, a code or an error means.

use std::error::Error;

use http::StatusCode;

use crate::call::{GrpcCode, Outcome, Rejection, is_overload, is_timeout};

/// Who looks at the status: some of them mean another thing to the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whoever answers.
    Server,
    /// Whoever asks.
    Client,
}

pub(crate) fn http_verdict(side: Side, status: StatusCode) -> Outcome {
    match status.as_u16() {
        // The server gave up waiting for this client's request: to the server, the caller's own fault.
        408 if side == Side::Client => Outcome::TimedOut,
        429 | 503 => Outcome::Overload,
        504 => Outcome::TimedOut,
        500.. => Outcome::Failure,
        400..=499 => Outcome::Ignored,
        _ => Outcome::Success,
    }
}

/// The codes that semantic conventions call a server's errors are failures, but for `UNIMPLEMENTED`, which any
/// caller can provoke with a made-up method.
pub(crate) fn grpc_verdict(code: GrpcCode) -> Outcome {
    match code {
        GrpcCode::OK => Outcome::Success,
        GrpcCode::CANCELLED => Outcome::Cancelled,
        GrpcCode::DEADLINE_EXCEEDED => Outcome::TimedOut,
        GrpcCode::RESOURCE_EXHAUSTED => Outcome::Overload,
        GrpcCode::UNKNOWN | GrpcCode::INTERNAL | GrpcCode::UNAVAILABLE | GrpcCode::DATA_LOSS => {
            Outcome::Failure
        }
        _ => Outcome::Ignored,
    }
}

pub(crate) fn error_verdict(error: &(dyn Error + 'static)) -> Outcome {
    if Rejection::find(error).is_some() {
        return Outcome::Rejected;
    }
    #[cfg(feature = "tonic")]
    if let Some(status) = crate::call::find::<tonic::Status>(error) {
        return grpc_verdict(GrpcCode::parse(
            (status.code() as u8).to_string().as_bytes(),
        ));
    }
    if is_timeout(error) {
        Outcome::TimedOut
    } else if is_overload(error) {
        Outcome::Overload
    } else {
        Outcome::Failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged_by_who_is_at_fault() {
        let table = [
            (200, Outcome::Success),
            (302, Outcome::Success),
            (404, Outcome::Ignored),
            (429, Outcome::Overload),
            (500, Outcome::Failure),
            (502, Outcome::Failure),
            (503, Outcome::Overload),
            (504, Outcome::TimedOut),
            (599, Outcome::Failure),
        ];
        for (status, outcome) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(http_verdict(Side::Server, status), outcome, "{status}");
            assert_eq!(http_verdict(Side::Client, status), outcome, "{status}");
        }
        let timeout = StatusCode::REQUEST_TIMEOUT;
        assert_eq!(http_verdict(Side::Server, timeout), Outcome::Ignored);
        assert_eq!(http_verdict(Side::Client, timeout), Outcome::TimedOut);
    }

    #[test]
    fn a_rejection_is_found_under_other_errors() {
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
        assert_eq!(error_verdict(&error), Outcome::Rejected);
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "slow disk");
        assert_eq!(error_verdict(&error), Outcome::TimedOut);
    }
}
