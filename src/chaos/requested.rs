//! Reads the faults that a caller asks for in a header, where that is allowed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

use super::plan::{BodyFault, InPlace, Plan};
use crate::call::GrpcCode;

/// Longest value that is read, in bytes: all faults at once need half of it.
const MAX_BYTES: usize = 128;
/// Longest latency that a caller gets: what it asks for beyond that is cut. Longer than most time limits of attempts, and short
/// enough that a caller who means harm keeps little waiting.
const MAX_LATENCY: Duration = Duration::from_secs(30);
/// Slowest body that a caller gets, in bytes per second, for the same reason.
const MIN_SPEED: u64 = 64;

/// Takes the faults that a request asks for out of its headers, so that the next hop does not inject them again. `None` without
/// the header, or with one that is not understood.
pub(super) fn take_requested(headers: &mut HeaderMap, name: &HeaderName) -> Option<Plan> {
    let value = headers.remove(name)?;
    if value.len() > MAX_BYTES {
        return None;
    }
    parse(value.to_str().ok()?)
}

/// Parses a list such as `latency=250ms, status=503`. All of it must be understood: a caller that misspells a fault must not
/// believe that it was injected with the others.
fn parse(text: &str) -> Option<Plan> {
    let mut plan = Plan::default();
    for item in text.split(',') {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (item.trim(), None),
        };
        match (name, value) {
            ("latency", Some(time)) => set(&mut plan.latency, latency(time)?)?,
            ("error", None) => set(&mut plan.in_place, InPlace::Error)?,
            ("status", Some(status)) => set(&mut plan.in_place, response(status)?)?,
            ("grpc", Some(code)) => set(&mut plan.in_place, grpc_response(code)?)?,
            ("cut", Some(bytes)) => {
                let after = number(bytes)?;
                set(&mut plan.body, BodyFault::Cut { after })?;
            }
            ("slow", Some(speed)) => {
                let speed = number(speed)?.clamp(MIN_SPEED, super::settings::MAX_SPEED);
                set(&mut plan.body, BodyFault::Slow { speed })?;
            }
            _ => return None,
        }
    }
    Some(plan)
}

/// Sets what is not set yet.
fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn latency(text: &str) -> Option<Duration> {
    let time = match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(number(millis)?),
        None => Duration::from_secs(number(text.strip_suffix('s')?)?),
    };
    Some(time.min(MAX_LATENCY))
}

fn response(status: &str) -> Option<InPlace> {
    let status = u16::try_from(number(status)?).ok()?;
    let status = StatusCode::from_u16(status).ok()?;
    let is_failure = status.is_client_error() || status.is_server_error();
    is_failure.then_some(InPlace::Response {
        status,
        code: GrpcCode::UNAVAILABLE,
    })
}

/// Returns the response with a gRPC code, a number. A caller that does not speak gRPC gets 503.
fn grpc_response(code: &str) -> Option<InPlace> {
    let code = number(code).filter(|code| (1..=16).contains(code))?;
    Some(InPlace::Response {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: GrpcCode::parse(code.to_string().as_bytes()),
    })
}

/// Parses digits alone: `parse` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn requested_faults_are_read_with_their_values() {
        let plan = |latency, in_place, body| {
            Some(Plan {
                latency,
                in_place,
                body,
            })
        };
        let response = |status, code| {
            let status = StatusCode::from_u16(status).expect("a status");
            Some(InPlace::Response { status, code })
        };
        for (text, expected) in [
            ("error", plan(None, Some(InPlace::Error), None)),
            ("latency=250ms", plan(Some(SECOND / 4), None, None)),
            (
                " latency = 2s ,status= 502 ",
                plan(Some(2 * SECOND), response(502, GrpcCode::UNAVAILABLE), None),
            ),
            (
                "grpc=8",
                plan(None, response(503, GrpcCode::RESOURCE_EXHAUSTED), None),
            ),
            (
                "cut=0,latency=0ms",
                plan(
                    Some(Duration::ZERO),
                    None,
                    Some(BodyFault::Cut { after: 0 }),
                ),
            ),
            (
                "slow=1000",
                plan(None, None, Some(BodyFault::Slow { speed: 1_000 })),
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn requested_faults_are_bounded() {
        let huge = u64::MAX.to_string();
        let latency = |text: &str| parse(text).and_then(|plan| plan.latency);
        assert_eq!(latency("latency=31s"), Some(MAX_LATENCY));
        assert_eq!(latency(&format!("latency={huge}ms")), Some(MAX_LATENCY));
        assert_eq!(latency(&format!("latency={huge}0s")), None);
        let body = |text: &str| parse(text).and_then(|plan| plan.body);
        assert_eq!(body("slow=0"), Some(BodyFault::Slow { speed: MIN_SPEED }));
        let fastest = super::super::settings::MAX_SPEED;
        assert_eq!(
            body(&format!("slow={huge}")),
            Some(BodyFault::Slow { speed: fastest })
        );
    }

    #[test]
    fn requested_faults_that_are_not_understood_are_none() {
        for text in [
            "",
            ",",
            "error,",
            "errors",
            "error=1",
            "hang",
            "panic",
            "latency",
            "latency=5",
            "latency=-5s",
            "latency=+5s",
            "latency=1.5s",
            "latency=s",
            "latency=1s,latency=2s",
            "error,status=503",
            "status=200",
            "status=399",
            "status=600",
            "status=99999",
            "grpc=0",
            "grpc=17",
            "grpc=UNAVAILABLE",
            "cut=1,slow=1",
            "error;status=503",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn requested_faults_are_taken_out_of_the_headers() {
        let name = HeaderName::from_static("x-chaos");
        let take = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append(&name, HeaderValue::from_bytes(value).expect("a value"));
            headers.append(&name, HeaderValue::from_static("error"));
            let plan = take_requested(&mut headers, &name);
            (plan.is_some(), headers.is_empty())
        };
        assert_eq!(take(b"error"), (true, true));
        assert_eq!(take(b"what"), (false, true));
        assert_eq!(take(b"\xff"), (false, true));
        assert_eq!(take(&[b' '; 200]), (false, true));
        let long = format!("{}error", " ".repeat(MAX_BYTES - 5));
        assert_eq!(take(long.as_bytes()), (true, true));
        assert_eq!(take(format!(" {long}").as_bytes()), (false, true));
        assert_eq!(take_requested(&mut HeaderMap::new(), &name), None);
    }
}
