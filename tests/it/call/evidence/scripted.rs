//! Each row of the table of outcomes and evidence, by script. Over real connections: `tests/evidence`.

use std::task::Poll;

use tower::Layer;
use tower_keep::{
    CircuitBreaker, GuardLayer,
    Outcome::{self, *},
    call::Evidence::{self, *},
    testing::{CountingWaker, RecordingGuard, Reply, ScriptedBody},
};

use crate::guard::{driver::*, requests::*};

type Classified = (Outcome, Evidence);

const GOOD: Classified = (Success, Healthy);
const LEFT: Classified = (Cancelled, Healthy);
const CALLERS: Classified = (ClientError, Healthy);
const FAILED: Classified = (Failure, Unhealthy);
const BUSY: Classified = (Overload, Unhealthy);
const LATE: Classified = (TimedOut, Unhealthy);
const PANIC: Classified = (Panicked, Unhealthy);
const ABANDONED: Classified = (Cancelled, Inconclusive);
const REJECTED_INSIDE: Classified = (Rejected, Inconclusive);

/// The reader never looked at it, looked and found nothing, or read it all.
const NEVER: Until = Until::Frames(0);

#[test]
fn evidence_of_good_head_by_end_of_body() {
    table(&[
        row("read", get, || Reply::ok().data("hello"), GOOD),
        row(
            "read to a late end",
            get,
            || body(no_size("hello").end_after_extra_poll()),
            GOOD,
        ),
        row("empty", get, Reply::ok, GOOD),
        row("not looked at", get, || Reply::ok().data("hello"), LEFT)
            .on_clients(GOOD)
            .dropped(NEVER),
        row(
            "left half way",
            get,
            || Reply::ok().data("hel").data("lo"),
            LEFT,
        )
        .on_clients(GOOD)
        .dropped(Until::Frames(1)),
        row("given up", get, || body(no_size("hel").hang()), LEFT).dropped(Until::Frames(2)),
        row("gRPC, read", grpc, || Reply::grpc(0), GOOD),
        row("gRPC, left", grpc, || Reply::grpc(0), LEFT)
            .on_clients(GOOD)
            .dropped(Until::Frames(1)),
        row(
            "gRPC, given up",
            grpc,
            || ok_grpc().body(no_size("m").hang()),
            LEFT,
        )
        .dropped(Until::Frames(2)),
        row("gRPC in its head", grpc, || in_headers("0"), GOOD).dropped(NEVER),
        row("gRPC-Web", grpc_web, || web(0), GOOD),
    ]);
}

#[test]
fn evidence_of_empty_answers_and_redirects() {
    table(&[
        row("HEAD", head, || Reply::ok().data("hello"), GOOD).dropped(NEVER),
        row("204", get, || Reply::status(204).body(no_size("")), GOOD).dropped(NEVER),
        row("205", get, || Reply::status(205).body(no_size("")), GOOD).dropped(NEVER),
        row("304", get, || Reply::status(304).body(no_size("")), GOOD).dropped(NEVER),
        // A layer further out follows it, and nobody reads the page.
        row("redirect", get, || Reply::status(302).data("there"), LEFT)
            .on_clients(GOOD)
            .dropped(NEVER),
        row("tunnel", connect, || body(no_size("").hang()), GOOD).dropped(NEVER),
    ]);
}

#[test]
fn evidence_of_client_errors() {
    table(&[
        row("400", get, || Reply::status(400), CALLERS),
        row(
            "404, left",
            get,
            || Reply::status(404).data("lost"),
            CALLERS,
        )
        .dropped(NEVER),
        row("501", get, || Reply::status(501), CALLERS),
        row("505", get, || Reply::status(505), CALLERS),
        row("506", get, || Reply::status(506), CALLERS),
        row("508", get, || Reply::status(508), CALLERS),
        row("510", get, || Reply::status(510), CALLERS),
        row("511", get, || Reply::status(511), CALLERS),
        row("408", get, || Reply::status(408), CALLERS).on_clients((TimedOut, Inconclusive)),
        row("INVALID_ARGUMENT", grpc, || Reply::grpc(3), CALLERS),
        row("NOT_FOUND", grpc, || Reply::grpc(5), CALLERS),
        row("PERMISSION_DENIED", grpc, || in_headers("7"), CALLERS),
        row("UNIMPLEMENTED", grpc, || in_headers("12"), CALLERS),
        row("UNAUTHENTICATED", grpc, || in_headers("16"), CALLERS),
        row("CANCELLED", grpc, || Reply::grpc(1), ABANDONED),
    ]);
}

#[test]
fn evidence_of_bad_heads_and_broken_bodies() {
    table(&[
        row("500", get, || Reply::status(500).data("oh"), FAILED),
        row("500, left", get, || Reply::status(500).data("oh"), FAILED).dropped(NEVER),
        row(
            "500, given up",
            get,
            || Reply::status(500).body(no_size("").hang()),
            FAILED,
        )
        .dropped(Until::Frames(1)),
        row("503", get, || Reply::status(503), BUSY),
        row("429, left", get, || Reply::status(429).data("slow"), BUSY).dropped(NEVER),
        row("504", get, || Reply::status(504), LATE),
        row(
            "cut off",
            get,
            || body(no_size("hel").error("reset")),
            FAILED,
        ),
        row("shorter", get, || sized("6").body(no_size("hello")), FAILED),
        row("longer", get, || sized("4").body(no_size("hello")), FAILED),
        row(
            "longer, left",
            get,
            || sized("4").body(no_size("hello").end_after_extra_poll()),
            FAILED,
        )
        .dropped(Until::Frames(1)),
        row("UNKNOWN", grpc, || Reply::grpc(2), FAILED),
        row("DEADLINE_EXCEEDED", grpc, || Reply::grpc(4), LATE),
        row("RESOURCE_EXHAUSTED", grpc, || Reply::grpc(8), BUSY),
        row("INTERNAL", grpc, || in_headers("13"), FAILED),
        row("UNAVAILABLE", grpc, || Reply::grpc(14), FAILED),
        row("DATA_LOSS", grpc, || Reply::grpc(15), FAILED),
        row("no status", grpc, || ok_grpc().data("m"), FAILED),
        row(
            "gRPC, cut off",
            grpc,
            || ok_grpc().body(no_size("m").error("reset")),
            FAILED,
        ),
        row("gRPC-Web, UNAVAILABLE", grpc_web, || web(14), FAILED),
        row(
            "gRPC-Web, no status",
            grpc_web,
            || ok_grpc_web().data("m"),
            FAILED,
        ),
        row("a proxy's 503", grpc, || Reply::status(503), BUSY),
        row("a page", grpc, || Reply::ok().data("page"), GOOD).on_grpc_clients(FAILED),
    ]);
}

#[test]
fn evidence_of_calls_without_an_answer() {
    table(&[
        row("an error", get, || Reply::error("reset"), FAILED),
        row("out of time", get, || Reply::error(elapsed()), LATE),
        row("gRPC, an error", grpc, || Reply::error("reset"), FAILED),
        row("a panic", get, || Reply::panic_in_poll("boom"), PANIC),
        row(
            "gRPC, a panic",
            grpc,
            || Reply::panic_in_call("boom"),
            PANIC,
        ),
        row(
            "a panic of the body",
            get,
            || body(no_size("hel").panic("boom")),
            PANIC,
        ),
        row("abandoned", get, Reply::hang, ABANDONED).dropped(Until::Polls(2)),
        row("unpolled", get, Reply::ok, ABANDONED).dropped(Until::Polls(0)),
        row("gRPC, abandoned", grpc, Reply::hang, ABANDONED).dropped(Until::Polls(1)),
        row("rejected inside", get, rejected, REJECTED_INSIDE),
        row(
            "rejected with an error",
            get,
            || Reply::error(wrapped(rejection())),
            REJECTED_INSIDE,
        ),
        row(
            "rejected in the body",
            get,
            || body(no_size("").error(wrapped(rejection()))),
            REJECTED_INSIDE,
        ),
    ]);
}

// Rows about uploads, our own time limits and the caller's deadline belong here.

#[test]
fn evidence_of_plain_service() {
    type Plain = (&'static str, fn() -> Reply, usize, Classified);
    let table: &[Plain] = &[
        ("a value", Reply::ok, LONG, GOOD),
        ("an error", || Reply::error("reset"), LONG, FAILED),
        (
            "out of time",
            || Reply::error(wrapped(elapsed())),
            LONG,
            LATE,
        ),
        (
            "rejected",
            || Reply::error(wrapped(rejection())),
            LONG,
            REJECTED_INSIDE,
        ),
        #[cfg(feature = "tower")]
        (
            "shed by tower",
            || Reply::error(wrapped(tower::load_shed::error::Overloaded::new())),
            LONG,
            REJECTED_INSIDE,
        ),
        ("unpolled", Reply::ok, 0, ABANDONED),
        ("abandoned", Reply::hang, 3, ABANDONED),
        (
            "a panic in call",
            || Reply::panic_in_call("boom"),
            LONG,
            PANIC,
        ),
        (
            "a panic in poll",
            || Reply::panic_in_poll("boom"),
            LONG,
            PANIC,
        ),
    ];
    for &(name, reply, polls, classified) in table {
        let (outer, inner) = (RecordingGuard::new(), RecordingGuard::new());
        let guards = (outer.clone(), inner.clone());
        let mut service = GuardLayer::any(guards).layer(scripted(reply));
        let (mut seen, wakes) = (Seen::default(), CountingWaker::new());
        let future = seen.attempt(|| wakes.call(&mut service, "a request"));
        if let Some(mut future) = future {
            for _ in 0..polls {
                let polled = seen.attempt(|| wakes.poll(future.as_mut()));
                if !matches!(polled, Some(Poll::Pending)) {
                    break;
                }
            }
            seen.attempt(|| drop(future));
        }
        for spy in [outer, inner] {
            let settled = spy.single();
            assert_eq!((settled.outcome, settled.evidence), classified, "{name}");
        }
    }
}

/// No call, and no outcome: the peer could not even be asked.
#[test]
fn evidence_of_readiness_error() {
    let breaker = CircuitBreaker::builder("peer").min_calls(100);
    let breaker = breaker.build().expect("sound settings");
    let broken = || scripted(Reply::ok).fails_ready(|| "gone".into());
    let wakes = CountingWaker::new();
    let failed = |ready: Poll<bool>| assert_eq!(ready, Poll::Ready(false));
    let layer = breaker.layer();
    failed(
        wakes
            .poll_ready::<(), _>(&mut layer.any().layer(broken()))
            .map(|r| r.is_ok()),
    );
    let request = |ready: Poll<Result<(), tower_keep::BoxError>>| ready.map(|ready| ready.is_ok());
    let (server, client) = (breaker.layer().server(), breaker.layer().client());
    let grpc_client = breaker.layer().grpc_client();
    type Request = http::Request<ScriptedBody>;
    failed(request(
        wakes.poll_ready::<Request, _>(&mut server.layer(broken())),
    ));
    failed(request(
        wakes.poll_ready::<Request, _>(&mut client.layer(broken())),
    ));
    failed(request(
        wakes.poll_ready::<Request, _>(&mut grpc_client.layer(broken())),
    ));
    let back_pressure = client.back_pressure();
    failed(request(
        wakes.poll_ready::<Request, _>(&mut back_pressure.layer(broken())),
    ));
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (5, 5));
}

/// The head says it already; the end may know better.
#[test]
fn evidence_is_known_at_head() {
    for (reply, at_head, at_end) in [
        (Reply::ok as fn() -> Reply, GOOD, GOOD),
        (|| Reply::ok().data("hello"), GOOD, GOOD),
        (|| Reply::status(404), CALLERS, CALLERS),
        (|| Reply::status(503), BUSY, BUSY),
        (|| body(no_size("hel").error("reset")), GOOD, FAILED),
        (rejected, REJECTED_INSIDE, REJECTED_INSIDE),
    ] {
        let spy = RecordingGuard::new();
        let layer = GuardLayer::client(spy.clone());
        play(layer.layer(scripted(reply)), &call(get, reply, Until::End));
        let [seen] = &spy.heads()[..] else {
            panic!("one head expected")
        };
        assert_eq!((seen.outcome, seen.evidence), at_head);
        assert_eq!((spy.single().outcome, spy.single().evidence), at_end);
    }
}
