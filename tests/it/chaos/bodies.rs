//! Bodies that break off, or come slowly.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    chaos::{Chaos, ChaosLayer, FaultKind, InjectedFault},
    testing::{Reply, Script, ScriptedBody},
};

use super::{SECOND, get, on};

/// Returns the response of a client, whose service responds with this body.
async fn respond(
    chaos: &Chaos,
    body: fn() -> ScriptedBody,
) -> impl Body<Data = Bytes, Error = BoxError> + Unpin + use<> {
    let service = service_fn(move |_| async move { Ok::<_, BoxError>(Response::new(body())) });
    let response = ChaosLayer::client(chaos)
        .layer(service)
        .oneshot(get("/"))
        .await;
    Box::pin(response.expect("a response").into_body())
}

/// Reads a body: its bytes, its trailers, and whether it failed by a fault.
async fn read(mut body: impl Body<Data = Bytes, Error = BoxError> + Unpin) -> (usize, bool, bool) {
    let (mut bytes, mut has_trailers) = (0, false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => bytes += data.len(),
                Err(_) => has_trailers = true,
            },
            Err(error) => {
                let fault = error.downcast_ref::<InjectedFault>().expect("injected");
                assert_eq!(fault.kind(), FaultKind::BodyCut);
                assert!(body.is_end_stream() && body.frame().await.is_none());
                return (bytes, has_trailers, true);
            }
        }
    }
    (bytes, has_trailers, false)
}

fn cut(after: u64) -> Chaos {
    on("bodies", |chaos| chaos.cut_rate(1.0).cut_after(after))
}

#[tokio::test(start_paused = true)]
async fn body_breaks_off_after_so_many_bytes() {
    let frames = || {
        ScriptedBody::new()
            .data("12345")
            .data("67890")
            .data("abcde")
    };
    let chaos = cut(7);
    let body = respond(&chaos, frames).await;
    assert_eq!(body.size_hint().exact(), Some(15), "what it promises");
    assert_eq!(read(body).await, (7, false, true));
    assert_eq!(chaos.injected_count(FaultKind::BodyCut), 1);
    assert_eq!(read(respond(&cut(5), frames).await).await, (5, false, true));
    assert_eq!(read(respond(&cut(0), frames).await).await, (0, false, true));
}

#[tokio::test(start_paused = true)]
async fn short_body_breaks_off_before_its_end() {
    let known = || ScriptedBody::from("1234567890");
    assert_eq!(read(respond(&cut(10), known).await).await, (5, false, true));
    let unknown = || ScriptedBody::from("1234567890").without_size_hint();
    assert_eq!(
        read(respond(&cut(99), unknown).await).await,
        (10, false, true)
    );
    let trailers = || unknown_with_trailers();
    assert_eq!(
        read(respond(&cut(99), trailers).await).await,
        (10, false, true)
    );
}

fn unknown_with_trailers() -> ScriptedBody {
    let body = ScriptedBody::from("1234567890").without_size_hint();
    body.trailers([("grpc-status", "0")])
}

#[tokio::test(start_paused = true)]
async fn empty_body_and_one_that_fails_by_itself_are_left_alone() {
    let chaos = cut(100);
    assert_eq!(
        read(respond(&chaos, ScriptedBody::new).await).await,
        (0, false, false)
    );
    let failing = || ScriptedBody::from("1").error("reset").without_size_hint();
    let error = respond(&chaos, failing).await.collect().await.err();
    assert_eq!(error.expect("an error").to_string(), "reset");
    assert_eq!(chaos.injected_count(FaultKind::BodyCut), 0);
}

#[tokio::test(start_paused = true)]
async fn body_that_would_break_off_does_not_once_the_chaos_is_off() {
    let chaos = cut(3);
    let mut body = respond(&chaos, || ScriptedBody::new().data("123").data("456")).await;
    body.frame().await.expect("a frame").expect("data");
    chaos.disable();
    assert_eq!(read(body).await, (3, false, false));
}

#[tokio::test(start_paused = true)]
async fn slow_body_comes_in_pieces_at_its_speed() {
    let chaos = on("bodies", |chaos| chaos.slow_rate(1.0).slow_speed(100));
    let frames = || {
        let body = ScriptedBody::from("12345678901234567890").without_size_hint();
        body.trailers([("grpc-status", "0")])
    };
    let mut body = respond(&chaos, frames).await;
    assert_eq!(chaos.delayed_count(), 1);
    let begun = Instant::now();
    let first = body.frame().await.expect("a frame").expect("data");
    assert_eq!(
        first.into_data().expect("data").len(),
        10,
        "a tenth of a second"
    );
    assert_eq!(begun.elapsed(), SECOND / 10);
    assert_eq!(read(body).await, (10, true, false));
    assert_eq!((begun.elapsed(), chaos.delayed_count()), (SECOND / 5, 0));
    assert_eq!(chaos.injected_count(FaultKind::BodySlow), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_body_promises_its_size_and_its_end_truly() {
    let chaos = on("bodies", |chaos| chaos.slow_rate(1.0).slow_speed(10));
    let mut body = respond(&chaos, || ScriptedBody::from("12345")).await;
    for left in (1..=5).rev() {
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(left), false)
        );
        body.frame().await.expect("a frame").expect("data");
    }
    assert_eq!(
        (body.size_hint().exact(), body.is_end_stream()),
        (Some(0), true)
    );
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn slow_body_comes_at_once_when_the_chaos_is_switched_off() {
    let chaos = on("bodies", |chaos| chaos.slow_rate(1.0).slow_speed(1));
    let body = respond(&chaos, || ScriptedBody::from("1234567890")).await;
    let begun = Instant::now();
    let reader = tokio::spawn(read(body));
    tokio::time::sleep(SECOND * 5 / 2).await;
    chaos.disable();
    assert_eq!(reader.await.expect("no panic"), (10, false, false));
    assert_eq!(
        (begun.elapsed(), chaos.delayed_count()),
        (SECOND * 5 / 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn slow_body_that_is_dropped_holds_nothing() {
    let chaos = on("bodies", |chaos| {
        chaos.slow_rate(1.0).slow_speed(1).max_delayed(1)
    });
    let body = respond(&chaos, || ScriptedBody::from("1234567890")).await;
    let second = respond(&chaos, || ScriptedBody::from("1234567890")).await;
    let begun = Instant::now();
    assert_eq!(read(second).await, (10, false, false));
    assert_eq!(
        (begun.elapsed(), chaos.skipped_count()),
        (Duration::ZERO, 1)
    );
    drop(body);
    assert_eq!(chaos.delayed_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_plain_services_are_left_alone() {
    let chaos = on("bodies", |chaos| chaos.cut_rate(1.0));
    let script: Script = Script::always(|| Reply::ok().data("hello"));
    let response = ChaosLayer::any(&chaos).layer(script).oneshot("ask").await;
    let body = response.expect("a response").into_body().collect().await;
    assert_eq!(body.expect("whole").to_bytes(), "hello");
}
