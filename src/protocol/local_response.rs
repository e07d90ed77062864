//! Responses in the service's place: to rejections, timeouts and caught panics.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{
    HttpExchange, WireFormat,
    rejection_details::{encode_base64, grpc_details, problem_members},
};
use crate::{
    call::{Elapsed, GRPC_MESSAGE, GRPC_STATUS, GrpcCode, Rejection, RejectionKind},
    // All that is asked of a module further up: whether the caller may see details.
    context::Context,
};

/// The message of a caught panic, left in the extensions of its response for outer layers.
#[derive(Clone, Debug)]
pub struct CaughtPanic(pub(crate) Arc<str>);

impl CaughtPanic {
    /// Returns the message of the panic.
    pub fn message(&self) -> &str {
        &self.0
    }
}

/// The `cache-control` of local responses. None may be cached: each is about this moment, and gRPC sends 200 for failures, too.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The header of gRFC A6: milliseconds until the next attempt.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

fn millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}

fn http_status(kind: RejectionKind) -> StatusCode {
    match kind {
        RejectionKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        RejectionKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        RejectionKind::CircuitOpen | RejectionKind::Full | RejectionKind::Overloaded => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn grpc_code(kind: RejectionKind) -> GrpcCode {
    match kind {
        RejectionKind::RateLimited | RejectionKind::Full => GrpcCode::RESOURCE_EXHAUSTED,
        RejectionKind::DeadlineExceeded => GrpcCode::DEADLINE_EXCEEDED,
        RejectionKind::CircuitOpen | RejectionKind::Overloaded => GrpcCode::UNAVAILABLE,
    }
}

/// Adds the details for the caller, if those of the whole service are shown.
fn with_configured_details(why: Rejection) -> Rejection {
    let shown = Context::peek(|context| context.is_some_and(Context::has_rejection_details));
    match shown {
        true => why.with_details_for_caller(),
        false => why,
    }
}

/// Returns the response to a rejection outside of a call.
pub(crate) fn rejection_response_in(wire: WireFormat, why: Rejection) -> Response<Bytes> {
    rejection_response(&HttpExchange::with_wire(wire), why)
}

/// Returns the response to a rejected call; the `Rejection` travels in its extensions.
pub(super) fn rejection_response(call: &HttpExchange, why: Rejection) -> Response<Bytes> {
    let why = with_configured_details(why);
    let detail = why.kind().client_message();
    let mut response = if call.is_grpc() {
        let mut response = grpc_response(call, grpc_code(why.kind()), detail);
        if let Some(wait) = why.retry_after() {
            response.headers_mut().insert(PUSHBACK, millis(wait).into());
        }
        if why.has_details_for_caller() {
            insert_details(response.headers_mut(), &why);
        }
        response
    } else {
        let mut response = problem_with_body(http_status(why.kind()), rejection_body(&why));
        if let Some(wait) = why.retry_after() {
            let seconds = small_int_header(whole_seconds(wait));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    };
    // Outer guards find it there, and classify the call as rejected, not by the status.
    response.extensions_mut().insert(why);
    response
}

/// Responds from an axum handler: status, `Retry-After` and a problem body. A tracker around it counts the call as
/// [`Rejected`](crate::Outcome::Rejected).
#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Rejection {
    fn into_response(self) -> axum_core::response::Response {
        self.to_response(WireFormat::Plain)
            .map(axum_core::body::Body::from)
    }
}

/// Converts for a tonic handler: a code, a message and `grpc-retry-pushback-ms`. The rejection is the source of the status,
/// where [`Rejection::find`] finds it.
#[cfg(feature = "tonic")]
impl From<Rejection> for tonic::Status {
    fn from(why: Rejection) -> Self {
        let why = with_configured_details(why);
        let grpc_code = grpc_code(why.kind());
        let code = tonic::Code::from(i32::from(grpc_code.as_u8()));
        let details = match why.has_details_for_caller() {
            true => grpc_details(&why, grpc_code).into(),
            false => Bytes::new(),
        };
        let mut status = tonic::Status::with_details(code, why.kind().client_message(), details);
        if let Some(wait) = why.retry_after() {
            let wait = tonic::metadata::MetadataValue::from(millis(wait));
            status.metadata_mut().insert(PUSHBACK, wait);
        }
        status.set_source(std::sync::Arc::new(why));
        status
    }
}

/// Rounds up: a caller that retries a moment early would be rejected again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
        .max(1)
}

/// Returns the response to a panic of the service. The caller learns nothing of the panic.
pub(super) fn panic_response(call: &HttpExchange, message: &str) -> Response<Bytes> {
    let detail = "the request could not be handled";
    let mut response = if call.is_grpc() {
        grpc_response(call, GrpcCode::INTERNAL, detail)
    } else {
        problem_response(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    response
        .extensions_mut()
        .insert(CaughtPanic(message.into()));
    response
}

/// Returns a response that fails on purpose. Like one of the service, it says nothing of this process.
pub(super) fn injected_response(
    call: &HttpExchange,
    (status, code): (StatusCode, GrpcCode),
) -> Response<Bytes> {
    let detail = "the request could not be handled";
    if call.is_grpc() {
        grpc_response(call, code, detail)
    } else {
        problem_response(status, detail)
    }
}

/// Returns the response of a service that took too long. The error stays in the extensions, for outer layers.
pub(super) fn timeout_response(call: &HttpExchange, why: Elapsed) -> Response<Bytes> {
    let detail = "the request could not be answered in time";
    let mut response = if call.is_grpc() {
        grpc_response(call, GrpcCode::DEADLINE_EXCEEDED, detail)
    // A 504 would send the caller to the operator of this service for its own slow upload.
    } else if why.is_caller_fault() {
        problem_response(
            StatusCode::REQUEST_TIMEOUT,
            "the request took too long to arrive",
        )
    } else {
        problem_response(StatusCode::GATEWAY_TIMEOUT, detail)
    };
    let why: Arc<dyn Error + Send + Sync> = Arc::new(why);
    response.extensions_mut().insert(why);
    response
}

/// Formats a problem body (RFC 9457), with the phrase of the status as the title, and further members.
fn problem_body(status: StatusCode, detail: &str, members: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    format!("{{\"title\":\"{title}\",\"status\":{code},\"detail\":\"{detail}\"{members}}}\n")
}

/// Returns the body of a rejection. Cached without details, since rejections happen under load.
fn rejection_body(why: &Rejection) -> Bytes {
    static BODIES: [OnceLock<String>; RejectionKind::ALL.len()] =
        [const { OnceLock::new() }; RejectionKind::ALL.len()];
    let kind = why.kind();
    let body = |members: &str| problem_body(http_status(kind), kind.client_message(), members);
    if why.has_details_for_caller() {
        return body(&problem_members(why)).into();
    }
    let cached: &'static str = BODIES[kind as usize].get_or_init(|| body(""));
    Bytes::from_static(cached.as_bytes())
}

/// Inserts the details of a rejection as an encoded `google.rpc.Status`.
fn insert_details(headers: &mut HeaderMap, why: &Rejection) {
    let details = encode_base64(&grpc_details(why, grpc_code(why.kind())));
    // Base64 is always a valid value.
    if let Ok(value) = HeaderValue::try_from(details) {
        headers.insert("grpc-status-details-bin", value);
    }
}

fn problem_response(status: StatusCode, detail: &str) -> Response<Bytes> {
    problem_with_body(status, problem_body(status, detail, "").into())
}

fn problem_with_body(status: StatusCode, body: Bytes) -> Response<Bytes> {
    const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// Returns a number as a header value, without an allocation if it is below 100, as most are.
fn small_int_header(value: u64) -> HeaderValue {
    /// 00 to 99.
    const TWO_DIGITS: &str = "\
        00010203040506070809101112131415161718192021222324\
        25262728293031323334353637383940414243444546474849\
        50515253545556575859606162636465666768697071727374\
        75767778798081828384858687888990919293949596979899";
    match value {
        0..100 => {
            let (from, to) = (2 * value as usize, 2 * value as usize + 2);
            let from = if value < 10 { from + 1 } else { from };
            HeaderValue::from_static(&TWO_DIGITS[from..to])
        }
        _ => HeaderValue::from(value),
    }
}

/// Returns a trailers-only response: the status is in the headers, and there is no body.
fn grpc_response(call: &HttpExchange, code: GrpcCode, detail: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    insert_static(headers, header::CONTENT_TYPE, call.grpc_content_type());
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(&GRPC_STATUS, HeaderValue::from(u16::from(code.as_u8())));
    headers.insert(&GRPC_MESSAGE, HeaderValue::from_static(detail));
    response
}

fn insert_static(headers: &mut HeaderMap, name: header::HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(content_type: Option<&'static str>) -> HttpExchange {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            insert_static(&mut headers, header::CONTENT_TYPE, value);
        }
        HttpExchange::from_client_request(&http::Method::POST, &headers)
    }

    #[test]
    fn rejection_response_has_a_status_a_problem_and_whole_seconds() {
        let why = Rejection::rate_limited("login").with_retry_after(Duration::from_millis(1200));
        let answer = rejection_response(&call(None), why);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = std::str::from_utf8(answer.body()).expect("text");
        assert!(body.contains(r#""status":429"#), "{body}");
        assert!(!body.contains("login"), "guards are not named to strangers");
        assert!(answer.extensions().get::<Rejection>().is_some());
    }

    #[test]
    fn rejection_response_has_a_problem_body_for_each_kind() {
        for kind in RejectionKind::ALL {
            let answer = rejection_response(&call(None), Rejection::new(kind, "guard"));
            assert_eq!(answer.status(), http_status(kind));
            let body = problem_body(http_status(kind), kind.client_message(), "");
            assert_eq!(answer.body(), &body);
        }
    }

    #[test]
    fn small_int_header_equals_a_formatted_number() {
        for value in [0, 1, 9, 10, 11, 59, 60, 98, 99, 100, 101, u64::MAX] {
            assert_eq!(small_int_header(value), HeaderValue::from(value));
        }
    }

    #[test]
    fn rejection_response_of_grpc_is_trailers_only() {
        let why = Rejection::overloaded("shed").with_retry_after(Duration::from_millis(1200));
        let answer = rejection_response(&call(Some("application/grpc+proto")), why);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["grpc-status"], "14");
        assert_eq!(answer.headers()["grpc-retry-pushback-ms"], "1200");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert!(answer.body().is_empty());
    }

    /// Runs `work` in a context whose caller may see details, or not.
    fn in_context<R>(shown: bool, work: impl FnOnce() -> R) -> R {
        use crate::{context::Correlate, guard::Admit};
        let correlate = Correlate::default().with_rejection_details(shown);
        let mut request = http::Request::new(());
        let clock = crate::call::CallClock::default();
        correlate.admit(&mut request, &clock).expect("admitted");
        let context: Option<&Context> = request.extensions().get();
        context.expect("with a context").run(work)
    }

    #[test]
    fn rejection_response_has_details_where_the_context_shows_them() {
        let why = Rejection::overloaded("shed")
            .with_reason("drained")
            .with_last_error("password is wrong");
        let shows = |shown, call: HttpExchange| {
            in_context(shown, || rejection_response(&call, why.clone()))
        };
        let details = "grpc-status-details-bin";
        for shown in [false, true] {
            let answer = shows(shown, call(None));
            let body = String::from_utf8_lossy(answer.body());
            assert_eq!(body.contains(r#""guard":"shed","reason":"drained""#), shown);
            assert!(!body.contains("password"), "{body}");
            let why = answer.extensions().get::<Rejection>();
            assert_eq!(why.map(Rejection::has_details_for_caller), Some(shown));
            let answer = shows(shown, call(Some("application/grpc")));
            assert_eq!(answer.headers().contains_key(details), shown);
        }
        let answer = rejection_response(&call(Some("application/grpc")), why);
        assert!(!answer.headers().contains_key(details), "without a context");
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn tonic_status_has_details_where_the_context_shows_them() {
        for shown in [false, true] {
            let status = in_context(shown, || {
                tonic::Status::from(Rejection::rate_limited("login"))
            });
            assert_eq!(!status.details().is_empty(), shown);
        }
    }

    #[cfg(feature = "axum")]
    #[test]
    fn rejection_is_a_response_of_an_axum_handler() {
        use axum_core::response::IntoResponse;
        let answer = Rejection::rate_limited("login").into_response();
        assert_eq!(answer.status(), 429);
        assert!(answer.extensions().get::<Rejection>().is_some());
    }

    #[cfg(feature = "tonic")]
    #[test]
    fn rejection_becomes_a_tonic_status_with_itself_as_source() {
        let status = tonic::Status::from(Rejection::overloaded("shed"));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(Rejection::find(&status).is_some());
    }

    #[test]
    fn panic_response_hides_the_message() {
        let answer = panic_response(&call(None), "secret");
        assert_eq!(answer.status(), 500);
        assert!(!String::from_utf8_lossy(answer.body()).contains("secret"));
        let caught = answer.extensions().get::<CaughtPanic>();
        assert_eq!(caught.map(CaughtPanic::message), Some("secret"));
    }
}
