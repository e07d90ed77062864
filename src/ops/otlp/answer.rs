//! The answers of collectors. Pure.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use percent_encoding::percent_decode;
use prost::Message;

use super::redaction::safe_text;
use crate::{call::GrpcCode, retry::RetryAfter, util::text::truncate};

/// The longest message of a collector that is shown, in bytes.
const MAX_MESSAGE: usize = 256;
/// The header of a gRPC message: not compressed, and its length.
const GRPC_HEADER: usize = 5;

/// The answer to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The batch was received; so many of its items were rejected for ever.
    Received { rejected: u64, message: String },
    /// Another attempt may succeed: after this time at the earliest, if the collector has asked for it.
    TryAgain {
        after: Option<Duration>,
        reason: String,
    },
    /// The collector will never take the batch.
    Refused { reason: String },
}

impl Answer {
    pub(super) fn try_again(reason: impl Into<String>) -> Self {
        Answer::TryAgain {
            after: None,
            reason: reason.into(),
        }
    }
}

/// Reads a response over HTTP: 429, 502, 503 and 504 may be tried again.
pub(super) fn of_http(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Answer {
    let reason = || format!("the collector answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => received(body),
        429 | 502 | 503 | 504 => Answer::TryAgain {
            after: retry_after(headers, now),
            reason: reason(),
        },
        _ => Answer::Refused { reason: reason() },
    }
}

/// Reads a response over gRPC. The status is in `trailers`, or in the headers of a response without a body.
pub(super) fn of_grpc(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    trailers: &HeaderMap,
    now: SystemTime,
) -> Answer {
    let in_trailers = trailers.contains_key("grpc-status");
    let source = if in_trailers { trailers } else { headers };
    let Some(code) = source.get("grpc-status") else {
        // A proxy, or no gRPC at all.
        return match of_http(status, headers, &[], now) {
            Answer::Received { .. } => Answer::try_again("the answer has no gRPC status"),
            other => other,
        };
    };
    let code = GrpcCode::parse(code.as_bytes());
    if code == GrpcCode::OK {
        return received(body.get(GRPC_HEADER..).unwrap_or_default());
    }
    let message = source
        .get("grpc-message")
        .map_or(&b""[..], |text| text.as_bytes());
    let message = percent_decode(message).decode_utf8_lossy();
    let reason = format!("the collector answered {code}: {}", shown(&message));
    let after = retry_after(source, now);
    match may_try_again(code, after) {
        true => Answer::TryAgain { after, reason },
        false => Answer::Refused { reason },
    }
}

/// Returns whether a status is one of those that the specification of OTLP allows to try again.
fn may_try_again(code: GrpcCode, after: Option<Duration>) -> bool {
    const TEMPORARY: [GrpcCode; 6] = [
        GrpcCode::CANCELLED,
        GrpcCode::DEADLINE_EXCEEDED,
        GrpcCode::ABORTED,
        GrpcCode::OUT_OF_RANGE,
        GrpcCode::UNAVAILABLE,
        GrpcCode::DATA_LOSS,
    ];
    // Without the hint it is a quota, which does not come back soon.
    TEMPORARY.contains(&code) || (code == GrpcCode::RESOURCE_EXHAUSTED && after.is_some())
}

fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    match RetryAfter::from_headers(headers, now)? {
        RetryAfter::After(wait) | RetryAfter::NotBefore(wait) => Some(wait),
        // No word of OTLP.
        RetryAfter::Never => None,
    }
}

/// Reads how much of a batch was rejected. The responses of all signals have the same fields.
fn received(body: &[u8]) -> Answer {
    // What is no such message does not make what was received less received.
    let response = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    let partial = response.partial_success.unwrap_or_default();
    Answer::Received {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: shown(&partial.error_message),
    }
}

fn shown(message: &str) -> String {
    safe_text(truncate(message, MAX_MESSAGE).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = value.parse().expect("the value is valid");
            (http::HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn status_decides_whether_to_try_again_over_http() {
        let wait = headers(&[("retry-after", "7")]);
        for status in 200..600 {
            let status = StatusCode::from_u16(status).expect("the status is valid");
            let answer = of_http(status, &wait, b"", NOW);
            match status.as_u16() {
                200..=299 => assert!(matches!(answer, Answer::Received { rejected: 0, .. })),
                429 | 502 | 503 | 504 => {
                    let seven = Some(Duration::from_secs(7));
                    assert!(matches!(answer, Answer::TryAgain { after, .. } if after == seven));
                }
                _ => assert!(matches!(answer, Answer::Refused { .. }), "{status}"),
            }
        }
    }

    #[test]
    fn status_decides_whether_to_try_again_over_grpc() {
        let trailers = |code: u8| headers(&[("grpc-status", &code.to_string())]);
        let of = |trailers| of_grpc(StatusCode::OK, &HeaderMap::new(), b"", &trailers, NOW);
        for code in 0..17u8 {
            let answer = of(trailers(code));
            match code {
                0 => assert!(matches!(answer, Answer::Received { .. })),
                1 | 4 | 10 | 11 | 14 | 15 => assert!(matches!(answer, Answer::TryAgain { .. })),
                _ => assert!(matches!(answer, Answer::Refused { .. }), "{code}"),
            }
        }
        let mut exhausted = trailers(8);
        // A `google.rpc.Status` with a `RetryInfo` of 2 s.
        let details = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg==";
        let details = details.parse().expect("the value is valid");
        exhausted.insert("grpc-status-details-bin", details);
        let answer = of(exhausted);
        let two = Some(Duration::from_secs(2));
        assert!(matches!(answer, Answer::TryAgain { after, .. } if after == two));
    }

    #[test]
    fn answer_without_a_grpc_status_is_that_of_a_proxy() {
        let of = |status| of_grpc(status, &HeaderMap::new(), b"", &HeaderMap::new(), NOW);
        assert!(matches!(of(StatusCode::OK), Answer::TryAgain { .. }));
        assert!(matches!(
            of(StatusCode::BAD_GATEWAY),
            Answer::TryAgain { .. }
        ));
        assert!(matches!(of(StatusCode::NOT_FOUND), Answer::Refused { .. }));
    }

    #[test]
    fn rejected_items_are_read_and_odd_bodies_are_none() {
        let mut response = ExportTraceServiceResponse::default();
        let partial = response.partial_success.get_or_insert_default();
        partial.rejected_spans = 3;
        partial.error_message = "token=abc is too old".to_owned();
        let body = response.encode_to_vec();
        let expected = Answer::Received {
            rejected: 3,
            message: "token=REDACTED is too old".to_owned(),
        };
        assert_eq!(
            of_http(StatusCode::OK, &HeaderMap::new(), &body, NOW),
            expected
        );
        let answer = of_http(StatusCode::OK, &HeaderMap::new(), b"\xff\xff\xff", NOW);
        assert!(matches!(answer, Answer::Received { rejected: 0, .. }));
    }
}
