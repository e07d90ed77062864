//! Answers that the gateway gives itself, in the caller's language: a problem body, or a gRPC status.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderValue,
    PROXY_AUTHORIZATION,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper_util::client::legacy;
use tower_keep::Rejection;
use tower_keep::call::{Elapsed, GrpcCode, find};
use tower_keep::protocol::WireFormat;

use super::BoxError;
use super::headers;

/// The cache control of the gateway's own responses, which are about this moment.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");

/// Answers requests that must not, or need not, be forwarded.
pub fn without_upstream<B>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    if request.method() == Method::CONNECT {
        let detail = "a gateway opens no tunnels by CONNECT";
        return Some(problem(StatusCode::NOT_IMPLEMENTED, detail));
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    // Two hosts, or none, are read differently by different servers, which is what smugglers live on.
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let detail = "a request needs exactly one Host";
        return Some(problem(StatusCode::BAD_REQUEST, detail));
    }
    match (request.method(), headers::forwards_left(request.headers())) {
        (&Method::OPTIONS, Some(0)) => Some(options()),
        (&Method::TRACE, Some(0)) => Some(trace(request)),
        _ => None,
    }
}

/// The answer to a request whose path leads out of the upstream's base path.
pub fn out_of_bounds() -> Response<Full<Bytes>> {
    problem(StatusCode::BAD_REQUEST, "the path cannot be forwarded")
}

/// The answer when the upstream gave none. The error goes along in its extensions, where the guards round the
/// gateway look for the true cause.
///
/// The guards round the client end up here, too: a rejection of theirs is an error like any other.
pub fn failed(error: BoxError, grpc: bool) -> Response<Full<Bytes>> {
    let mut response = match Rejection::find(&*error) {
        Some(rejection) => rejected(rejection, grpc),
        None => broken(&*error, grpc),
    };
    let cause: Arc<dyn Error + Send + Sync> = error.into();
    response.extensions_mut().insert(cause);
    response
}

fn broken(error: &(dyn Error + 'static), grpc: bool) -> Response<Full<Bytes>> {
    let slow_connect =
        find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    let late = slow_connect || find::<Elapsed>(error).is_some();
    let (status, code, detail) = if find::<Elapsed>(error).is_some_and(Elapsed::is_caller_fault) {
        (
            StatusCode::REQUEST_TIMEOUT,
            GrpcCode::CANCELLED,
            "the request's body did not come in time",
        )
    } else if late {
        (
            StatusCode::GATEWAY_TIMEOUT,
            GrpcCode::DEADLINE_EXCEEDED,
            "the upstream did not answer in time",
        )
    } else if upload_broke(error) {
        (
            StatusCode::BAD_REQUEST,
            GrpcCode::CANCELLED,
            "the request's body broke off",
        )
    } else if find::<legacy::Error>(error).is_some_and(legacy::Error::is_connect) {
        (
            StatusCode::BAD_GATEWAY,
            GrpcCode::UNAVAILABLE,
            "the upstream cannot be reached",
        )
    } else {
        (
            StatusCode::BAD_GATEWAY,
            GrpcCode::UNAVAILABLE,
            "the upstream broke off the exchange",
        )
    };
    local(status, code, detail, grpc)
}

/// Returns whether the request's body failed while it was sent on: the connection says so, over HTTP/2 by a reset of its own.
fn upload_broke(error: &(dyn Error + 'static)) -> bool {
    let by_body = find::<hyper::Error>(error).is_some_and(hyper::Error::is_user);
    let reset_here =
        |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
    by_body || find::<h2::Error>(error).is_some_and(reset_here)
}

/// Answers a rejection as the crate's own servers do.
fn rejected(rejection: &Rejection, grpc: bool) -> Response<Full<Bytes>> {
    let wire = if grpc {
        WireFormat::Grpc
    } else {
        WireFormat::Plain
    };
    rejection.to_response(wire).map(Full::new)
}

/// The answer to a switch of protocols that nobody asked for.
pub fn unasked_switch(grpc: bool) -> Response<Full<Bytes>> {
    let detail = "the upstream switched protocols unasked";
    local(StatusCode::BAD_GATEWAY, GrpcCode::INTERNAL, detail, grpc)
}

fn local(
    status: StatusCode,
    code: GrpcCode,
    detail: &'static str,
    grpc: bool,
) -> Response<Full<Bytes>> {
    if grpc {
        trailers_only(code, detail)
    } else {
        problem(status, detail)
    }
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A gRPC response that consists of its trailers, which then travel as its headers.
fn trailers_only(code: GrpcCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert("grpc-status", u16::from(code.as_u8()).into());
    headers.insert("grpc-message", HeaderValue::from_static(message));
    response
}

fn options() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// The request as it arrived, less what a script in a browser must not get to see.
fn trace<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    const SECRET: [http::HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
    let (method, uri, version) = (request.method(), request.uri(), request.version());
    let mut echo = format!("{method} {uri} {version:?}\r\n").into_bytes();
    for (name, value) in request.headers() {
        if !SECRET.contains(name) {
            echo.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    let mut response = Response::new(Full::from(echo));
    let kind = HeaderValue::from_static("message/http");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;
    use tower_keep::RejectionKind;

    use super::*;

    #[test]
    fn failure_is_answered_in_the_wire_format_of_the_caller_and_leaves_its_cause() {
        let broken = || BoxError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let plain = failed(broken(), false);
        assert_eq!(plain.status(), StatusCode::BAD_GATEWAY);
        let cause = plain.extensions().get::<Arc<dyn Error + Send + Sync>>();
        assert_eq!(
            cause.map(ToString::to_string).as_deref(),
            Some("broken pipe")
        );
        let grpc = failed(broken(), true);
        assert_eq!(
            (grpc.status(), &grpc.headers()["grpc-status"]),
            (StatusCode::OK, &HeaderValue::from(14))
        );
        let late = BoxError::from(io::Error::from(io::ErrorKind::TimedOut));
        assert_eq!(failed(late, false).status(), StatusCode::GATEWAY_TIMEOUT);
    }

    #[test]
    fn rejection_of_an_inner_layer_is_answered_like_one_of_the_gateway() {
        let full = Rejection::new(RejectionKind::Full, "bulkhead");
        let full = full.with_retry_after(Duration::from_millis(1200));
        let plain = failed(full.clone().into(), false);
        assert_eq!(plain.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(plain.headers()[RETRY_AFTER], "2");
        assert!(plain.extensions().get::<Rejection>().is_some());
        let grpc = failed(full.into(), true);
        assert_eq!(grpc.headers()["grpc-status"], "8");
        assert_eq!(grpc.headers()["grpc-retry-pushback-ms"], "1200");
    }

    #[test]
    fn two_hosts_are_one_too_many() {
        let two = Request::get("/")
            .header(HOST, "a")
            .header(HOST, "b")
            .body(());
        let answer = without_upstream(&two.expect("a request")).expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn trace_response_shows_no_secrets() {
        let request = Request::builder()
            .header(COOKIE, "secret")
            .header("a", "b")
            .body(());
        let answer = format!("{:?}", trace(&request.expect("a request")).into_body());
        assert!(
            answer.contains("a: b") && !answer.contains("secret"),
            "{answer}"
        );
    }
}
