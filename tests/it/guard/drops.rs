//! Calls that are dropped before their end.

use std::{
    sync::{Arc, Weak},
    task::Poll,
    thread,
    time::Duration,
};

use tokio::time::advance;
use tower::{Layer, Service, service_fn};
use tower_keep::{
    GuardLayer,
    Outcome::{self, *},
    Rejection,
    call::{
        CallClock, CallEnd,
        Evidence::{self, *},
    },
    guard::{Admit, Guard},
    testing::{CountingWaker, RecordingGuard, Reply, ScriptedBody},
};

use super::{driver::*, requests::*};

#[test]
fn dropped_future_before_head_is_cancelled() {
    table(&[
        row("unpolled", get, Reply::ok, Cancelled).dropped(Until::Polls(0)),
        row("pending", get, || Reply::ok().pending(3), Cancelled).dropped(Until::Polls(2)),
        row("hanging", get, Reply::hang, Cancelled).dropped(Until::Polls(5)),
        row("gRPC", grpc, Reply::hang, Cancelled).dropped(Until::Polls(1)),
    ]);
}

/// A client's reader does not need what it does not wait for. A server's body is dropped because the client has gone.
#[test]
fn dropped_unread_body_is_success_on_client_only() {
    const GONE: (Outcome, Evidence) = (Cancelled, Healthy);
    table(&[
        row("unread", get, || Reply::ok().data("hello"), GONE)
            .on_clients(Success)
            .dropped_unread()
            .with_bytes(0),
        row("half way", get, || Reply::ok().data("hel").data("lo"), GONE)
            .on_clients(Success)
            .dropped(Until::Frames(1))
            .with_bytes(3),
        row(
            "who knows",
            get,
            || body(no_size("hello").end_after_extra_poll()),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(1))
        .with_bytes(5),
        row(
            "less than promised",
            get,
            || body(ScriptedBody::from("hel").declared_size(5)),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(0)),
        row("before its trailers", grpc, || Reply::grpc(0), GONE)
            .on_clients(Success)
            .dropped(Until::Frames(1)),
        row(
            "a watcher that takes one message",
            grpc,
            || ok_grpc().body(no_size("message").hang()),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(1)),
    ]);
}

#[test]
fn dropped_body_while_waiting_is_cancelled() {
    const GONE: (Outcome, Evidence) = (Cancelled, Healthy);
    table(&[
        row("nothing came", get, || body(no_size("").hang()), GONE).dropped(Until::Frames(1)),
        row(
            "more was to come",
            get,
            || body(no_size("hel").hang()),
            GONE,
        )
        .dropped(Until::Frames(2))
        .with_bytes(3),
        row(
            "promised bytes",
            get,
            || sized("5").body(no_size("hel").hang()),
            GONE,
        )
        .dropped(Until::Frames(2)),
        row(
            "the next message",
            grpc,
            || ok_grpc().body(no_size("message").hang()),
            GONE,
        )
        .dropped(Until::Frames(2)),
        // What came after it had waited ends the wait.
        row(
            "waited before",
            get,
            || body(no_size("").pending(1).data("hel").hang()),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(2)),
    ]);
}

#[test]
fn dropped_body_after_last_byte_is_complete() {
    const GONE: (Outcome, Evidence) = (Cancelled, Healthy);
    table(&[
        row(
            "by its size",
            get,
            || body(ScriptedBody::from("hello").end_after_extra_poll()),
            Success,
        )
        .dropped(Until::Frames(1))
        .with_bytes(5),
        row(
            "by its length",
            get,
            || sized("5").body(no_size("hello").end_after_extra_poll()),
            Success,
        )
        .dropped(Until::Frames(1)),
        row(
            "not quite",
            get,
            || sized("6").body(no_size("hello").end_after_extra_poll()),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(1)),
        row(
            "more than that",
            get,
            || sized("4").body(no_size("hello").end_after_extra_poll()),
            Failure,
        )
        .dropped(Until::Frames(1)),
        row(
            "no number",
            get,
            || sized("five").body(no_size("hello").end_after_extra_poll()),
            GONE,
        )
        .on_clients(Success)
        .dropped(Until::Frames(1)),
    ]);
}

/// Otherwise two 503s that a retry throws away count as nothing, and the breaker under it never opens.
#[test]
fn failed_head_decides_outcome_when_body_dropped() {
    table(&[
        row("503", get, || Reply::status(503).data("busy"), Overload).dropped_unread(),
        row("500", get, || Reply::status(500).data("oh"), Failure).dropped_unread(),
        row("404", get, || Reply::status(404).data("lost"), ClientError).dropped_unread(),
        row("14 in headers", grpc, || in_headers("14"), Failure).dropped_unread(),
        row(
            "a proxy's 502",
            grpc,
            || Reply::status(502).data("oh"),
            Failure,
        )
        .dropped_unread(),
        row("a rejection", get, || rejected().data("no"), Rejected).dropped_unread(),
    ]);
}

/// A caller that hangs up has cancelled: a deadline that it sent along does not make the peer slow.
#[tokio::test(start_paused = true)]
async fn dropped_call_is_cancelled_whatever_its_deadline() {
    let dropped_after = async |millis, reply: fn() -> Reply, polls_of_body| {
        let (spy, wakes) = (RecordingGuard::new(), CountingWaker::new());
        let script = scripted(reply);
        let mut service = GuardLayer::server(spy.clone()).layer(script);
        let mut future = wakes.call(&mut service, grpc_within("100m"));
        let polled = wakes.poll(future.as_mut());
        advance(Duration::from_millis(millis)).await;
        if let Poll::Ready(Ok(response)) = polled {
            let mut body = Box::pin(response.into_body());
            for _ in 0..polls_of_body {
                let _ = wakes.poll_frame(body.as_mut());
            }
        }
        drop(future);
        (spy.single().outcome, spy.single().evidence)
    };
    for millis in [94, 95, 200] {
        let before = dropped_after(millis, Reply::hang, 0).await;
        assert_eq!(before, (Cancelled, Inconclusive), "{millis} ms");
        let inside = dropped_after(millis, || Reply::grpc(0), 1).await;
        assert_eq!(inside, (Cancelled, Healthy), "{millis} ms");
        let whole = dropped_after(millis, || Reply::grpc(0), 2).await;
        assert_eq!(whole, (Success, Healthy), "{millis} ms");
        let bad = dropped_after(millis, || Reply::status(503).data("busy"), 0).await;
        assert_eq!(bad, (Overload, Unhealthy), "{millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_of_request_applies_to_grpc_only() {
    let (spy, wakes) = (RecordingGuard::new(), CountingWaker::new());
    let mut service = GuardLayer::server(spy.clone()).layer(scripted(Reply::hang));
    let mut request = grpc_within("1m");
    request.headers_mut().remove("content-type");
    let future = wakes.call(&mut service, request);
    advance(Duration::from_secs(1)).await;
    drop(future);
    assert_eq!(spy.single().outcome, Cancelled);
    assert_eq!(spy.single().admitted_at, None, "nobody asked for the time");
}

/// Threads count references for themselves; none of them keeps a guard.
#[test]
fn guards_are_dropped_with_the_last_handle_and_call_of_any_thread() {
    struct Watched(#[allow(dead_code)] Arc<()>);
    impl Guard for Watched {
        type Permit = ();
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Watched {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    let value = Arc::new(());
    let watch: Weak<()> = Arc::downgrade(&value);
    let hang = service_fn(|(): ()| std::future::pending::<Result<(), std::io::Error>>());
    let layer = GuardLayer::any(Watched(value)).pass_through();
    let service = layer.layer(hang);
    // These threads stay, and their calls end on another one.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stopped = Arc::new(std::sync::Mutex::new(stopped));
    let (calls, made) = std::sync::mpsc::channel();
    let threads = [(); 4].map(|()| {
        let (service, calls, stopped) = (service.clone(), calls.clone(), stopped.clone());
        thread::spawn(move || {
            let mut own = service.clone();
            drop(service);
            let _ = calls.send(own.call(()));
            drop((own, calls));
            let _ = stopped.lock().map(|stopped| stopped.recv());
        })
    });
    drop((layer, service, calls));
    let mut calls: Vec<_> = made.iter().collect();
    assert_eq!(calls.len(), threads.len());
    let last = calls.pop();
    drop(calls);
    assert!(watch.upgrade().is_some());
    drop(last);
    assert!(watch.upgrade().is_none());
    drop(stop);
    for thread in threads {
        thread.join().expect("no panic");
    }
}
