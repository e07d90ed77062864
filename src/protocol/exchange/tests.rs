//! Checks the head of an exchange; has the steps that all tests of an exchange share.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::Full;

use super::*;
use crate::{
    call::{BoxError, ClassifiedError, ClassifyOutput, Evidence},
    protocol::{CallState, Client, GrpcClient, ReadRequest, Server},
};

const CANCELLED: Classification = Classification::new(Outcome::Cancelled, Evidence::Healthy);
const LATE: Classification = Classification::new(Outcome::TimedOut, Evidence::Unhealthy);
const CLIENT_ERROR: Classification = Classification::new(Outcome::ClientError, Evidence::Healthy);

type Req = Request<Full<bytes::Bytes>>;

fn request(method: Method, version: Version, content_type: Option<&'static str>) -> Req {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.version_mut() = version;
    if let Some(kind) = content_type {
        let kind = HeaderValue::from_static(kind);
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    request
}

fn get() -> Req {
    request(Method::GET, Version::HTTP_11, None)
}

fn grpc() -> Req {
    request(Method::POST, Version::HTTP_2, Some("application/grpc"))
}

fn web(content_type: &'static str) -> Req {
    request(Method::POST, Version::HTTP_11, Some(content_type))
}

fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(*name, value);
    }
    response
}

const SPEAKS_GRPC: (&str, &str) = ("content-type", "application/grpc");

fn trailers(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(code),
    )])
}

fn server(mut request: Req) -> HttpExchange {
    Server::new().read(&mut request)
}

fn client(mut request: Req) -> HttpExchange {
    Client::new().read(&mut request)
}

fn of(side: Side, request: &mut Req, own: Option<&Classifier>) -> HttpExchange {
    match side {
        Side::Server => HttpExchange::from_request::<crate::protocol::ServerKind, _>(request, own),
        Side::Client => HttpExchange::from_request::<crate::protocol::ClientKind, _>(request, own),
    }
}

fn after_head(mut call: HttpExchange, head: &Response<()>) -> HttpExchange {
    call.on_head(head.into(), None, None);
    call
}

#[test]
fn attempt_knows_nothing_of_the_one_before() {
    let promised = ("content-length", "5");
    let mut call = after_head(client(grpc()), &head(200, &[SPEAKS_GRPC, promised]));
    call.on_data(b"four");
    call.on_trailers(&trailers("13"), None);
    call.set_failure_detail(FailureDetail::MissingGrpcStatus);
    call.reset();
    assert_eq!(call.classification(), Classification::SUCCESS);
    assert_eq!((call.status, call.grpc_code), (None, None));
    assert!(call.failure_detail().is_none());
    assert_eq!((call.bytes_sent, call.has_content_length), (0, false));
    let mut plain = after_head(client(grpc()), &head(503, &[]));
    plain.reset();
    assert_eq!(plain.wire(), WireFormat::Grpc);
}

#[test]
fn rejection_and_caught_panic_of_a_layer_further_in_stay_what_they_are() {
    let mut rejected = head(503, &[]);
    rejected
        .extensions_mut()
        .insert(crate::Rejection::overloaded("inner"));
    assert_eq!(
        after_head(client(get()), &rejected).classification(),
        Classification::REJECTED
    );
    let mut panicked = head(500, &[]);
    panicked
        .extensions_mut()
        .insert(crate::protocol::CaughtPanic("oh".into()));
    assert_eq!(
        after_head(server(get()), &panicked).classification(),
        Classification::PANICKED
    );
}

#[test]
fn rejection_that_became_a_good_answer_is_history() {
    let coded = |code| head(200, &[SPEAKS_GRPC, ("grpc-status", code)]);
    for (request, mut answer, expected) in [
        (get(), head(200, &[]), Classification::SUCCESS),
        (get(), head(503, &[]), Classification::REJECTED),
        (grpc(), coded("0"), Classification::SUCCESS),
        (grpc(), coded("14"), Classification::REJECTED),
    ] {
        let rejection = crate::Rejection::overloaded("inner");
        answer.extensions_mut().insert(rejection);
        let call = after_head(server(request), &answer);
        assert_eq!(call.classification(), expected, "{answer:?}");
    }
}

#[test]
fn late_answer_is_known_as_one_of_which_nothing_else_is_known() {
    let mut late = after_head(client(get()), &head(504, &[]));
    assert!(late.is_unexplained_timeout() && late.classification() == LATE);
    late.excuse_timeout();
    assert!(!late.is_unexplained_timeout());
    assert_eq!(late.classification().evidence, Evidence::Inconclusive);
    assert!(!after_head(client(get()), &head(503, &[])).is_unexplained_timeout());
    assert!(!after_head(client(get()), &head(408, &[])).is_unexplained_timeout());
}

/// A call whose upload is awaited, or has broken off.
fn uploading(mut call: HttpExchange, broken: bool) -> HttpExchange {
    let upload = Upload::stalled(!broken);
    if broken {
        let mut reporter = upload.reporter(&Default::default(), None).expect("first");
        let error = std::task::Poll::Ready(Some(Err("reset")));
        reporter.on_poll::<bytes::Bytes, _>(&error, || true);
    }
    call.extra_mut().upload = Some((upload, Instant::now()));
    call
}

#[path = "blame_tests.rs"]
mod blame;
#[path = "call_state_tests.rs"]
mod call_state;
#[path = "classifier_tests.rs"]
mod classifier;
#[path = "end_tests.rs"]
mod end;
#[path = "grpc_tests.rs"]
mod grpc;
