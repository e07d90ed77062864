//! No other service works for a caller who has given up.

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    pin::pin,
    task::Poll,
    time::Duration,
};

use http::{Method, Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context,
    call::{Elapsed, TimeoutKind, find},
    fallback::{Fallback, FallbackInfo, FallbackLayer},
    retry::ReplayBody,
    testing::ScriptedBody,
    timeout::{TimeLimit, TimeoutLayer},
};

use super::{Reply, Script, counted};
use crate::support::meter::meter;

const SECOND: Duration = Duration::from_secs(1);

fn fallback() -> Fallback {
    Fallback::new("spare")
}

/// Fails after two seconds.
fn slow() -> Script {
    Script::always(|| Reply::error("down").after(2 * SECOND))
}

fn hangs() -> Script {
    Script::always(Reply::hang)
}

fn in_a_second() -> Context {
    Context::new_root().with_deadline(Instant::now() + SECOND)
}

fn request() -> Request<ScriptedBody> {
    Request::new(ScriptedBody::new())
}

fn grpc_request(timeout: Option<&'static str>) -> Request<ScriptedBody> {
    let mut request = Request::put("http://first.test/a.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("idempotency-key", "7")
        .body(ScriptedBody::new())
        .unwrap();
    *request.method_mut() = Method::POST;
    if let Some(timeout) = timeout {
        let timeout = timeout.parse().unwrap();
        request.headers_mut().insert("grpc-timeout", timeout);
    }
    request
}

fn with(context: Context) -> Request<ScriptedBody> {
    let mut request = request();
    request.extensions_mut().insert(context);
    request
}

async fn error_of<S, B>(service: S, request: Request<ScriptedBody>) -> BoxError
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
{
    match service.oneshot(request).await {
        Ok(answer) => panic!("answered with {}", answer.status()),
        Err(error) => error,
    }
}

fn deadline_came(error: &BoxError) -> bool {
    find::<Elapsed>(&**error)
        .is_some_and(|elapsed| elapsed.kind() == TimeoutKind::Deadline && elapsed.name() == "spare")
}

// ---- not begun

#[tokio::test(start_paused = true)]
async fn deadline_passed_skips_fallback_service() {
    let (meter, other) = (meter(), hangs());
    let layer = FallbackLayer::any(fallback()).service(other.clone());
    let call = layer.layer(slow()).oneshot("ask");
    let error = in_a_second().scope(call).await.unwrap_err();
    assert_eq!((error.to_string(), other.calls()), ("down".to_owned(), 0));
    assert_eq!(counted(&meter, "failure", "deadline"), (0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn deadline_is_earliest_of_context_request_and_grpc() {
    let (meter, other) = (meter(), hangs());
    let layer = FallbackLayer::client(fallback()).service(other.clone());
    let service = || layer.layer(slow());
    let scoped = in_a_second().scope(error_of(service(), request())).await;
    let own = error_of(service(), with(in_a_second())).await;
    let told = error_of(service(), grpc_request(Some("1S"))).await;
    for error in [scoped, own, told] {
        assert_eq!((error.to_string(), other.calls()), ("down".to_owned(), 0));
    }
    assert_eq!(counted(&meter, "failure", "deadline"), (0.0, 3.0));

    // The header of somebody who speaks no gRPC says nothing.
    let mut plain = request();
    let timeout = "1S".parse().unwrap();
    plain.headers_mut().insert("grpc-timeout", timeout);
    let late = tokio::time::timeout(9 * SECOND, error_of(service(), plain));
    assert!(late.await.is_err());
    assert_eq!(other.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn deadline_at_time_of_failure_has_passed() {
    let other = hangs();
    let failing = Script::always(|| Reply::error("down").after(SECOND));
    let layer = FallbackLayer::client(fallback()).service(other.clone());
    let error = error_of(layer.layer(failing), with(in_a_second())).await;
    assert_eq!((error.to_string(), other.calls()), ("down".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn deadline_passed_keeps_failed_response() {
    let other = hangs();
    let failed = || Reply::status(503).data("busy").after(2 * SECOND);
    let layer = FallbackLayer::server(fallback()).service(other.clone());
    let service = layer.layer(Script::always(failed));
    let answer = service.oneshot(with(in_a_second())).await.unwrap();
    assert_eq!((answer.status().as_u16(), other.calls()), (503, 0));
    assert!(answer.extensions().get::<FallbackInfo>().is_none());
    let body = http_body_util::BodyExt::collect(answer.into_body()).await;
    assert_eq!(body.unwrap().to_bytes(), "busy");
}

#[tokio::test(start_paused = true)]
async fn deadline_passed_still_uses_value_or_closure() {
    let meter = meter();
    let down = service_fn(|(): ()| async {
        tokio::time::sleep(2 * SECOND).await;
        Err::<u8, _>(std::io::Error::other("down"))
    });
    let value = FallbackLayer::any(fallback()).value(7).layer(down);
    let answer = in_a_second().scope(value.oneshot(())).await;
    assert_eq!(answer.unwrap(), 7);
    let closure = FallbackLayer::any(fallback()).with(|_| 8).layer(down);
    let answer = in_a_second().scope(closure.oneshot(())).await;
    assert_eq!(answer.unwrap(), 8);
    let layer = FallbackLayer::client(fallback()).with(|_| Response::new(ScriptedBody::new()));
    let answer = layer.layer(slow()).oneshot(with(in_a_second())).await;
    assert!(answer.unwrap().extensions().get::<FallbackInfo>().is_some());
    assert_eq!(counted(&meter, "failure", "deadline"), (3.0, 0.0));
}

// ---- begun before

/// Fails at once.
fn down() -> Script {
    Script::always(|| Reply::error("down"))
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_running_fallback_service() {
    let (meter, other, began) = (meter(), hangs(), Instant::now());
    let layer = FallbackLayer::any(fallback()).service(other.clone());
    let call = layer.layer(down()).oneshot("ask");
    let error = in_a_second().scope(call).await.unwrap_err();
    assert!(deadline_came(&error), "{error}");
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!((other.calls(), other.in_flight()), (1, 0));
    assert_eq!(counted(&meter, "failure", "deadline"), (0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn deadline_of_request_ends_fallback_service() {
    let (other, began) = (hangs(), Instant::now());
    let layer = FallbackLayer::client(fallback()).service(other.clone());
    let service = || layer.layer(down());
    let own = error_of(service(), with(in_a_second())).await;
    let told = error_of(service(), grpc_request(Some("1S"))).await;
    assert!(deadline_came(&own) && deadline_came(&told), "{own}, {told}");
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!((other.calls(), other.in_flight()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn deadline_answers_504_or_grpc_status() {
    let broken = || {
        service_fn(|_: Request<ReplayBody<ScriptedBody>>| {
            let failed = Response::builder().status(500).body(ScriptedBody::new());
            ready(Ok::<_, Infallible>(failed.unwrap()))
        })
    };
    let never =
        service_fn(|_| std::future::pending::<Result<Response<ScriptedBody>, Infallible>>());
    let layer = FallbackLayer::server(fallback()).service(never);
    let answer = layer
        .layer(broken())
        .oneshot(with(in_a_second()))
        .await
        .unwrap();
    assert_eq!(answer.status(), 504);
    assert!(answer.extensions().get::<FallbackInfo>().is_none());

    // The answer that failed was none of gRPC, but the question was.
    let answer = layer
        .layer(broken())
        .oneshot(grpc_request(Some("1S")))
        .await
        .unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");

    let layer = FallbackLayer::grpc_client(fallback()).service(hangs());
    let answer = layer
        .layer(down())
        .oneshot(grpc_request(Some("1S")))
        .await
        .unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn deadline_ends_wait_for_readiness() {
    let (meter, other) = (meter(), hangs().never_ready());
    let layer = FallbackLayer::any(fallback()).service(other.clone());
    let call = layer.layer(down()).oneshot("ask");
    let error = in_a_second().scope(call).await.unwrap_err();
    assert!(deadline_came(&error), "{error}");
    assert_eq!(other.calls(), 0);
    assert_eq!(counted(&meter, "failure", "deadline"), (0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn deadline_passes_answer_that_is_ready() {
    let meter = meter();
    let other = Script::always(|| Reply::ok().after(SECOND));
    let layer = FallbackLayer::client(fallback()).service(other);
    let answer = layer.layer(down()).oneshot(with(in_a_second())).await;
    assert!(answer.unwrap().extensions().get::<FallbackInfo>().is_some());
    assert_eq!(counted(&meter, "failure", "deadline"), (1.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn deadline_is_visible_to_fallback_service() {
    let seen = |request: Request<ReplayBody<ScriptedBody>>| async move {
        let timeout = request.headers().get("grpc-timeout").cloned();
        let left = tower_keep::context::deadline().map(|at| at - Instant::now());
        tokio::time::sleep(SECOND / 2).await;
        let mut answer = Response::new(ScriptedBody::new());
        answer.extensions_mut().insert((timeout, left));
        Ok::<_, BoxError>(answer)
    };
    type Seen = (Option<http::HeaderValue>, Option<Duration>);
    let failing = Script::always(|| Reply::error("down").after(SECOND));
    let layer = FallbackLayer::client(fallback()).service(service_fn(seen));
    let service = layer.layer(failing);
    let answer = service.clone().oneshot(grpc_request(Some("3S"))).await;
    let answer = answer.unwrap();
    let (timeout, left) = answer.extensions().get::<Seen>().unwrap();
    // What is left of it, and not what it was.
    assert_eq!(timeout.as_ref().unwrap(), "2000000u");
    assert_eq!(*left, Some(2 * SECOND));

    let answer = service.oneshot(grpc_request(None)).await.unwrap();
    assert_eq!(answer.extensions().get::<Seen>(), Some(&(None, None)));
}

#[tokio::test(start_paused = true)]
async fn timeout_around_fallback_bounds_both_services() {
    let other = hangs();
    let failing = Script::always(|| Reply::error("down").after(SECOND / 2));
    let layer = FallbackLayer::client(fallback()).service(other.clone());
    let service = TimeoutLayer::client(SECOND).layer(layer.layer(failing));
    let began = Instant::now();
    let error = service.oneshot(request()).await.map(drop).unwrap_err();
    assert!(find::<Elapsed>(&*error).is_some(), "{error}");
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!((other.calls(), other.in_flight()), (1, 0));

    // One that was over when the call failed.
    let busy = service_fn(|(): ()| async {
        tokio::task::yield_now().await;
        // Keeps its thread busy until there is no time left.
        let mut busy = pin!(tokio::time::advance(2 * SECOND));
        poll_fn(|cx| Poll::Ready(busy.as_mut().poll(cx).is_ready())).await;
        Err::<(), _>(std::io::Error::other("down"))
    });
    let calls = Script::always(Reply::hang);
    let never = ServiceExt::<()>::map_response(calls.clone(), drop);
    let layer = FallbackLayer::any(fallback()).service(never);
    let limit = TimeLimit::from(SECOND);
    let failed = limit.run(layer.layer(busy).oneshot(())).await;
    let error = failed.expect("an answer").unwrap_err();
    assert_eq!((error.to_string(), calls.calls()), ("down".to_owned(), 0));
}
