//! Panics of the service, wherever they come from.

use std::{
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, util::MapResponse};
use tower_keep::{
    BoxError, GuardLayer,
    Outcome::{self, *},
    call::GrpcCode,
    testing::{RecordingGuard, Reply, ScriptedBody},
};

use super::{driver::*, requests::*};

/// The place where it panics, how, and how far the call is followed.
type Told = (&'static str, fn() -> Reply, Until);

/// The response was there, but what was left of the future panicked when it was let go, outside of the guards: the
/// call settled as cancelled, and a server's caller saw the panic instead of a 500.
#[test]
fn panic_in_drop_of_finished_future_is_panicked() {
    let call = Call {
        request: Request::default,
        reply: || Reply::ok().data("hello").panic_in_drop("let go"),
        until: Until::End,
    };
    on_each_side(call, |side, seen| {
        assert_eq!(seen.settled().outcome, Outcome::Panicked, "{side:?}");
        assert_eq!(seen.settled().cause.as_deref(), Some("panic: let go"));
        match side {
            Side::Server => assert_eq!((seen.status(), seen.panic), (500, None)),
            _ => assert_eq!(seen.panic.as_deref(), Some("let go"), "{side:?}"),
        }
    });
}

#[test]
fn panic_of_service_completes_then_answers_or_unwinds() {
    let panics: [Told; 3] = [
        ("in `call`", || Reply::panic_in_call("boom"), Until::End),
        (
            "in `poll`",
            || Reply::panic_in_poll("boom").pending(1),
            Until::End,
        ),
        (
            "in both",
            || Reply::panic_in_poll("boom").panic_in_drop("again"),
            Until::End,
        ),
    ];
    for (name, reply, until) in panics {
        for request in [get, grpc] {
            on_each_side(call(request, reply, until), |side, seen| {
                let what = format!("{name}, {side:?}");
                assert_eq!(seen.settled().outcome, Panicked, "{what}");
                assert_eq!(
                    seen.settled().cause.as_deref(),
                    Some("panic: boom"),
                    "{what}"
                );
                if side != Side::Server {
                    assert_eq!(seen.panic.as_deref(), Some("boom"), "{what}");
                    return;
                }
                assert_eq!(seen.panic, None, "{what}");
                let told = String::from_utf8_lossy(&seen.data);
                assert!(!told.contains("boom"), "strangers learn nothing: {told}");
                let head = seen.head.as_ref().expect("an answer");
                assert_eq!(head.headers["cache-control"], "no-store", "{what}");
                match seen.settled().grpc_code {
                    Some(code) => assert_eq!(code, GrpcCode::INTERNAL, "{what}"),
                    None => assert_eq!(seen.status(), 500, "{what}"),
                }
            });
        }
    }
}

/// Nobody may ever poll the future of a service that panicked in `call`: it settled as cancelled.
#[test]
fn panic_in_call_counts_if_future_unpolled() {
    let unpolled = call(get, || Reply::panic_in_call("boom"), Until::Polls(0));
    on_each_side(unpolled, |side, seen| {
        assert_eq!(seen.settled().outcome, Panicked, "{side:?}");
        assert_eq!(seen.settled().cause.as_deref(), Some("panic: boom"));
    });
}

#[test]
fn panic_of_body_completes_then_unwinds() {
    let panics: [Told; 4] = [
        (
            "in a poll",
            || body(no_size("hel").panic("boom")),
            Until::End,
        ),
        (
            "in its drop",
            || body(no_size("hel").end_after_extra_poll().panic_in_drop("boom")),
            Until::Frames(1),
        ),
        (
            "unread",
            || body(no_size("hel").panic_in_drop("boom")),
            Until::Frames(0),
        ),
        (
            "of a future",
            || Reply::hang().panic_in_drop("boom"),
            Until::Polls(1),
        ),
    ];
    for (name, reply, until) in panics {
        on_each_side(call(get, reply, until), |side, seen| {
            assert_eq!(seen.settled().outcome, Panicked, "{name}, {side:?}");
            assert_eq!(
                seen.settled().cause.as_deref(),
                Some("panic: boom"),
                "{name}"
            );
            assert_eq!(seen.panic.as_deref(), Some("boom"), "{name}, {side:?}");
        });
    }
}

/// A body's claims of itself may panic as well: the call settled as cancelled.
#[test]
fn panic_in_size_hint_is_panicked() {
    struct Moody(&'static str);
    impl Body for Moody {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.get_mut().0 = "polled";
            Poll::Ready(Some(Ok(Frame::data(Bytes::from("hello")))))
        }
        fn is_end_stream(&self) -> bool {
            if self.0 == "polled" {
                resume_unwind(Box::new("moody"))
            }
            false
        }
        fn size_hint(&self) -> SizeHint {
            if self.0 == "size" {
                resume_unwind(Box::new("moody"))
            }
            SizeHint::default()
        }
    }
    for mood in ["fine", "size"] {
        let spy = RecordingGuard::new();
        let moody = move |response: Response<ScriptedBody>| response.map(|_| Moody(mood));
        let script = MapResponse::new(scripted(Reply::ok), moody);
        let service = GuardLayer::server(spy.clone()).layer(script);
        let seen = play(service, &call(get, Reply::ok, Until::End));
        assert_eq!(spy.single().outcome, Panicked, "{mood}");
        assert_eq!(
            spy.single().cause.as_deref(),
            Some("panic: moody"),
            "{mood}"
        );
        match mood {
            "size" => assert_eq!((seen.status(), seen.panic), (500, None)),
            _ => assert_eq!(seen.panic.as_deref(), Some("moody")),
        }
    }
}

#[test]
fn panic_answered_further_in_is_panicked() {
    let (spy, script) = (
        RecordingGuard::new(),
        scripted(|| Reply::panic_in_poll("boom")),
    );
    let inner = GuardLayer::server(RecordingGuard::new()).layer(script);
    let seen = play(
        GuardLayer::server(spy.clone()).layer(inner),
        &call(get, Reply::ok, Until::End),
    );
    assert_eq!(seen.status(), 500);
    assert_eq!(spy.single().outcome, Panicked);
    assert_eq!(spy.single().cause.as_deref(), Some("panic: boom"));
}
