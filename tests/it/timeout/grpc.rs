//! Time limits of gRPC calls and their bodies.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, GuardLayer, Outcome,
    call::{Elapsed, Evidence},
    testing::{RecordingGuard, ScriptedBody},
    timeout::{TimeLimit, TimeoutLayer},
};

use super::{HOUR, MILLI, SECOND};

fn call(timeout: &'static str) -> Request<ScriptedBody> {
    let request = Request::post("/pkg.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout);
    request.body(ScriptedBody::new()).expect("a request")
}

fn answer(body: ScriptedBody) -> Response<ScriptedBody> {
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body.without_size_hint()).expect("a response")
}

fn ok(body: ScriptedBody) -> ScriptedBody {
    body.trailers([("grpc-status", "0")])
}

/// Returns how many messages come, the status in the end, and after how long.
async fn read<B>(body: B, reader: Duration) -> (usize, Option<String>, Duration)
where
    B: Body<Data = Bytes, Error = BoxError>,
{
    let begun = Instant::now();
    let (mut body, mut messages) = (std::pin::pin!(body), 0);
    loop {
        let frame = body.as_mut().frame().await;
        match frame.map(|frame| frame.expect("no error").into_trailers()) {
            None => return (messages, None, begun.elapsed()),
            Some(Ok(trailers)) => {
                assert!(body.is_end_stream() && body.as_mut().frame().await.is_none());
                let status = trailers["grpc-status"].to_str().expect("text").to_owned();
                return (messages, Some(status), begun.elapsed());
            }
            Some(Err(_)) => messages += 1,
        }
        sleep(reader).await;
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_ends_grpc_body_with_trailers() {
    let stream = || (0..9).fold(ScriptedBody::new(), |body, _| body.after(SECOND).data("m"));
    let limit = TimeLimit::new("streams", HOUR);
    let service = || service_fn(move |_| async move { Ok::<_, BoxError>(answer(ok(stream()))) });
    let spy = RecordingGuard::new();
    let server = TimeoutLayer::server(limit.clone()).layer(service());
    let server = GuardLayer::server(spy.clone()).layer(server);
    let response = server.oneshot(call("2500m")).await.expect("an answer");
    let four = || Some("4".to_owned());
    let end = (2, four(), 5 * SECOND / 2);
    assert_eq!(read(response.into_body(), Duration::ZERO).await, end);
    assert_eq!(spy.single().outcome, Outcome::TimedOut);

    let client = TimeoutLayer::grpc_client(limit.clone()).layer(service());
    let response = client.oneshot(call("2500m")).await.expect("an answer");
    assert_eq!(read(response.into_body(), Duration::ZERO).await, end);
    let client = TimeoutLayer::client(limit.clone()).body_idle(SECOND / 2);
    let response = client.layer(service()).oneshot(call("1H")).await;
    let body = response.expect("an answer").into_body();
    assert_eq!(read(body, Duration::ZERO).await, (0, four(), SECOND / 2));
    assert_eq!(limit.timeout_count(), 3);
}

/// A caller that says gRPC to a service that does not speak it gets what everybody gets.
#[tokio::test(start_paused = true)]
async fn timeout_ends_non_grpc_body_with_error() {
    let plain = Response::new(ScriptedBody::new().hang());
    let mut web = answer(ScriptedBody::new().hang());
    let value = http::HeaderValue::from_static("application/grpc-web+proto");
    web.headers_mut().insert("content-type", value);
    for response in [plain, web] {
        let mut response = Some(response);
        let service = service_fn(move |_| {
            let response = response.take().expect("one call");
            async { Ok::<_, Infallible>(response) }
        });
        let server = TimeoutLayer::server(HOUR).layer(service);
        let response = server.oneshot(call("1S")).await.expect("an answer");
        let error = response.into_body().collect().await.expect_err("cut");
        assert!(error.is::<Elapsed>());
    }
}

/// A unary answer whose head was in time, and whose message and trailers were there, once ended as INTERNAL.
#[tokio::test(start_paused = true)]
async fn deadline_delivers_ready_frames() {
    let unary = answer(ok(ScriptedBody::new()
        .data("message")
        .after(Duration::ZERO)));
    let mut unary = Some(unary);
    let service = service_fn(move |_| {
        let response = unary.take().expect("one call");
        async { Ok::<_, BoxError>(response) }
    });
    let server = TimeoutLayer::server(HOUR).layer(service);
    let response = server.oneshot(call("1m")).await.expect("an answer");
    sleep(SECOND).await;
    let end = read(response.into_body(), Duration::ZERO).await;
    assert_eq!(end, (1, Some("0".to_owned()), Duration::ZERO));
}

/// A stream of which the next frame is always there.
fn endless() -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
    http_body_util::StreamBody::new(futures_util::stream::repeat_with(|| {
        Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"m")))
    }))
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_busy_stream_after_a_second() {
    let deadline = TimeoutLayer::server(HOUR);
    let total = TimeoutLayer::server(HOUR).body_total(SECOND);
    for (layer, request) in [(deadline, call("1S")), (total, call("1H"))] {
        let service = service_fn(async |_| {
            let response = Response::builder().header("content-type", "application/grpc");
            Ok::<_, Infallible>(response.body(endless()).expect("a response"))
        });
        let response = layer.layer(service).oneshot(request).await;
        let body = response.unwrap_or_else(|never| match never {}).into_body();
        let (messages, status, took) = read(body, 10 * MILLI).await;
        assert_eq!(status.as_deref(), Some("4"));
        assert!((199..=202).contains(&messages), "{messages}");
        assert!(took <= 2 * SECOND + 20 * MILLI, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_with_peer_cancelled_is_timed_out() {
    let ended = |at, status| {
        let body = ScriptedBody::new().data("m").after(at);
        answer(body.trailers([("grpc-status", status)]))
    };
    let cancelled = |at| ended(at, "1");
    let reset = |at| {
        answer(
            ScriptedBody::new()
                .data("m")
                .after(at)
                .error("reset: CANCEL"),
        )
    };
    let limit = TimeLimit::new("cancelled", HOUR);
    for (response, status) in [
        (cancelled(SECOND), "4"),
        (cancelled(SECOND - 5 * MILLI), "4"),
        (cancelled(SECOND / 2), "1"),
        (ended(SECOND, "4"), "4"),
        (ended(SECOND / 2, "4"), "4"),
        (ended(SECOND, "5"), "5"),
        (reset(SECOND), "4"),
    ] {
        let mut response = Some(response);
        let service = service_fn(move |_| {
            let response = response.take().expect("one call");
            async { Ok::<_, BoxError>(response) }
        });
        let client = TimeoutLayer::grpc_client(limit.clone()).layer(service);
        let response = client.oneshot(call("1S")).await.expect("an answer");
        let (messages, told, _) = read(response.into_body(), Duration::ZERO).await;
        assert_eq!((messages, told.as_deref()), (1, Some(status)));
    }
    assert_eq!(limit.timeout_count(), 4);
}

/// Answers CANCELLED, or fails, after that time.
async fn head(at: Duration, cancelled: bool) -> (Result<HeaderMap, BoxError>, u64) {
    let limit = TimeLimit::new("head", SECOND);
    let service = service_fn(move |_| async move {
        sleep(at).await;
        if !cancelled {
            return Err(BoxError::from(std::io::Error::from(
                std::io::ErrorKind::TimedOut,
            )));
        }
        let mut response = answer(ScriptedBody::new());
        response.headers_mut().insert("grpc-status", 1.into());
        Ok(response)
    });
    let client = TimeoutLayer::grpc_client(limit.clone()).layer(service);
    let response = client.oneshot(call("1H")).await;
    (
        response.map(|response| response.headers().clone()),
        limit.timeout_count(),
    )
}

#[tokio::test(start_paused = true)]
async fn deadline_with_transport_timeout_is_timed_out() {
    for (at, late) in [
        (SECOND, true),
        (SECOND - 5 * MILLI, true),
        (SECOND / 2, false),
    ] {
        let (headers, counted) = head(at, true).await;
        let status = if late { 4 } else { 1 };
        assert_eq!(
            headers.expect("an answer")["grpc-status"],
            status.to_string()
        );
        assert_eq!(counted, u64::from(late));
        let (headers, counted) = head(at, false).await;
        let status = headers.ok().map(|headers| headers["grpc-status"].clone());
        assert_eq!(status, late.then(|| 4.into()));
        assert_eq!(counted, u64::from(late));
    }
}

/// A peer that goes by a deadline that a stranger chose once counted as sick.
#[tokio::test(start_paused = true)]
async fn deadline_exceeded_of_peer_is_inconclusive() {
    const LEFT: http::HeaderName = http::HeaderName::from_static("x-time-left-ms");
    let peer = service_fn(async |request: Request<ScriptedBody>| {
        sleep(SECOND / 2).await;
        let mut response = Response::new(ScriptedBody::new());
        if request.headers().contains_key("content-type") {
            response = answer(ScriptedBody::new());
            response.headers_mut().insert("grpc-status", 4.into());
        } else {
            *response.status_mut() = http::StatusCode::GATEWAY_TIMEOUT;
        }
        Ok::<_, BoxError>(response)
    });
    for (left, late) in [(SECOND / 2, true), (HOUR, false)] {
        let limit = TimeLimit::new("peers", HOUR);
        for request in [call("1H"), Request::new(ScriptedBody::new())] {
            let client = TimeoutLayer::client(limit.clone())
                .timeout_header(LEFT)
                .layer(peer);
            let deadline = Context::new_root().with_deadline(Instant::now() + left);
            let answer = deadline.scope(client.oneshot(request)).await;
            let why = answer
                .err()
                .and_then(|error| error.downcast::<Elapsed>().ok());
            let evidence = why.map(|why| why.evidence());
            assert_eq!(evidence, late.then_some(Evidence::Inconclusive));
        }
        assert_eq!(limit.timeout_count(), if late { 2 } else { 0 });
    }
}

/// Of two layers with the same deadline, only the one that ends the call counts it.
#[tokio::test(start_paused = true)]
async fn timeout_further_in_has_its_own_message() {
    let (outer, inner) = (TimeLimit::new("out", HOUR), TimeLimit::new("in", HOUR));
    for (head, body) in [(HOUR, Duration::ZERO), (Duration::ZERO, HOUR)] {
        let peer = service_fn(move |_| async move {
            sleep(head).await;
            let body = ScriptedBody::new().after(body).data("late");
            Ok::<_, BoxError>(answer(ok(body)))
        });
        let client = TimeoutLayer::grpc_client(inner.clone()).layer(peer);
        let client = TimeoutLayer::grpc_client(outer.clone()).layer(client);
        let response = client.oneshot(call("1S")).await.expect("an answer");
        if head.is_zero() {
            let end = read(response.into_body(), Duration::ZERO).await;
            assert_eq!(end.1.as_deref(), Some("4"));
        } else {
            assert_eq!(response.headers()["grpc-status"], "4");
        }
    }
    assert_eq!((outer.timeout_count(), inner.timeout_count()), (0, 2));
}

/// tonic's `Channel` obeys the limit that it is asked to send, and once always answered first, with CANCELLED.
#[cfg(feature = "tonic")]
#[tokio::test]
async fn timeout_is_not_answered_by_tonic_channel() {
    use crate::support::{serve, within};
    let app = axum::Router::new().fallback(std::future::pending::<()>);
    let address = serve(app).await;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = channel.expect("an address").connect_lazy();
    let limit = TimeLimit::new("channel", 50 * MILLI);
    let client = TimeoutLayer::grpc_client(limit.clone()).send_limit();
    let client = client.layer(channel);
    for _ in 0..10 {
        let request = Request::post("http://peer/pkg.Service/Method")
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty());
        let response = within(client.clone().oneshot(request.expect("a request"))).await;
        assert_eq!(response.expect("an answer").headers()["grpc-status"], "4");
    }
    assert_eq!(limit.timeout_count(), 10);
}
