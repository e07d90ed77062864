use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::Full;

use super::*;
use crate::{
    call::{BoxError, Evidence, JudgedError, Verdict},
    protocol::{Client, GrpcClient, Notes, Read, Server},
};

const CANCELLED: Judged = Judged::new(Outcome::Cancelled, Evidence::Healthy);
const LATE: Judged = Judged::new(Outcome::TimedOut, Evidence::Unhealthy);
const CLIENT_ERROR: Judged = Judged::new(Outcome::Ignored, Evidence::Healthy);

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

fn server(mut request: Req) -> HttpCall {
    Server::new().read(&mut request)
}

fn client(mut request: Req) -> HttpCall {
    Client::new().read(&mut request)
}

fn judged(mut call: HttpCall, head: &Response<()>) -> HttpCall {
    call.judge_head(head.into(), None, None);
    call
}

#[test]
fn call_is_plain_again_if_the_peer_does_not_answer_in_grpc() {
    let html = head(200, &[("content-type", "text/html")]);
    for call in [server(grpc()), client(grpc())] {
        assert_eq!(call.wire(), Wire::Grpc);
        let mut call = judged(call, &html);
        assert_eq!((call.wire(), call.judged()), (Wire::Plain, Judged::SUCCESS));
        call.judge_clean_end();
        assert_eq!(call.judged(), Judged::SUCCESS);
    }
    let mut insists = GrpcClient::new().read(&mut grpc());
    insists.judge_head((&html).into(), None, None);
    insists.judge_clean_end();
    assert_eq!(
        (insists.wire(), insists.judged()),
        (Wire::Grpc, Judged::FAILURE)
    );
    let refused = judged(client(grpc()), &head(503, &[]));
    assert_eq!(refused.wire(), Wire::Plain);
}

#[test]
fn grpc_status_counts_wherever_it_is() {
    let in_head = judged(
        server(grpc()),
        &head(200, &[SPEAKS_GRPC, ("grpc-status", "14")]),
    );
    assert_eq!(in_head.judged(), Judged::FAILURE);
    assert_eq!(in_head.grpc_code(), Some(GrpcCode::UNAVAILABLE));
    let mut in_trailers = judged(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    assert_eq!(in_trailers.judged(), Judged::SUCCESS);
    in_trailers.judge_trailers(&trailers("5"), None);
    assert_eq!(in_trailers.judged(), CLIENT_ERROR);
    let mut missing = judged(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    missing.judge_trailers(&HeaderMap::new(), None);
    assert_eq!(missing.judged(), Judged::FAILURE);
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
    let mut failed = judged(client(web()), &answer);
    failed.see_data(b"\x00\x00\x00\x00\x02hi");
    for byte in frame {
        failed.see_data(&[*byte]);
    }
    failed.judge_clean_end();
    assert_eq!(failed.judged(), Judged::FAILURE);
    assert_eq!(failed.grpc_code(), Some(GrpcCode::parse(b"13")));
    let mut missing = judged(client(web()), &answer);
    missing.see_data(b"\x00\x00\x00\x00\x02hi");
    missing.judge_clean_end();
    assert_eq!(missing.judged(), Judged::FAILURE);
    assert_eq!(missing.grpc_code(), None);
}

/// A reader that left with its trailers made a success of every failure.
#[test]
fn grpc_web_call_is_over_with_its_trailers_whether_the_stream_ends_or_not() {
    let asked = request(Method::POST, Version::HTTP_11, Some("application/grpc-web"));
    let mut call = judged(
        client(asked),
        &head(200, &[("content-type", "application/grpc-web")]),
    );
    let mut feed = |piece: &'static [u8]| {
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece)));
        call.judge_frame(Some(&frame), false, None)
    };
    assert!(!feed(b"\x00\x00\x00\x00\x02hi"));
    assert!(!feed(b"\x80\x00\x00\x00\x11grpc-status: 1"));
    assert!(feed(b"4\r\n"));
    assert_eq!(call.judged(), Judged::FAILURE);
    assert_eq!(call.dropped(None), Judged::FAILURE);
}

#[test]
fn attempt_after_one_that_spoke_grpc_web_is_judged_by_what_it_speaks() {
    let web = head(503, &[("content-type", "application/grpc-web")]);
    let mut call = judged(client(get()), &web);
    call.begin_again();
    let mut call = judged(call, &head(200, &[("content-type", "text/html")]));
    call.judge_clean_end();
    assert_eq!(call.judged(), Judged::SUCCESS);
}

#[test]
fn attempt_knows_nothing_of_the_one_before() {
    let promised = ("content-length", "5");
    let mut call = judged(client(grpc()), &head(200, &[SPEAKS_GRPC, promised]));
    call.see_data(b"four");
    call.judge_trailers(&trailers("13"), None);
    call.note_fault(Fault::MissingGrpcStatus);
    call.begin_again();
    assert_eq!(call.judged(), Judged::SUCCESS);
    assert_eq!((call.status, call.grpc_code()), (None, None));
    assert!(call.fault().is_none());
    assert_eq!((call.sent, call.declared), (0, false));
    let mut plain = judged(client(grpc()), &head(503, &[]));
    plain.begin_again();
    assert_eq!(plain.wire(), Wire::Grpc);
}

#[test]
fn body_that_is_not_as_long_as_it_said_is_a_failure() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, judged_as) in [
        ("hello", Judged::SUCCESS),
        ("hell", Judged::FAILURE),
        ("hello!", Judged::FAILURE),
    ] {
        let mut call = judged(server(get()), &promised);
        call.see_data(data.as_bytes());
        call.judge_clean_end();
        assert_eq!(call.judged(), judged_as, "{data}");
    }
    // A bad head stays what it is.
    let mut lost = judged(server(get()), &head(404, &[("content-length", "5")]));
    lost.judge_clean_end();
    assert_eq!(lost.judged(), CLIENT_ERROR);
    // Only what a header says is a promise.
    let mut call = server(get());
    call.judge_head((&head(200, &[])).into(), Some(5), None);
    call.judge_clean_end();
    assert_eq!(call.judged(), Judged::SUCCESS);
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
        let step = call.judge_head((&head(status, &[])).into(), None, None);
        assert_eq!(step == Step::Over, over, "{method} {status}");
    }
    let mut call = server(grpc());
    let step = call.judge_head(
        (&head(200, &[SPEAKS_GRPC, ("grpc-status", "0")])).into(),
        None,
        None,
    );
    assert!(step == Step::Over);
}

impl HttpCall {
    /// A reader waits for more of its body.
    fn awaited(mut self) -> Self {
        self.set_waiting(true);
        self
    }
}

#[test]
fn dropped_call_is_judged_by_who_has_gone() {
    assert_eq!(client(get()).dropped(None), Judged::ABANDONED);
    assert_eq!(server(get()).awaited().dropped(None), Judged::ABANDONED);
    let good = head(200, &[]);
    assert_eq!(judged(client(get()), &good).dropped(None), Judged::SUCCESS);
    assert_eq!(
        judged(client(get()), &good).awaited().dropped(None),
        CANCELLED
    );
    assert_eq!(judged(server(get()), &good).dropped(None), CANCELLED);
    assert_eq!(
        judged(server(get()), &good).awaited().dropped(None),
        CANCELLED
    );
    let bad = head(500, &[]);
    assert_eq!(
        judged(client(get()), &bad).awaited().dropped(None),
        Judged::FAILURE
    );
    assert_eq!(judged(server(get()), &bad).dropped(None), Judged::FAILURE);
    // A watcher has what it wanted; a server's stream lacks its status.
    let flowing = head(200, &[SPEAKS_GRPC]);
    assert_eq!(
        judged(client(grpc()), &flowing).dropped(None),
        Judged::SUCCESS
    );
    assert_eq!(judged(server(grpc()), &flowing).dropped(None), CANCELLED);
}

#[test]
fn dropped_body_is_complete_when_every_promised_byte_was_taken() {
    let promised = head(200, &[("content-length", "5")]);
    for (data, judged_as) in [
        ("hello", Judged::SUCCESS),
        ("hell", CANCELLED),
        ("hello!", Judged::FAILURE),
    ] {
        let mut call = judged(server(get()), &promised);
        call.see_data(data.as_bytes());
        assert_eq!(call.awaited().dropped(None), judged_as, "{data}");
    }
    let mut exact = server(get());
    exact.judge_head((&head(200, &[])).into(), Some(5), None);
    exact.see_data(b"hello");
    assert_eq!(exact.awaited().dropped(None), Judged::SUCCESS);
}

#[test]
fn rejection_and_caught_panic_of_a_layer_further_in_stay_what_they_are() {
    let mut refused = head(503, &[]);
    refused
        .extensions_mut()
        .insert(crate::Rejection::overloaded("inner"));
    assert_eq!(judged(client(get()), &refused).judged(), Judged::REJECTED);
    let mut panicked = head(500, &[]);
    panicked
        .extensions_mut()
        .insert(crate::protocol::CaughtPanic("oh".into()));
    assert_eq!(judged(server(get()), &panicked).judged(), Judged::PANICKED);
}

#[test]
fn refusal_that_became_a_good_answer_is_history() {
    let coded = |code| head(200, &[SPEAKS_GRPC, ("grpc-status", code)]);
    for (request, mut answer, judged_as) in [
        (get(), head(200, &[]), Judged::SUCCESS),
        (get(), head(503, &[]), Judged::REJECTED),
        (grpc(), coded("0"), Judged::SUCCESS),
        (grpc(), coded("14"), Judged::REJECTED),
    ] {
        let refusal = crate::Rejection::overloaded("inner");
        answer.extensions_mut().insert(refusal);
        let call = judged(server(request), &answer);
        assert_eq!(call.judged(), judged_as, "{answer:?}");
    }
}

#[test]
fn late_answer_is_known_as_one_of_which_nothing_else_is_known() {
    let mut late = judged(client(get()), &head(504, &[]));
    assert!(late.is_late() && late.judged() == LATE);
    late.excuse_lateness();
    assert!(!late.is_late());
    assert_eq!(late.judged().evidence, Evidence::Inconclusive);
    assert!(!judged(client(get()), &head(503, &[])).is_late());
    assert!(!judged(client(get()), &head(408, &[])).is_late());
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
    assert_eq!(judged(server(grpc()), &answer()).judged(), Judged::CALLERS);
    assert_eq!(judged(client(grpc()), &answer()).judged(), Judged::FAILURE);
    let other = head(
        200,
        &[
            SPEAKS_GRPC,
            ("grpc-status", "13"),
            ("grpc-message", "no disk"),
        ],
    );
    assert_eq!(judged(server(grpc()), &other).judged(), Judged::FAILURE);
}

/// Judges 404 as a failure.
fn strict() -> Classifier {
    Classifier::new(|end| match end.status() {
        Some(StatusCode::NOT_FOUND) => Verdict::from(Outcome::Failure),
        _ => end.outcome().into(),
    })
}

fn of(side: Side, request: &mut Req, own: Option<&Classifier>) -> HttpCall {
    match side {
        Side::Server => HttpCall::of::<crate::protocol::ServerKind, _>(request, own),
        Side::Client => HttpCall::of::<crate::protocol::ClientKind, _>(request, own),
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
        let call = judged(of(inner, &mut request, None), &lost);
        let failed = call.judged() == Judged::FAILURE;
        assert_eq!(failed, shared, "{outer:?} {inner:?}");
    }
}

#[test]
fn classifier_travels_to_layers_further_out_with_the_response() {
    let mut lost = head(404, &[]);
    let inner = judged(of(Side::Client, &mut get(), Some(&strict())), &lost);
    assert_eq!(inner.judged(), Judged::FAILURE);
    inner.leave_verdict(lost.extensions_mut());
    let outer = judged(client(get()), &lost);
    assert_eq!(outer.judged(), Judged::FAILURE);
    // Nothing is left by those who go by the protocol alone.
    let mut plain = head(404, &[]);
    judged(client(get()), &plain).leave_verdict(plain.extensions_mut());
    assert!(plain.extensions().is_empty());
}

#[test]
fn classifier_of_a_layer_further_in_judges_errors_for_all() {
    let harmless = Classifier::new(|_| Outcome::Ignored);
    let mut inner = of(Side::Client, &mut get(), Some(&harmless));
    let error: BoxError = "reset".into();
    inner.judge_error(&*error, None);
    assert_eq!(inner.judged(), Judged::CALLERS);
    let error = inner.leave_verdict_with(error);
    assert_eq!(error.to_string(), "reset");
    let mut outer = client(get());
    outer.judge_error(&*error, None);
    assert_eq!(outer.judged(), Judged::CALLERS);
    let untouched: BoxError = "reset".into();
    let untouched = client(get()).leave_verdict_with(untouched);
    assert!(JudgedError::find(&*untouched).is_none());
}

/// A call whose upload is awaited, or has broken off.
fn uploading(mut call: HttpCall, broken: bool) -> HttpCall {
    let upload = Upload::stalled(!broken);
    if broken {
        let mut reporter = upload.reporter(&Default::default(), None).expect("first");
        let error = std::task::Poll::Ready(Some(Err("reset")));
        reporter.saw::<bytes::Bytes, _>(&error, || true);
    }
    call.rare_mut().upload = Some((upload, Instant::now()));
    call
}

#[test]
fn call_that_is_dropped_while_its_upload_is_awaited_broke_off() {
    for broken in [false, true] {
        for call in [server(get()), client(get())] {
            let call = uploading(call, broken);
            assert_eq!(call.dropped(None), Judged::CALLERS);
            assert_eq!(call.dropped(Some(LATE)), Judged::CALLERS);
        }
    }
    let good = judged(uploading(client(get()), false), &head(200, &[]));
    assert_eq!(good.dropped(None), Judged::SUCCESS);
}

/// Those further out once blamed the service for what the guard around it did not.
#[test]
fn panic_that_a_broken_upload_led_to_is_the_callers_at_every_depth() {
    let mut panicked = head(500, &[]);
    let caught = crate::protocol::CaughtPanic("a whole body".into());
    panicked.extensions_mut().insert(caught);
    let excused = Judged::new(Outcome::Panicked, Evidence::Inconclusive);
    let seen = |broken| judged(uploading(server(get()), broken), &panicked).judged();
    assert_eq!((seen(true), seen(false)), (excused, Judged::PANICKED));
}

#[test]
fn error_of_a_type_that_says_nothing_is_the_callers_once_its_upload_broke() {
    struct Opaque;
    for (broken, judged) in [(true, Judged::CALLERS), (false, Judged::FAILURE)] {
        let mut call = uploading(server(get()), broken);
        assert!(call.judge_any_error(&Opaque, None).is_none());
        assert_eq!(call.judged(), judged);
    }
}

fn web(content_type: &'static str) -> Req {
    request(Method::POST, Version::HTTP_11, Some(content_type))
}

#[test]
fn messages_of_a_request_are_read_of_grpc_on_a_server_only() {
    let reads = |call: HttpCall| request_frames(call.side, call.wire).is_some();
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
    let mut failed = judged(client(web(text)), &head(200, &[("content-type", text)]));
    // A trailer of 15 bytes: `grpc-status: 5` and a line feed.
    failed.see_data(b"gAAAAA9ncnBjLXN0YXR1czogNQo=");
    failed.judge_clean_end();
    assert_eq!(failed.judged(), CLIENT_ERROR);
    assert_eq!(failed.grpc_code(), Some(GrpcCode::parse(b"5")));
}

mod notes;
