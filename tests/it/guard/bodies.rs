//! The body's own claims: length and end.

use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use tower::Layer;
use tower_keep::{
    GuardLayer, Rejection,
    testing::{CountingWaker, RecordingGuard, Reply, ScriptedBody},
};

use super::{driver::*, requests::*};

/// Says what there is to know of a body at each step.
fn described<B>(body: B) -> Vec<(bool, u64, Option<u64>, bool)>
where
    B: Body<Data = Bytes>,
{
    let (wakes, mut body) = (CountingWaker::new(), Box::pin(body));
    let mut told = Vec::new();
    for _ in 0..LONG {
        let (ended, hint) = (body.is_end_stream(), body.size_hint());
        let polled = wakes.poll_frame(body.as_mut());
        told.push((ended, hint.lower(), hint.upper(), polled.is_pending()));
    }
    told
}

#[test]
fn body_keeps_size_hint_and_end_of_inner_one() {
    let bodies: [fn() -> ScriptedBody; 7] = [
        ScriptedBody::new,
        || ScriptedBody::from("hello"),
        || {
            ScriptedBody::from("hel")
                .pending(2)
                .data("lo")
                .end_after_extra_poll()
        },
        || no_size("hello").end_after_extra_poll(),
        || ScriptedBody::from("hello").trailers([("grpc-status", "0")]),
        || ScriptedBody::from("hel").error("reset"),
        || ScriptedBody::from("hel").declared_size(7),
    ];
    for make in bodies {
        for request in [get, head, grpc] {
            let script = scripted(move || Reply::ok().body(make()));
            let mut service = GuardLayer::server(RecordingGuard::new()).layer(script);
            let (wakes, request) = (CountingWaker::new(), request());
            let mut future = wakes.call(&mut service, request);
            let Poll::Ready(Ok(response)) = wakes.poll(future.as_mut()) else {
                panic!("no answer");
            };
            assert_eq!(described(response.into_body()), described(make()));
        }
    }
}

/// HTTP/2 would close the stream at once, and the status would be lost.
#[test]
fn body_is_not_end_stream_before_trailers() {
    let script = scripted(|| Reply::grpc(0));
    let mut service = GuardLayer::server(RecordingGuard::new()).layer(script);
    let wakes = CountingWaker::new();
    let mut future = wakes.call(&mut service, grpc());
    let Poll::Ready(Ok(response)) = wakes.poll(future.as_mut()) else {
        panic!("no answer");
    };
    let mut body = Box::pin(response.into_body());
    while let Poll::Ready(Some(Ok(frame))) = {
        assert!(!body.is_end_stream());
        wakes.poll_frame(body.as_mut())
    } {
        if frame.is_trailers() {
            break;
        }
    }
    assert!(body.is_end_stream());
}

#[test]
fn rejection_response_has_exact_size() {
    let rejecting = RecordingGuard::rejecting(Rejection::overloaded("shed"));
    let mut service = GuardLayer::server(rejecting).layer(scripted(Reply::ok));
    let wakes = CountingWaker::new();
    let mut future = wakes.call(&mut service, get());
    let Poll::Ready(Ok(response)) = wakes.poll(future.as_mut()) else {
        panic!("no answer");
    };
    let mut body = Box::pin(response.into_body());
    let size = body.size_hint().exact().expect("a size");
    assert!(size > 0 && !body.is_end_stream());
    let Poll::Ready(Some(Ok(frame))) = wakes.poll_frame(body.as_mut()) else {
        panic!("no frame");
    };
    assert_eq!(frame.into_data().expect("data").len() as u64, size);
    assert!(body.is_end_stream());
    assert!(matches!(wakes.poll_frame(body.as_mut()), Poll::Ready(None)));
}
