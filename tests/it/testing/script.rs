//! Scripted services and bodies do what they are told.

use std::{pin::pin, task::Poll, time::Duration};

use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Service, ServiceExt};
use tower_keep::{
    BoxError,
    testing::{CountingWaker, ReadyChecked, Reply, Script, ScriptedBody},
};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the message with which a call panics.
fn panic_of<R>(work: impl FnOnce() -> R) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let payload = caught.map(drop).expect_err("a panic");
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref().cloned())
        .expect("a text")
}

#[tokio::test]
async fn script_sets_status_headers_and_extensions() {
    let reply = Reply::status(503)
        .header("retry-after", "1")
        .extension(7_u8);
    let script: Script = Script::new([reply]);
    let response = script.clone().oneshot(()).await.expect("an answer");
    assert_eq!(
        (response.status(), script.calls()),
        (503.try_into().unwrap(), 1)
    );
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.extensions().get(), Some(&7_u8));
    assert_eq!(script.in_flight(), 1, "its body is still there");
    drop(response);
    assert_eq!(script.in_flight(), 0);
}

#[tokio::test]
async fn script_sends_trailers_last() {
    let script: Script = Script::new([Reply::grpc(14)]);
    let response = script.oneshot(()).await.expect("an answer");
    let body = response.into_body().collect().await.expect("whole");
    let trailers = body.trailers().map(HeaderMap::len);
    assert_eq!(trailers, Some(1));
    assert_eq!(body.trailers().unwrap()["grpc-status"], "14");
    assert_eq!(body.to_bytes().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn script_delays_head_and_body() {
    let begun = Instant::now();
    let body = ScriptedBody::from("one").after(2 * SECOND).data("two");
    let script: Script = Script::new([Reply::ok().after(SECOND).body(body)]);
    let response = script.clone().oneshot(()).await.expect("an answer");
    assert_eq!(begun.elapsed(), SECOND);
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(6));
    body.frame().await.expect("one").expect("whole");
    assert_eq!(begun.elapsed(), SECOND);
    assert!(!body.is_end_stream());
    body.frame().await.expect("two").expect("whole");
    assert_eq!(begun.elapsed(), 3 * SECOND);
    assert!(body.is_end_stream());
    assert_eq!(script.wakes(), 0, "the clock does that");
}

#[tokio::test]
async fn script_fails_head_or_body() {
    let cut = ScriptedBody::from("half").error("reset");
    let script: Script = Script::new([Reply::error("refused"), Reply::ok().body(cut)]);
    let error = script.clone().oneshot(()).await.expect_err("refused");
    assert_eq!(error.to_string(), "refused");
    let response = script.oneshot(()).await.expect("an answer");
    let mut body = response.into_body();
    assert!(body.frame().await.expect("half").is_ok());
    let error = body.frame().await.expect("an end").expect_err("cut");
    assert_eq!(error.to_string(), "reset");
    // Short of what it has promised, without an error.
    let mut short = ScriptedBody::from("half").declared_size(8);
    short.frame().await.expect("half").expect("whole");
    assert_eq!(short.size_hint().exact(), Some(4));
    assert!(short.frame().await.is_none());
}

#[test]
fn script_pending_wakes_and_hang_does_not() {
    let wakes = CountingWaker::new();
    let hanging = ScriptedBody::new().pending(1).hang();
    let replies = [Reply::ok().pending(2).body(hanging), Reply::hang()];
    let mut script: Script = Script::new(replies);
    let mut call = wakes.call(&mut script, ());
    assert!(wakes.poll(call.as_mut()).is_pending() && wakes.poll(call.as_mut()).is_pending());
    let Poll::Ready(Ok(response)) = wakes.poll(call.as_mut()) else {
        panic!("no answer");
    };
    let mut body = pin!(response.into_body());
    for _ in 0..3 {
        assert!(wakes.poll_frame(body.as_mut()).is_pending());
    }
    assert_eq!((wakes.count(), script.wakes()), (3, 3));
    let mut hanging = wakes.call(&mut script, ());
    assert!(wakes.poll(hanging.as_mut()).is_pending());
    assert_eq!((wakes.count(), script.in_flight()), (3, 2));
}

#[test]
fn script_panics_where_configured() {
    let wakes = CountingWaker::new();
    let replies = [
        Reply::panic_in_call("call"),
        Reply::panic_in_poll("poll"),
        Reply::ok().panic_in_drop("drop"),
        Reply::ok().body(ScriptedBody::new().panic("body")),
        Reply::ok().body(ScriptedBody::new().panic_in_drop("drop of the body")),
    ];
    let mut script: Script = Script::new(replies);
    assert_eq!(panic_of(|| wakes.call(&mut script, ())), "call");
    let mut call = wakes.call(&mut script, ());
    assert_eq!(panic_of(|| wakes.poll(call.as_mut())), "poll");
    let call = wakes.call(&mut script, ());
    assert_eq!(panic_of(|| drop(call)), "drop");
    let mut body = || {
        let mut call = wakes.call(&mut script, ());
        match wakes.poll(call.as_mut()) {
            Poll::Ready(Ok(response)) => Box::pin(response.into_body()),
            _ => panic!("no answer"),
        }
    };
    let mut panics = body();
    assert_eq!(panic_of(|| wakes.poll_frame(panics.as_mut())), "body");
    let panics = body();
    assert_eq!(panic_of(|| drop(panics)), "drop of the body");
    let asked_too_often = panic_of(|| wakes.call(&mut script, ()));
    assert_eq!(asked_too_often, "no reply is left for request 5");
}

#[test]
fn script_readiness_is_late_never_or_fails() {
    let wakes = CountingWaker::new();
    let script = || Script::always(Reply::<BoxError>::ok);
    let ready = |script: &mut Script| wakes.poll_ready::<(), _>(script);
    let mut late = script().ready_after(1);
    for _ in 0..2 {
        assert!(ready(&mut late).is_pending() && ready(&mut late).is_ready());
        drop(late.call(()));
    }
    assert_eq!((wakes.count(), late.wakes()), (2, 2));
    assert!(ready(&mut late.clone()).is_pending(), "a clone has yet to");
    assert!(ready(&mut script().never_ready()).is_pending());
    let Poll::Ready(Err(error)) = ready(&mut script().fails_ready(|| "closed".into())) else {
        panic!("no error");
    };
    assert_eq!(error.to_string(), "closed");
}

#[test]
fn strict_counts_calls_without_readiness() {
    let wakes = CountingWaker::new();
    let mut strict = ReadyChecked::new(Script::always(Reply::<BoxError>::ok));
    drop(wakes.call(&mut strict, Request::new(())));
    let mut clone = strict.clone();
    assert!(wakes.poll_ready::<(), _>(&mut strict).is_ready());
    let says = "called on a handle that was not itself polled ready";
    assert_eq!(panic_of(|| clone.call(())), says);
    assert_eq!((strict.violations(), strict.get_ref().calls()), (1, 1));
}
