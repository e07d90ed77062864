//! Time limits of bodies.

use std::{convert::Infallible, time::Duration};

use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome,
    call::{Elapsed, Evidence, TimeoutKind},
    protocol::Server,
    testing::{RecordingGuard, ScriptedBody},
    timeout::{Deadline, TimeoutLayer},
};

use super::{MILLI, SECOND};

type Frames = Vec<Duration>;

/// A frame after each of these waits, then the end.
fn paced(waits: &[Duration]) -> ScriptedBody {
    let frames = waits.iter();
    let body = frames.fold(ScriptedBody::new(), |body, wait| {
        body.after(*wait).data("data")
    });
    body.without_size_hint().end_after_extra_poll()
}

/// Returns how many frames come, what ends them, and after how long.
async fn read(
    layer: &TimeoutLayer<Server>,
    request: Request<ScriptedBody>,
    waits: Frames,
    reader: Duration,
) -> (usize, Option<TimeoutKind>, Duration) {
    let service = service_fn(move |_| {
        let body = paced(&waits);
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = layer.layer(service);
    let begun = Instant::now();
    let response = service
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {});
    let (mut body, mut frames) = (response.into_body(), 0);
    let end = loop {
        match body.frame().await {
            Some(Ok(_)) => frames += 1,
            Some(Err(error)) => {
                assert!(body.is_end_stream() && body.frame().await.is_none());
                let elapsed: &Elapsed = error.downcast_ref().expect("an Elapsed");
                break Some(elapsed.kind());
            }
            None => break None,
        }
        sleep(reader).await;
    };
    (frames, end, begun.elapsed())
}

fn plain() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_ends_resting_body_not_slow_one() {
    let layer = TimeoutLayer::server(SECOND).body_idle(SECOND);
    let slow = vec![SECOND; 60];
    assert_eq!(
        read(&layer, plain(), slow, Duration::ZERO).await,
        (60, None, 60 * SECOND)
    );
    let resting = vec![SECOND, SECOND + MILLI];
    let end = Some(TimeoutKind::BodyIdle);
    assert_eq!(
        read(&layer, plain(), resting, Duration::ZERO).await,
        (1, end, 2 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_spares_slow_reader() {
    let layer = TimeoutLayer::server(SECOND).body_idle(SECOND);
    let (frames, end, _) = read(&layer, plain(), vec![MILLI; 5], 10 * SECOND).await;
    assert_eq!((frames, end), (5, None));
}

#[tokio::test(start_paused = true)]
async fn body_timeout_bounds_the_whole_body() {
    let layer = TimeoutLayer::server(SECOND)
        .body_total(3 * SECOND)
        .body_idle(2 * SECOND);
    let three = [SECOND; 3];
    // The last frame is there before the clock is asked, and the end with it.
    assert_eq!(
        read(&layer, plain(), vec![SECOND; 2], Duration::ZERO)
            .await
            .1,
        None
    );
    let end = Some(TimeoutKind::BodyTotal);
    let (frames, bound, took) = read(&layer, plain(), three.repeat(2), Duration::ZERO).await;
    // One that is ready at the very end is handed on; the next wait is over at once.
    assert_eq!((frames, bound, took), (3, end, 3 * SECOND));
    // However slow the reader is: it finds out when it comes back.
    let (frames, bound, took) = read(&layer, plain(), vec![MILLI; 9], SECOND).await;
    assert_eq!((frames, bound), (3, end));
    assert!(took < 4 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn deadline_covers_the_body() {
    let layer = TimeoutLayer::server(60 * SECOND);
    let mut request = plain();
    let deadline = Instant::now() + 2 * SECOND + MILLI;
    request
        .extensions_mut()
        .insert(Context::new_root().with_deadline(deadline));
    let (frames, bound, took) = read(&layer, request, vec![SECOND; 9], Duration::ZERO).await;
    assert_eq!((frames, bound), (2, Some(TimeoutKind::Deadline)));
    assert_eq!(took, 2 * SECOND + MILLI);

    let request = Request::post("/")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    let request = request
        .header("grpc-timeout", "1500m")
        .body(ScriptedBody::new());
    let request = request.expect("a request");
    let (frames, bound, took) = read(&layer, request, vec![SECOND; 9], Duration::ZERO).await;
    assert_eq!((frames, bound), (1, Some(TimeoutKind::Deadline)));
    assert_eq!(took, 3 * SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn deadline_max_ends_body_inside_a_timeout() {
    async fn frames<S, B>(service: S) -> usize
    where
        S: tower::Service<Request<ScriptedBody>, Response = Response<B>, Error = Infallible>,
        B: Body + Unpin,
    {
        let answer = service.oneshot(plain()).await;
        let mut body = answer.unwrap_or_else(|never| match never {}).into_body();
        let mut frames = 0;
        while let Some(Ok(_)) = body.frame().await {
            frames += 1;
        }
        frames
    }
    let stream =
        || service_fn(|_| async { Ok::<_, Infallible>(Response::new(paced(&[SECOND; 9]))) });
    let guard = Deadline::builder("deadline")
        .max(2 * SECOND + MILLI)
        .build();
    let guard = GuardLayer::server(guard.expect("settings"));
    assert_eq!(frames(guard.layer(stream())).await, 9);
    let limit = TimeoutLayer::server(60 * SECOND);
    assert_eq!(frames(guard.layer(limit.layer(stream()))).await, 2);
}

#[tokio::test(start_paused = true)]
async fn body_timeout_is_timed_out() {
    let spy = RecordingGuard::new();
    let service =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(paced(&[SECOND, 60 * SECOND]))) });
    let service = TimeoutLayer::server(SECOND)
        .body_idle(2 * SECOND)
        .layer(service);
    let service = GuardLayer::server(spy.clone()).layer(service);
    let response = service
        .oneshot(plain())
        .await
        .unwrap_or_else(|never| match never {});
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(spy.single().outcome, Outcome::TimedOut);
}

/// A reader that had looked once, and came back after an absence, once got "no data" from a body that needed two polls.
#[tokio::test(start_paused = true)]
async fn idle_timeout_restarts_when_reader_returns() {
    let begin = || {
        let body = ScriptedBody::new().after(SECOND).after(SECOND).data("data");
        let mut body = Some(body.hang());
        let service = service_fn(move |_| {
            let body = body.take().expect("one call");
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let layer = TimeoutLayer::client(SECOND).body_idle(5 * SECOND);
        layer.layer(service).oneshot(plain())
    };
    let mut body = begin().await.expect("an answer").into_body();
    assert!(body.frame().now_or_never().is_none());
    sleep(20 * SECOND).await;
    let back = Instant::now();
    assert!(body.frame().await.expect("a frame").is_ok());
    assert_eq!(back.elapsed(), SECOND);
    // Whoever waits all the time is not given more.
    let error = body.frame().await.expect("an end").expect_err("too late");
    let elapsed: &Elapsed = error.downcast_ref().expect("an Elapsed");
    assert_eq!(elapsed.evidence(), Evidence::Unhealthy);
    assert_eq!(back.elapsed(), 6 * SECOND);
    // Nor whoever comes back and then waits.
    let mut body = begin().await.expect("an answer").into_body();
    assert!(body.frame().await.expect("a frame").is_ok());
    assert!(body.frame().now_or_never().is_none());
    sleep(20 * SECOND).await;
    let back = Instant::now();
    assert!(body.frame().await.expect("an end").is_err());
    assert_eq!(back.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn body_timeout_blames_peer_only_if_awaited() {
    let layer = TimeoutLayer::server(SECOND).body_total(10 * SECOND);
    for (wait, reader, evidence) in [
        (SECOND, Duration::ZERO, Evidence::Unhealthy),
        (SECOND, SECOND, Evidence::Unhealthy),
        (SECOND, 2 * SECOND, Evidence::Inconclusive),
        (MILLI, SECOND, Evidence::Inconclusive),
    ] {
        let service = service_fn(move |_| async move {
            Ok::<_, Infallible>(Response::new(paced(&vec![wait; 99])))
        });
        let response = layer.layer(service).oneshot(plain()).await;
        let mut body = response.unwrap_or_else(|never| match never {}).into_body();
        let error = loop {
            match body.frame().await.expect("a frame") {
                Ok(_) => sleep(reader).await,
                Err(error) => break error,
            }
        };
        let elapsed: &Elapsed = error.downcast_ref().expect("an Elapsed");
        assert_eq!(elapsed.kind(), TimeoutKind::BodyTotal);
        assert_eq!(elapsed.evidence(), evidence, "{wait:?} {reader:?}");
    }
}
