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

fn after_head(mut call: HttpExchange, head: &Response<()>) -> HttpExchange {
    call.on_head(head.into(), None, None);
    call
}

#[test]
fn call_is_plain_again_if_the_peer_does_not_answer_in_grpc() {
    let html = head(200, &[("content-type", "text/html")]);
    for call in [server(grpc()), client(grpc())] {
        assert_eq!(call.wire(), WireFormat::Grpc);
        let mut call = after_head(call, &html);
        assert_eq!(
            (call.wire(), call.classification()),
            (WireFormat::Plain, Classification::SUCCESS)
        );
        call.on_body_end();
        assert_eq!(call.classification(), Classification::SUCCESS);
    }
    let mut insists = GrpcClient::new().read(&mut grpc());
    insists.on_head((&html).into(), None, None);
    insists.on_body_end();
    assert_eq!(
        (insists.wire(), insists.classification()),
        (WireFormat::Grpc, Classification::FAILURE)
    );
    let rejected = after_head(client(grpc()), &head(503, &[]));
    assert_eq!(rejected.wire(), WireFormat::Plain);
}

#[test]
fn grpc_status_counts_wherever_it_is() {
    let in_head = after_head(
        server(grpc()),
        &head(200, &[SPEAKS_GRPC, ("grpc-status", "14")]),
    );
    assert_eq!(in_head.classification(), Classification::FAILURE);
    assert_eq!(in_head.grpc_code, Some(GrpcCode::UNAVAILABLE));
    let mut in_trailers = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    assert_eq!(in_trailers.classification(), Classification::SUCCESS);
    in_trailers.on_trailers(&trailers("5"), None);
    assert_eq!(in_trailers.classification(), CLIENT_ERROR);
    let mut missing = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    missing.on_trailers(&HeaderMap::new(), None);
    assert_eq!(missing.classification(), Classification::FAILURE);
}

/// A 204 or a redirect without `grpc-status` was a success here, and `UNKNOWN` to the caller of tonic.
#[test]
fn missing_grpc_status_is_a_failure_whatever_method_and_http_status_are() {
    let methods = [Method::POST, Method::HEAD, Method::CONNECT];
    for (method, status) in methods.into_iter().flat_map(|method| {
        [200, 201, 204, 205, 302, 304, 399].map(move |status| (method.clone(), status))
    }) {
        let call = || {
            let mut request = request(method.clone(), Version::HTTP_2, None);
            let mut call = GrpcClient::new().read(&mut request);
            let step = call.on_head((&head(status, &[])).into(), None, None);
            assert_eq!(step, BodyExpected::Yes, "{method} {status}");
            assert_eq!(call.classification(), Classification::SUCCESS);
            call
        };
        let mut missing = call();
        missing.on_body_end();
        assert_eq!(
            (missing.classification(), missing.grpc_code),
            (Classification::FAILURE, None),
            "{method} {status}"
        );
        let mut empty = call();
        empty.on_trailers(&HeaderMap::new(), None);
        assert_eq!(empty.classification(), Classification::FAILURE);
        let mut there = call();
        there.on_trailers(&trailers("0"), None);
        assert_eq!(there.classification(), Classification::SUCCESS);
    }
    // Other clients and servers go by the content type.
    for (headers, expected) in [
        (&[SPEAKS_GRPC][..], Classification::FAILURE),
        (&[], Classification::SUCCESS),
    ] {
        for call in [server(grpc()), client(grpc())] {
            let mut call = after_head(call, &head(204, headers));
            call.on_body_end();
            assert_eq!(call.classification(), expected, "{headers:?}");
        }
    }
}

#[test]
fn http_status_of_a_failure_is_classified_by_itself_if_grpc_status_is_missing() {
    for (status, expected) in [
        (400, CLIENT_ERROR),
        (404, CLIENT_ERROR),
        (500, Classification::FAILURE),
        (503, Outcome::Overload.into()),
        (504, LATE),
    ] {
        let call = GrpcClient::new().read(&mut grpc());
        let mut call = after_head(call, &head(status, &[]));
        assert_eq!(call.classification(), expected, "{status}");
        call.on_body_end();
        assert_eq!(call.classification(), expected, "{status}");
    }
}

#[test]
fn grpc_web_status_is_read_from_the_body() {
    let web = || {
        request(
            Method::POST,
            Version::HTTP_11,
            Some("application/grpc-web+proto"),
        )
    };
    let answer = head(200, &[("content-type", "application/grpc-web+proto")]);
    let frame = b"\x80\x00\x00\x00\x11grpc-status: 13\r\n";
    let mut failed = after_head(client(web()), &answer);
    failed.on_data(b"\x00\x00\x00\x00\x02hi");
    for byte in frame {
        failed.on_data(&[*byte]);
    }
    failed.on_body_end();
    assert_eq!(failed.classification(), Classification::FAILURE);
    assert_eq!(failed.grpc_code, Some(GrpcCode::parse(b"13")));
    let mut missing = after_head(client(web()), &answer);
    missing.on_data(b"\x00\x00\x00\x00\x02hi");
    missing.on_body_end();
    assert_eq!(missing.classification(), Classification::FAILURE);
    assert_eq!(missing.grpc_code, None);
}

/// A reader that left with its trailers made a success of every failure.
#[test]
fn grpc_web_call_is_over_with_its_trailers_whether_the_stream_ends_or_not() {
    let asked = request(Method::POST, Version::HTTP_11, Some("application/grpc-web"));
    let mut call = after_head(
        client(asked),
        &head(200, &[("content-type", "application/grpc-web")]),
    );
    let mut feed = |piece: &'static [u8]| {
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece)));
        call.on_frame(Some(&frame), false, None)
    };
    assert!(!feed(b"\x00\x00\x00\x00\x02hi"));
    assert!(!feed(b"\x80\x00\x00\x00\x11grpc-status: 1"));
    assert!(feed(b"4\r\n"));
    assert_eq!(call.classification(), Classification::FAILURE);
    assert_eq!(call.classify_drop(None), Classification::FAILURE);
}

#[test]
fn attempt_after_one_that_spoke_grpc_web_is_judged_by_what_it_speaks() {
    let web = head(503, &[("content-type", "application/grpc-web")]);
    let mut call = after_head(client(get()), &web);
    call.reset();
    let mut call = after_head(call, &head(200, &[("content-type", "text/html")]));
    call.on_body_end();
    assert_eq!(call.classification(), Classification::SUCCESS);
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
fn body_that_is_not_as_long_as_it_said_is_a_failure() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, expected) in [
        ("hello", Classification::SUCCESS),
        ("hell", Classification::FAILURE),
        ("hello!", Classification::FAILURE),
    ] {
        let mut call = after_head(server(get()), &promised);
        call.on_data(data.as_bytes());
        call.on_body_end();
        assert_eq!(call.classification(), expected, "{data}");
    }
    // A bad head stays what it is.
    let mut lost = after_head(server(get()), &head(404, &[("content-length", "5")]));
    lost.on_body_end();
    assert_eq!(lost.classification(), CLIENT_ERROR);
    // Only what a header says is a promise.
    let mut call = server(get());
    call.on_head((&head(200, &[])).into(), Some(5), None);
    call.on_body_end();
    assert_eq!(call.classification(), Classification::SUCCESS);
}

#[test]
fn response_without_a_body_ends_at_its_head() {
    for (method, status, over) in [
        (Method::GET, 200, false),
        (Method::GET, 204, true),
        (Method::GET, 205, true),
        (Method::GET, 304, true),
        (Method::GET, 101, true),
        (Method::HEAD, 200, true),
        (Method::CONNECT, 200, true),
        (Method::CONNECT, 403, false),
    ] {
        let mut call = server(request(method.clone(), Version::HTTP_11, None));
        let step = call.on_head((&head(status, &[])).into(), None, None);
        assert_eq!(step == BodyExpected::No, over, "{method} {status}");
    }
    let mut call = server(grpc());
    let step = call.on_head(
        (&head(200, &[SPEAKS_GRPC, ("grpc-status", "0")])).into(),
        None,
        None,
    );
    assert!(step == BodyExpected::No);
}

impl HttpExchange {
    /// A reader waits for more of its body.
    fn awaited(mut self) -> Self {
        self.set_reader_waiting(true);
        self
    }
}

#[test]
fn dropped_call_is_judged_by_who_has_gone() {
    assert_eq!(client(get()).classify_drop(None), Classification::CANCELLED);
    assert_eq!(
        server(get()).awaited().classify_drop(None),
        Classification::CANCELLED
    );
    let good = head(200, &[]);
    assert_eq!(
        after_head(client(get()), &good).classify_drop(None),
        Classification::SUCCESS
    );
    assert_eq!(
        after_head(client(get()), &good)
            .awaited()
            .classify_drop(None),
        CANCELLED
    );
    assert_eq!(
        after_head(server(get()), &good).classify_drop(None),
        CANCELLED
    );
    assert_eq!(
        after_head(server(get()), &good)
            .awaited()
            .classify_drop(None),
        CANCELLED
    );
    let bad = head(500, &[]);
    assert_eq!(
        after_head(client(get()), &bad)
            .awaited()
            .classify_drop(None),
        Classification::FAILURE
    );
    assert_eq!(
        after_head(server(get()), &bad).classify_drop(None),
        Classification::FAILURE
    );
    // A watcher has what it wanted; a server's stream lacks its status.
    let flowing = head(200, &[SPEAKS_GRPC]);
    assert_eq!(
        after_head(client(grpc()), &flowing).classify_drop(None),
        Classification::SUCCESS
    );
    assert_eq!(
        after_head(server(grpc()), &flowing).classify_drop(None),
        CANCELLED
    );
}

#[test]
fn dropped_body_is_complete_when_every_promised_byte_was_taken() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, expected) in [
        ("hello", Classification::SUCCESS),
        ("hell", CANCELLED),
        ("hello!", Classification::FAILURE),
    ] {
        let mut call = after_head(server(get()), &promised);
        call.on_data(data.as_bytes());
        assert_eq!(call.awaited().classify_drop(None), expected, "{data}");
    }
    let mut exact = server(get());
    exact.on_head((&head(200, &[])).into(), Some(5), None);
    exact.on_data(b"hello");
    assert_eq!(exact.awaited().classify_drop(None), Classification::SUCCESS);
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

#[test]
fn undecodable_request_is_the_callers_on_a_server_only() {
    let answer = || {
        head(
            200,
            &[
                SPEAKS_GRPC,
                ("grpc-status", "13"),
                ("grpc-message", "Missing%20request%20message."),
            ],
        )
    };
    assert_eq!(
        after_head(server(grpc()), &answer()).classification(),
        Classification::CALLER_FAULT
    );
    assert_eq!(
        after_head(client(grpc()), &answer()).classification(),
        Classification::FAILURE
    );
    let other = head(
        200,
        &[
            SPEAKS_GRPC,
            ("grpc-status", "13"),
            ("grpc-message", "no disk"),
        ],
    );
    assert_eq!(
        after_head(server(grpc()), &other).classification(),
        Classification::FAILURE
    );
}

/// Judges 404 as a failure.
fn strict() -> Classifier {
    Classifier::new(|end| match end.status() {
        Some(StatusCode::NOT_FOUND) => ClassifyOutput::from(Outcome::Failure),
        _ => end.outcome().into(),
    })
}

fn of(side: Side, request: &mut Req, own: Option<&Classifier>) -> HttpExchange {
    match side {
        Side::Server => HttpExchange::from_request::<crate::protocol::ServerKind, _>(request, own),
        Side::Client => HttpExchange::from_request::<crate::protocol::ClientKind, _>(request, own),
    }
}

#[test]
fn classifier_travels_to_layers_further_in_on_its_own_side() {
    let lost = head(404, &[]);
    for (outer, inner, shared) in [
        (Side::Server, Side::Server, true),
        (Side::Client, Side::Client, true),
        (Side::Server, Side::Client, false),
    ] {
        let mut request = get();
        of(outer, &mut request, Some(&strict()));
        let call = after_head(of(inner, &mut request, None), &lost);
        let failed = call.classification() == Classification::FAILURE;
        assert_eq!(failed, shared, "{outer:?} {inner:?}");
    }
}

#[test]
fn classifier_travels_to_layers_further_out_with_the_response() {
    let mut lost = head(404, &[]);
    let inner = after_head(of(Side::Client, &mut get(), Some(&strict())), &lost);
    assert_eq!(inner.classification(), Classification::FAILURE);
    inner.share_classification(lost.extensions_mut());
    let outer = after_head(client(get()), &lost);
    assert_eq!(outer.classification(), Classification::FAILURE);
    // Nothing is left by those who go by the protocol alone.
    let mut plain = head(404, &[]);
    after_head(client(get()), &plain).share_classification(plain.extensions_mut());
    assert!(plain.extensions().is_empty());
}

#[test]
fn classifier_of_a_layer_further_in_judges_errors_for_all() {
    let harmless = Classifier::new(|_| Outcome::ClientError);
    let mut inner = of(Side::Client, &mut get(), Some(&harmless));
    let error: BoxError = "reset".into();
    inner.on_error(&*error, None);
    assert_eq!(inner.classification(), Classification::CALLER_FAULT);
    let error = inner.wrap_error(error);
    assert_eq!(error.to_string(), "reset");
    let mut outer = client(get());
    outer.on_error(&*error, None);
    assert_eq!(outer.classification(), Classification::CALLER_FAULT);
    let untouched: BoxError = "reset".into();
    let untouched = client(get()).wrap_error(untouched);
    assert!(ClassifiedError::find(&*untouched).is_none());
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

#[test]
fn call_that_is_dropped_while_its_upload_is_awaited_broke_off() {
    for broken in [false, true] {
        for call in [server(get()), client(get())] {
            let call = uploading(call, broken);
            assert_eq!(call.classify_drop(None), Classification::CALLER_FAULT);
            assert_eq!(call.classify_drop(Some(LATE)), Classification::CALLER_FAULT);
        }
    }
    let good = after_head(uploading(client(get()), false), &head(200, &[]));
    assert_eq!(good.classify_drop(None), Classification::SUCCESS);
}

/// Those further out once blamed the service for what the guard around it did not.
#[test]
fn panic_that_a_broken_upload_led_to_is_the_callers_at_every_depth() {
    let mut panicked = head(500, &[]);
    let caught = crate::protocol::CaughtPanic("a whole body".into());
    panicked.extensions_mut().insert(caught);
    let excused = Classification::new(Outcome::Panicked, Evidence::Inconclusive);
    let seen = |broken| after_head(uploading(server(get()), broken), &panicked).classification();
    assert_eq!(
        (seen(true), seen(false)),
        (excused, Classification::PANICKED)
    );
}

#[test]
fn error_of_a_type_that_says_nothing_is_the_callers_once_its_upload_broke() {
    struct Opaque;
    for (broken, expected) in [
        (true, Classification::CALLER_FAULT),
        (false, Classification::FAILURE),
    ] {
        let mut call = uploading(server(get()), broken);
        assert!(call.on_any_error(&Opaque, None).is_none());
        assert_eq!(call.classification(), expected);
    }
}

fn web(content_type: &'static str) -> Req {
    request(Method::POST, Version::HTTP_11, Some(content_type))
}

#[test]
fn messages_of_a_request_are_read_of_grpc_on_a_server_only() {
    let reads = |call: HttpExchange| request_frames(call.side, call.wire).is_some();
    assert!(reads(server(grpc())));
    assert!(!reads(client(grpc())));
    assert!(!reads(server(get())));
    assert!(!reads(server(web("application/grpc-web"))));
}

#[test]
fn answer_of_our_own_has_the_content_type_that_was_asked_for() {
    for (request, content_type) in [
        (grpc(), "application/grpc"),
        (web("application/grpc-web+proto"), "application/grpc-web"),
        (
            web("application/grpc-web-text+proto"),
            "application/grpc-web-text",
        ),
    ] {
        assert_eq!(server(request).grpc_content_type(), content_type);
    }
}

#[test]
fn grpc_web_status_is_read_from_base64_where_the_answer_is_text() {
    let text = "application/grpc-web-text";
    let mut failed = after_head(client(web(text)), &head(200, &[("content-type", text)]));
    // A trailer of 15 bytes: `grpc-status: 5` and a line feed.
    failed.on_data(b"gAAAAA9ncnBjLXN0YXR1czogNQo=");
    failed.on_body_end();
    assert_eq!(failed.classification(), CLIENT_ERROR);
    assert_eq!(failed.grpc_code, Some(GrpcCode::parse(b"5")));
}

#[path = "call_state_tests.rs"]
mod call_state;
