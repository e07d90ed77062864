//! Checks the state of a call, and how it is classified by more than status and code.

use std::{error::Error, io, sync::Arc, time::Duration};

use tokio::time::advance;

use super::*;
use crate::{
    Rejection,
    call::{CallClock, CallEnd, Cause, Elapsed, TimeoutKind},
    protocol::CaughtPanic,
};

const SECOND: Duration = Duration::from_secs(1);

/// Describes what went wrong, in short.
fn cause(call: &HttpExchange) -> Option<String> {
    let now = CallClock::default();
    let mut end = CallEnd::new(call.outcome(), &now);
    call.write_end(&mut end);
    end.cause.map(|cause| match cause {
        Cause::Error(error) => format!("error: {error}"),
        Cause::Rejection(rejection) => format!("rejection by {}", rejection.guard()),
        Cause::Panic(message) => format!("panic: {message}"),
        Cause::GrpcMessage(message) => format!("message: {message}"),
        Cause::MissingGrpcStatus => "no status".to_owned(),
        Cause::WrongLength {
            content_length: promised,
            bytes_sent: sent,
        } => format!("{sent} of {promised} bytes"),
        other => format!("{other:?}"),
    })
}

fn with<T: Clone + Send + Sync + 'static>(mut head: Response<()>, extension: T) -> Response<()> {
    head.extensions_mut().insert(extension);
    head
}

fn left_error(error: impl Error + Send + Sync + 'static) -> Arc<dyn Error + Send + Sync> {
    Arc::new(error)
}

fn grpc_error(message: &'static str) -> Response<()> {
    let status = ("grpc-status", "13");
    head(200, &[SPEAKS_GRPC, status, ("grpc-message", message)])
}

#[test]
fn cause_is_what_the_response_names() {
    let error = || left_error(io::Error::other("disk full"));
    let rejected = || with(head(503, &[]), Rejection::overloaded("inner"));
    let panicked = with(head(500, &[]), CaughtPanic("oh".into()));
    let message = ("grpc-message", "not gRPC");
    for (request, head, says) in [
        (
            get(),
            with(head(500, &[]), error()),
            Some("error: disk full"),
        ),
        (get(), rejected(), Some("rejection by inner")),
        (get(), with(rejected(), error()), Some("rejection by inner")),
        (get(), panicked, Some("panic: oh")),
        (grpc(), grpc_error("no%20disk"), Some("message: no disk")),
        (
            grpc(),
            with(grpc_error("no disk"), error()),
            Some("error: disk full"),
        ),
        (grpc(), grpc_error(""), None),
        (get(), head(500, &[message]), None),
        (get(), head(500, &[]), None),
        // Nothing went wrong.
        (get(), with(head(200, &[]), error()), None),
    ] {
        let call = after_head(server(request), &head);
        assert_eq!(cause(&call).as_deref(), says, "{head:?}");
    }
}

#[test]
fn cause_of_a_bad_end_is_what_came_of_the_body() {
    let mut short = after_head(server(get()), &head(200, &[("content-length", "5")]));
    short.on_data(b"hell");
    short.on_body_end();
    assert_eq!(cause(&short).as_deref(), Some("4 of 5 bytes"));

    let begun = || after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    let mut cut = begun();
    cut.on_body_end();
    assert_eq!(cause(&cut).as_deref(), Some("no status"));
    for (code, says) in [("13", Some("message: no disk")), ("0", None)] {
        let (mut call, mut trailers) = (begun(), trailers(code));
        trailers.insert("grpc-message", HeaderValue::from_static("no%20disk"));
        call.on_trailers(&trailers, None);
        assert_eq!(cause(&call).as_deref(), says, "{code}");
    }
}

#[test]
fn end_has_what_was_seen_of_the_answer() {
    let now = CallClock::default();
    let mut end = CallEnd::new(Outcome::Success, &now);
    let mut call = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    call.on_data(b"four");
    call.on_trailers(&trailers("5"), None);
    call.write_end(&mut end);
    assert_eq!((end.wire, end.response_bytes), (WireFormat::Grpc, 4));
    assert_eq!(CallState::wire(&call), WireFormat::Grpc);
    assert_eq!(end.status, Some(StatusCode::OK));
    assert_eq!(end.grpc_code, Some(GrpcCode::parse(b"5")));
    // What is known of a cause already stays.
    let mut known = CallEnd::new(Outcome::Failure, &now).with_cause(Cause::Panic("mine"));
    call.set_failure_detail(FailureDetail::MissingGrpcStatus);
    call.write_end(&mut known);
    assert!(matches!(known.cause, Some(Cause::Panic("mine"))));
}

#[test]
fn answer_in_the_services_place_is_noted() {
    let rejection = grpc_error("shed").into_parts().0;
    for (request, code) in [(grpc(), Some(GrpcCode::INTERNAL)), (get(), None)] {
        let mut call = server(request);
        call.set_local_response(&rejection, 7);
        let (status, sent) = (call.status, call.bytes_sent);
        assert_eq!((status, sent), (Some(StatusCode::OK), 7));
        assert_eq!(call.grpc_code, code);
    }
}

#[test]
fn time_limit_is_that_of_a_grpc_request() {
    let limited = |mut request: Req| {
        let limit = HeaderValue::from_static("2S");
        request.headers_mut().insert("grpc-timeout", limit);
        server(request).time_limit()
    };
    assert_eq!(limited(grpc()), Some(2 * SECOND));
    assert_eq!(limited(get()), None);
    assert_eq!(server(grpc()).time_limit(), None);
}

#[tokio::test(start_paused = true)]
async fn call_without_a_head_reports_how_long_its_upload_was_awaited() {
    let plain = server(get());
    assert!(!plain.has_upload() && CallState::upload(&plain).is_none());
    let call = uploading(server(get()), false);
    assert!(call.has_upload());
    let now = CallClock::default();
    let waited = |began: bool, head: bool| {
        let mut end = CallEnd::new(Outcome::TimedOut, &now);
        end.admitted_at = began.then(|| now.now());
        end.time_to_head = head.then_some(SECOND);
        call.write_end(&mut end);
        end.upload_wait
    };
    now.now();
    advance(SECOND).await;
    assert_eq!(
        (call.upload_wait(), plain.upload_wait()),
        (SECOND, Duration::ZERO)
    );
    let upload = CallState::upload(&call).expect("an upload");
    assert_eq!(upload.waited(), SECOND);
    assert_eq!(waited(true, false), SECOND);
    assert_eq!(waited(true, true), Duration::ZERO);
    assert_eq!(waited(false, false), Duration::ZERO);
}

fn elapsed(bound: TimeoutKind) -> Elapsed {
    Elapsed::new("limit".into(), bound, None)
}

#[test]
fn time_limit_of_this_process_knows_why_it_ran_out() {
    let late = |elapsed: Elapsed| with(head(504, &[]), left_error(elapsed));
    for (why, expected) in [
        (elapsed(TimeoutKind::Limit), LATE),
        (
            elapsed(TimeoutKind::Limit).blame_caller(),
            Classification::CALLER_FAULT,
        ),
        (
            elapsed(TimeoutKind::Deadline),
            Classification::new(Outcome::TimedOut, Evidence::Inconclusive),
        ),
    ] {
        let by_head = after_head(client(get()), &late(why.clone()));
        assert_eq!(
            (by_head.classification(), by_head.is_unexplained_timeout()),
            (expected, false)
        );
        let mut by_error = client(get());
        by_error.on_error(&why, None);
        assert_eq!(
            (by_error.classification(), by_error.is_unexplained_timeout()),
            (expected, false)
        );
    }
    let good = with(head(200, &[]), left_error(elapsed(TimeoutKind::Limit)));
    assert_eq!(
        after_head(client(get()), &good).classification(),
        Classification::SUCCESS
    );
    // An answer that is not a time limit's is expected by its status.
    let other = with(head(500, &[]), left_error(io::Error::other("disk full")));
    assert_eq!(
        after_head(client(get()), &other).classification(),
        Classification::FAILURE
    );

    let mut told = client(get());
    told.on_error(&ClassifiedError::new(LATE, "late".into()), None);
    assert_eq!(
        (told.classification(), told.is_unexplained_timeout()),
        (LATE, false)
    );
    let mut unknown = client(get());
    unknown.on_error(&io::Error::from(io::ErrorKind::TimedOut), None);
    assert_eq!(
        (unknown.classification(), unknown.is_unexplained_timeout()),
        (LATE, true)
    );
}

#[test]
fn error_of_a_call_whose_upload_stalls_is_the_callers_if_time_ran_out() {
    let classify = |broken: bool, error: &(dyn Error + 'static)| {
        let mut call = uploading(server(get()), broken);
        call.on_error(error, None);
        call.classification()
    };
    let late = io::Error::from(io::ErrorKind::TimedOut);
    let failed = io::Error::other("disk full");
    let rejected = Rejection::overloaded("inner");
    assert_eq!(classify(false, &late), Classification::CALLER_FAULT);
    assert_eq!(classify(false, &failed), Classification::FAILURE);
    assert_eq!(classify(true, &failed), Classification::CALLER_FAULT);
    // A rejection has not even looked at the upload.
    assert_eq!(classify(true, &rejected), Classification::REJECTED);
    let mut quick = server(get());
    quick.on_error(&late, None);
    assert_eq!(quick.classification(), LATE);
    assert!(!quick.blames_caller_for_timeout());
    assert!(uploading(server(get()), false).blames_caller_for_timeout());
}

#[test]
fn error_is_given_back_if_it_can_be_looked_into() {
    let mut call = client(get());
    let error = io::Error::other("disk full");
    let seen = call.on_any_error(&error, None).map(ToString::to_string);
    assert_eq!(seen.as_deref(), Some("disk full"));
}

#[test]
fn classification_is_attached_to_an_error_only_if_the_error_alone_is_classified_otherwise() {
    let agrees = Classifier::new(|_| Outcome::Failure);
    let mut call = of(Side::Client, &mut get(), Some(&agrees));
    let error: BoxError = "reset".into();
    call.on_error(&*error, None);
    let error = call.wrap_error(error);
    assert!(ClassifiedError::find(&*error).is_none());
}

#[test]
fn undecodable_request_is_known_by_code_and_message() {
    const MESSAGE: &str = "Missing%20request%20message.";
    let headers = |code: &'static str| {
        [
            SPEAKS_GRPC,
            ("grpc-status", code),
            ("grpc-message", MESSAGE),
        ]
    };
    let not_found = after_head(server(grpc()), &head(200, &headers("5")));
    assert_eq!(not_found.classification(), CLIENT_ERROR);
    let plain = after_head(server(get()), &head(500, &[("grpc-message", MESSAGE)]));
    assert_eq!(plain.classification(), Classification::FAILURE);
    let good = after_head(server(grpc()), &head(200, &headers("0")));
    assert_eq!(good.classification(), Classification::SUCCESS);
}

#[test]
fn status_in_the_head_ends_grpc_and_not_grpc_web() {
    let step = |request: Req, headers: &[(&'static str, &'static str)]| {
        let mut call = server(request);
        call.on_head((&head(200, headers)).into(), None, None)
    };
    let web = || web("application/grpc-web");
    let speaks_web = ("content-type", "application/grpc-web");
    let status = ("grpc-status", "0");
    assert_eq!(step(grpc(), &[SPEAKS_GRPC, status]), BodyExpected::No);
    assert_eq!(step(grpc(), &[SPEAKS_GRPC]), BodyExpected::Yes);
    assert_eq!(step(web(), &[speaks_web, status]), BodyExpected::Yes);
    assert_eq!(step(get(), &[]), BodyExpected::Yes);
}

#[test]
fn grpc_web_is_read_of_those_who_answer_in_it_or_must() {
    let page = head(200, &[("content-type", "text/html")]);
    let only_status = head(200, &[("grpc-status", "0")]);
    let mut insists = GrpcClient::new().read(&mut web("application/grpc-web"));
    insists.on_head((&page).into(), None, None);
    insists.on_body_end();
    assert_eq!(insists.classification(), Classification::FAILURE);
    for head in [page, only_status] {
        let mut call = after_head(client(web("application/grpc-web")), &head);
        assert!(call.frames().is_none());
        call.on_body_end();
        assert_eq!(call.classification(), Classification::SUCCESS);
    }
    // The status is in the head already, or in trailers.
    let speaks_web = ("content-type", "application/grpc-web");
    let status_first = head(200, &[speaks_web, ("grpc-status", "0")]);
    let told = after_head(client(web("application/grpc-web")), &status_first);
    assert!(told.frames().is_none());
    let mut insists = GrpcClient::new().read(&mut grpc());
    insists.on_head((&head(200, &[SPEAKS_GRPC])).into(), None, None);
    assert!(insists.frames().is_none());
    // The status is its word that it speaks gRPC.
    let told = after_head(client(grpc()), &head(200, &[("grpc-status", "0")]));
    assert_eq!(told.wire(), WireFormat::Grpc);
}

#[test]
fn frame_ends_the_call_at_end_of_stream_or_if_nothing_can_follow() {
    type Piece = Option<Result<Frame<Bytes>, BoxError>>;
    let data = || Piece::Some(Ok(Frame::data(Bytes::from_static(b"hello"))));
    let ends = |call: &mut HttpExchange, piece: &Piece, ended: bool| {
        call.on_frame(piece.as_ref(), ended, None)
    };
    let promised = || after_head(server(get()), &head(200, &[("content-length", "6")]));
    for (piece, ended, over, expected) in [
        (data(), false, false, Classification::SUCCESS),
        (data(), true, true, Classification::FAILURE),
        (None, true, true, Classification::FAILURE),
        (
            Some(Err("reset".into())),
            true,
            false,
            Classification::SUCCESS,
        ),
    ] {
        let mut call = promised();
        assert_eq!(ends(&mut call, &piece, ended), over, "{piece:?}");
        assert_eq!(call.classification(), expected, "{piece:?}");
    }
    let mut call = after_head(server(grpc()), &head(200, &[SPEAKS_GRPC]));
    assert!(!ends(&mut call, &data(), false));
    let end = Some(Ok(Frame::trailers(trailers("5"))));
    assert!(ends(&mut call, &end, false));
    assert_eq!(call.classification(), CLIENT_ERROR);
}

#[test]
fn body_ended_by_a_time_limit_is_classified_by_the_limit_if_its_reader_waited() {
    let promised = || head(200, &[("content-length", "5")]);
    for (data, waiting, expected) in [
        ("hell", true, LATE),
        ("hell", false, CANCELLED),
        ("hello", true, Classification::SUCCESS),
        ("hello!", true, Classification::FAILURE),
    ] {
        let mut call = after_head(server(get()), &promised());
        call.on_data(data.as_bytes());
        call.set_reader_waiting(waiting);
        assert_eq!(call.classify_drop(Some(LATE)), expected, "{data}");
    }
    // What is only known of the body is no promise.
    let mut long = server(get());
    long.on_head((&head(200, &[])).into(), Some(5), None);
    long.on_data(b"hello!");
    long.set_reader_waiting(true);
    assert_eq!(long.classify_drop(None), CANCELLED);
    let mut grpc = after_head(
        server(grpc()),
        &head(200, &[SPEAKS_GRPC, ("content-length", "5")]),
    );
    grpc.on_data(b"hello");
    grpc.set_reader_waiting(true);
    assert_eq!(grpc.classify_drop(None), CANCELLED, "its status is to come");
    assert_eq!(server(get()).classify_drop(Some(LATE)), LATE);
}

#[test]
fn panic_of_a_call_is_reported_by_the_call() {
    let mut call = server(get());
    assert_eq!(call.on_panic(), Classification::PANICKED);
    assert_eq!(call.classification(), Classification::PANICKED);
}
