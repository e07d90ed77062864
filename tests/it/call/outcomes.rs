//! Outcomes by head, body, error and value.

use std::{
    convert::Infallible,
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Poll,
};

use http::Request;
use tower::{Layer, Service};
use tower_keep::{
    GuardLayer,
    Outcome::{self, *},
    Track,
    call::{ClassifyInput, Evidence::*},
    context::Correlate,
    testing::{CountingWaker, RecordingGuard, Reply, Script, ScriptedBody},
};

use crate::guard::{driver::*, requests::*};

#[test]
fn outcome_of_http_status() {
    table(&[
        row("200", get, || Reply::ok().data("hello"), Success),
        row("302", get, || Reply::status(302), Success),
        row("400", get, || Reply::status(400), ClientError),
        row("404", get, || Reply::status(404).data("lost"), ClientError),
        row("408", get, || Reply::status(408), ClientError).on_clients((TimedOut, Inconclusive)),
        row("429", get, || Reply::status(429), Overload),
        row("500", get, || Reply::status(500).data("oh"), Failure),
        row("502", get, || Reply::status(502), Failure),
        row("503", get, || Reply::status(503), Overload),
        row("504", get, || Reply::status(504), TimedOut),
        // A method, version or extension that the caller chose, and a login that it lacks.
        row("501", get, || Reply::status(501), ClientError),
        row("505", get, || Reply::status(505), ClientError),
        row("506", get, || Reply::status(506), ClientError),
        row("507", get, || Reply::status(507), Failure),
        row("508", get, || Reply::status(508), ClientError),
        row("510", get, || Reply::status(510), ClientError),
        row("511", get, || Reply::status(511), ClientError),
    ]);
}

/// None of these bodies is ever read to its end: servers and clients know that nothing is to come.
#[test]
fn outcome_of_bodyless_response_is_set_at_head() {
    table(&[
        row("HEAD", head, || Reply::ok().data("hello"), Success).dropped_unread(),
        row(
            "HEAD 404",
            head,
            || Reply::status(404).data("lost"),
            ClientError,
        )
        .dropped_unread(),
        row(
            "HEAD 503",
            head,
            || Reply::status(503).data("busy"),
            Overload,
        )
        .dropped_unread(),
        row("204", get, || Reply::status(204).body(no_size("")), Success).dropped_unread(),
        row("205", get, || Reply::status(205).body(no_size("")), Success).dropped_unread(),
        row(
            "304",
            get,
            || Reply::status(304).header("content-length", "7"),
            Success,
        )
        .dropped_unread(),
        row(
            "101",
            get,
            || Reply::status(101).body(no_size("").hang()),
            Success,
        )
        .dropped_unread(),
        row("CONNECT 200", connect, || body(no_size("").hang()), Success).dropped_unread(),
        row("CONNECT 403", connect, || Reply::status(403), ClientError).dropped_unread(),
        row("an empty body", get, Reply::ok, Success).dropped_unread(),
        row(
            "length 0",
            get,
            || body(ScriptedBody::new().end_after_extra_poll()),
            Success,
        )
        .dropped_unread(),
    ]);
}

#[test]
fn outcome_of_error_by_its_source_chain() {
    table(&[
        row("an error", get, || Reply::error("reset"), Failure).with_cause("reset"),
        row(
            "out of time",
            get,
            || Reply::error(io::Error::from(io::ErrorKind::TimedOut)),
            TimedOut,
        ),
        row(
            "elapsed",
            get,
            || Reply::error(wrapped(elapsed())),
            TimedOut,
        ),
        row("a rejection", get, || Reply::error(rejection()), Rejected).with_cause(REJECTED),
        row(
            "a rejection below",
            get,
            || Reply::error(wrapped(rejection())),
            Rejected,
        )
        .with_cause(REJECTED),
    ]);
}

#[test]
fn outcome_of_body_error_is_that_of_the_call() {
    table(&[
        row(
            "an error",
            get,
            || body(no_size("hel").error("reset")),
            Failure,
        )
        .with_cause("reset")
        .with_bytes(3),
        row(
            "of a gRPC call",
            grpc,
            || body(no_size("hel").error("reset")),
            Failure,
        )
        .with_cause("reset"),
        row(
            "out of time",
            get,
            || body(no_size("").error(wrapped(elapsed()))),
            TimedOut,
        ),
        row(
            "a rejection",
            get,
            || body(no_size("").error(wrapped(rejection()))),
            Rejected,
        ),
        // A guard further in has rejected already: a connection that breaks then changes nothing.
        row(
            "of the answer to a rejection",
            get,
            || {
                Reply::status(503)
                    .extension(rejection())
                    .body(no_size("so").error("reset"))
            },
            Rejected,
        )
        .with_cause(REJECTED),
        // Whoever goes on polling learns no more, and nothing is recorded twice.
        row(
            "and more",
            get,
            || body(no_size("").error("reset").data("x").error("y")),
            Failure,
        )
        .with_cause("reset"),
    ]);
}

#[test]
fn cause_is_error_in_response_extensions() {
    table(&[
        row(
            "with a 500",
            get,
            || Reply::status(500).extension(left_behind()),
            Failure,
        )
        .with_cause("no disk"),
        row(
            "with a 200",
            get,
            || Reply::ok().extension(left_behind()),
            Success,
        ),
    ]);
}

#[test]
fn classifier_decides_last_and_runs_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    fn lost_index(end: &ClassifyInput<'_>) -> Outcome {
        ASKED.fetch_add(1, Relaxed);
        let lost = end.status().is_some_and(|status| status == 404)
            || end.grpc_code().is_some_and(|code| code.as_u8() == 5)
            || end
                .error()
                .is_some_and(|error| error.to_string() == "reset");
        if lost { Overload } else { end.outcome() }
    }
    let calls = [
        call(get, || Reply::status(404), Until::End),
        call(grpc, || Reply::grpc(5), Until::End),
        call(grpc, || in_headers("5"), Until::End),
        call(get, || Reply::error("reset"), Until::End),
    ];
    for played in calls {
        let spy = RecordingGuard::new();
        let layer = GuardLayer::client(spy.clone()).classify(lost_index);
        ASKED.store(0, Relaxed);
        play(layer.layer(scripted(played.reply)), &played);
        assert_eq!(spy.single().outcome, Overload);
        assert_eq!(ASKED.load(Relaxed), 1);
    }
}

#[test]
fn outcome_of_wrong_content_length_is_failure() {
    table(&[
        row(
            "shorter",
            get,
            || sized("6").body(no_size("hello")),
            Failure,
        )
        .with_cause("5 of 6 bytes"),
        row(
            "shorter, with a late end",
            get,
            || sized("6").body(no_size("hello").end_after_extra_poll()),
            Failure,
        )
        .with_cause("5 of 6 bytes"),
        row("empty", get, || sized("6"), Failure).with_cause("0 of 6 bytes"),
        row("longer", get, || sized("4").body(no_size("hello")), Failure)
            .with_cause("5 of 4 bytes"),
        row(
            "with trailers",
            get,
            || sized("6").body(no_size("hello").trailers([("a", "b")])),
            Failure,
        )
        .with_cause("5 of 6 bytes"),
        row("exact", get, || sized("5").body(no_size("hello")), Success),
        // Bad news stays what it was.
        row(
            "of a 404",
            get,
            || {
                Reply::status(404)
                    .header("content-length", "9")
                    .data("lost")
            },
            ClientError,
        ),
        row("of a HEAD", head, || sized("9"), Success),
    ]);
}

/// tower's own load shedding is a rejection of this process, as are ours.
#[cfg(feature = "tower")]
#[test]
fn outcome_of_tower_load_shed_is_rejected() {
    let shed = || Reply::error(wrapped(tower::load_shed::error::Overloaded::new()));
    table(&[
        row("shed", get, shed, Rejected),
        row("gRPC", grpc, shed, Rejected),
    ]);
}

#[test]
fn outcome_of_plain_service_is_by_result() {
    type Plain = (fn() -> Reply, usize, Outcome, Option<&'static str>);
    let table: [Plain; 8] = [
        (Reply::ok, LONG, Success, None),
        (|| Reply::status(500), LONG, Success, None), // no more than a value
        (|| Reply::error("reset"), LONG, Failure, Some("reset")),
        (
            || Reply::error(wrapped(elapsed())),
            LONG,
            TimedOut,
            Some("wrapped"),
        ),
        (
            || Reply::error(wrapped(rejection())),
            LONG,
            Rejected,
            Some(REJECTED),
        ),
        (Reply::hang, 3, Cancelled, None),
        (
            || Reply::panic_in_call("boom"),
            LONG,
            Panicked,
            Some("panic: boom"),
        ),
        (
            || Reply::panic_in_poll("boom"),
            LONG,
            Panicked,
            Some("panic: boom"),
        ),
    ];
    for (reply, polls, outcome, cause) in table {
        let (spy, script) = (RecordingGuard::new(), scripted(reply));
        let mut service =
            GuardLayer::any((spy.clone(), RecordingGuard::new())).layer(script.clone());
        let mut seen = Seen::default();
        let wakes = CountingWaker::new();
        let future = seen.attempt(|| wakes.call(&mut service, "a request"));
        if let Some(mut future) = future {
            for _ in 0..polls {
                let polled = seen.attempt(|| wakes.poll(future.as_mut()));
                if !matches!(polled, Some(Poll::Pending)) {
                    break;
                }
            }
        }
        assert_eq!(spy.single().outcome, outcome);
        assert_eq!(spy.single().cause.as_deref(), cause);
        assert_eq!(
            seen.panic.is_some(),
            outcome == Panicked,
            "panics are passed on"
        );
        assert_eq!(script.in_flight(), 0);
    }
}

#[test]
fn readiness_error_is_no_call() {
    let spy = RecordingGuard::new();
    let script = scripted(Reply::ok).fails_ready(|| "gone".into());
    let mut service = GuardLayer::any((spy.clone(), None::<RecordingGuard>)).layer(script);
    let ready = CountingWaker::new().poll_ready::<(), _>(&mut service);
    assert!(matches!(ready, Poll::Ready(Err(error)) if error.to_string() == "gone"));
    assert_eq!((spy.readiness_failures(), spy.admitted()), (1, 0));
}

/// `Router::layer` takes nothing else.
#[test]
fn server_error_type_stays_infallible() {
    fn infallible<S: Service<Request<ScriptedBody>, Error = Infallible>>(_: &S) {}
    let script = Script::<Infallible>::always(Reply::ok);
    let service = GuardLayer::server((Correlate::default(), Track::new("x"))).layer(script);
    infallible(&service);
    infallible(&GuardLayer::server(RecordingGuard::new()).layer(service));
}
