//! The calls that have failed, by the labels of their duration.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    call::{GrpcCode, Outcome},
    protocol::{Side, classify_grpc_code, classify_status},
};

const STATUS: [&str; 2] = ["http_response_status_code", "status"];
const GRPC_CODE: &str = "rpc_response_status_code";
/// The error type of a call that its caller gave up.
const CANCELLED: &str = "cancelled";

/// Returns whether the calls with these labels have an outcome that is a failure: what the caller did wrong or gave up has an error
/// type on a client, but is none.
pub(super) fn has_failed(side: Side, labels: &[(Arc<str>, Arc<str>)]) -> bool {
    let find = |name: &str| labels.iter().find(|(label, _)| **label == *name);
    let text = |name: &str| find(name).map_or("", |(_, value)| value);
    let status = STATUS
        .map(text)
        .into_iter()
        .find(|status| !status.is_empty())
        .unwrap_or_default();
    let code = text(GRPC_CODE);
    match text("error_type") {
        CANCELLED => false,
        // The error is no more than the status, or there is none.
        kind if kind.is_empty() || kind == status || kind == code => {
            is_failure(outcome(side, status, code))
        }
        _ => true,
    }
}

fn outcome(side: Side, status: &str, code: &str) -> Outcome {
    let code = GrpcCode::all().find(|each| [code, status].contains(&each.as_str()));
    let status = || StatusCode::from_bytes(status.as_bytes()).ok();
    match code {
        Some(code) => classify_grpc_code(code).outcome,
        None => status().map_or(Outcome::Success, |status| {
            classify_status(side, status).outcome
        }),
    }
}

fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failure
        | Outcome::Overload
        | Outcome::TimedOut
        | Outcome::Panicked
        | Outcome::Rejected => true,
        Outcome::Success | Outcome::ClientError | Outcome::Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_calls_are_those_whose_outcome_is_a_failure() {
        let labels = |status: &str, code: &str, error: &str| {
            let labels = [
                ("http_response_status_code", status),
                (GRPC_CODE, code),
                ("error_type", error),
            ];
            labels.map(|(name, value)| (Arc::from(name), Arc::from(value)))
        };
        use Side::{Client, Server};
        for (side, status, code, error, expected) in [
            (Server, "200", "", "", false),
            (Server, "404", "", "", false),
            (Server, "429", "", "", true),
            (Server, "500", "", "500", true),
            (Server, "501", "", "501", false),
            (Server, "500", "", "DbError", true),
            (Server, "", "", "cancelled", false),
            (Server, "", "", "timeout", true),
            (Server, "503", "", "circuit_open", true),
            (Server, "", "", "panic", true),
            (Server, "", "", "_OTHER", true),
            (Client, "404", "", "404", false),
            (Client, "408", "", "408", true),
            (Client, "429", "", "429", true),
            (Client, "", "", "connect", true),
            (Client, "200", "NOT_FOUND", "NOT_FOUND", false),
            (Client, "200", "CANCELLED", "CANCELLED", false),
            (Client, "200", "UNAVAILABLE", "UNAVAILABLE", true),
            (Server, "200", "RESOURCE_EXHAUSTED", "", true),
            (Server, "200", "UNIMPLEMENTED", "UNIMPLEMENTED", false),
        ] {
            let failed = has_failed(side, &labels(status, code, error));
            assert_eq!(failed, expected, "{side:?} {status} {code} {error}");
        }
    }
}
