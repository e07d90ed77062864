//! Deadlines: read from requests, kept in the context, sent on.

use std::{sync::Arc, sync::Mutex, time::Duration};

use http::{HeaderName, Request, Response};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, GuardLayer, RejectionKind,
    context::{Correlate, deadline},
    testing::{RecordingGuard, Reply, Script, ScriptedBody},
    timeout::{Deadline, TimeLimit, TimeoutLayer},
};

use super::{MILLI, SECOND};

const NAME: &str = "x-envoy-expected-rq-timeout-ms";
const ENVOY: HeaderName = HeaderName::from_static(NAME);

fn request(headers: &[(&str, &str)]) -> Request<ScriptedBody> {
    let mut request = Request::post("/pkg.Service/Method").version(http::Version::HTTP_2);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(ScriptedBody::new()).expect("a request")
}

fn at_most(time: Duration) -> Deadline {
    Deadline::builder("deadline")
        .max(time)
        .build()
        .expect("settings")
}

#[test]
fn deadline_max_of_zero_is_invalid() {
    let wrong = Deadline::builder("deadline").max(Duration::ZERO).build();
    assert_eq!(
        wrong.expect_err("no time").to_string(),
        r#"deadline "deadline": max is 0ns, must be greater than zero"#
    );
}

fn grpc(timeout: &str) -> Request<ScriptedBody> {
    request(&[
        ("content-type", "application/grpc"),
        ("grpc-timeout", timeout),
    ])
}

/// Returns how long a handler has, as it sees it itself, and as the request's extensions say.
async fn seen(guard: Deadline, request: Request<ScriptedBody>) -> Option<Duration> {
    let handler = service_fn(|request: Request<ScriptedBody>| async move {
        let context = request.extensions().get::<Context>().cloned();
        assert_eq!(context.as_ref().and_then(Context::deadline), deadline());
        let left = deadline().map(|deadline| deadline - Instant::now());
        Ok::<_, BoxError>(Response::new(ScriptedBody::new()).map(|body| {
            body.data(format!(
                "{}",
                left.map_or(-1, |left| left.as_millis() as i64)
            ))
        }))
    });
    let service = GuardLayer::server((Correlate::default(), guard)).layer(handler);
    let response = service.oneshot(request).await.expect("an answer");
    let left: i64 = crate::support::text(response)
        .await
        .parse()
        .expect("a number");
    u64::try_from(left).ok().map(Duration::from_millis)
}

#[tokio::test(start_paused = true)]
async fn deadline_is_read_from_request_and_capped() {
    let believing = Deadline::default;
    let capped = || {
        Deadline::builder("deadline")
            .timeout_header(ENVOY)
            .max(10 * SECOND)
            .build()
            .expect("settings")
    };
    let envoy = |millis| request(&[(NAME, millis)]);
    let both = &[("content-type", "application/grpc"), (NAME, "1")];
    let table = [
        (believing(), grpc("2S"), Some(2 * SECOND)),
        (
            believing(),
            grpc("99999H"),
            Some(Duration::from_secs(99_999 * 3_600)),
        ),
        (believing(), grpc("soon"), None),
        (believing(), request(&[("grpc-timeout", "2S")]), None),
        (believing(), envoy("250"), None),
        (believing(), request(&[]), None),
        (capped(), grpc("2S"), Some(2 * SECOND)),
        (capped(), grpc("3H"), Some(10 * SECOND)),
        (capped(), envoy("250"), Some(250 * MILLI)),
        (capped(), envoy(" 250 "), Some(250 * MILLI)),
        (
            capped(),
            envoy("999999999999999999999999999"),
            Some(10 * SECOND),
        ),
        (capped(), envoy("-1"), Some(10 * SECOND)),
        (capped(), envoy("1.5"), Some(10 * SECOND)),
        (capped(), envoy(""), Some(10 * SECOND)),
        (capped(), request(both), Some(10 * SECOND)),
        (capped(), request(&[]), Some(10 * SECOND)),
    ];
    for (guard, request, left) in table {
        let headers = format!("{:?}", request.headers());
        assert_eq!(seen(guard, request).await, left, "{headers}");
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_creates_a_context() {
    for (request, begins) in [(grpc("2S"), true), (request(&[]), false)] {
        let handler = service_fn(|request: Request<ScriptedBody>| {
            let extension = request.extensions().get::<Context>().cloned();
            let current = Context::current();
            assert_eq!(extension, current);
            let body = ScriptedBody::new().data(current.is_some().to_string());
            std::future::ready(Ok::<_, BoxError>(Response::new(body)))
        });
        let service = GuardLayer::server(Deadline::default()).layer(handler);
        let response = service.oneshot(request).await.expect("an answer");
        assert_eq!(crate::support::text(response).await, begins.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_passed_rejects_at_once() {
    let script: Script = Script::always(Reply::ok);
    let spy = RecordingGuard::new();
    let guard = Deadline::default();
    let service = GuardLayer::server((spy.clone(), guard.clone())).layer(script.clone());
    let answer = service.oneshot(grpc("0n")).await.expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!((script.calls(), guard.limit().rejected_count()), (0, 1));

    // The same where the deadline passed on the way to a layer further in.
    let layer = TimeoutLayer::client(SECOND);
    let context = Context::new_root().with_deadline(Instant::now() + MILLI);
    advance(2 * MILLI).await;
    let mut late = request(&[]);
    late.extensions_mut().insert(context.clone());
    let error = layer
        .layer(script.clone())
        .oneshot(late)
        .await
        .expect_err("rejected");
    let rejection = tower_keep::Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.kind(), RejectionKind::DeadlineExceeded);
    let layer = TimeoutLayer::any(SECOND);
    let call = context.scope(async { layer.layer(script.clone()).oneshot(()).await });
    assert!(call.await.is_err());
    let run = context.scope(async { layer.limit().run(async { script.calls() }).await });
    assert!(run.await.is_err());
    assert_eq!(script.calls(), 0);
}

/// Returns the headers that a client sends on of these, with a limit of 5 s.
async fn sent(
    layer: impl Layer<Spying, Service: tower::Service<Request<ScriptedBody>, Error: std::fmt::Debug>>,
    request: Request<ScriptedBody>,
) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = layer.layer(Spying(seen.clone()));
    service.oneshot(request).await.expect("an answer");
    let seen = seen.lock().expect("no panic");
    seen.clone()
}

/// Notes the headers that say how much time is left.
#[derive(Clone)]
struct Spying(Arc<Mutex<Vec<String>>>);

impl tower::Service<Request<ScriptedBody>> for Spying {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<ScriptedBody>, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ScriptedBody>) -> Self::Future {
        let mut seen = self.0.lock().expect("no panic");
        for name in ["grpc-timeout", NAME] {
            let values = request.headers().get_all(name).into_iter();
            seen.extend(values.map(|value| format!("{name}: {}", value.to_str().expect("text"))));
        }
        std::future::ready(Ok(Response::new(ScriptedBody::new())))
    }
}

fn grpc_call() -> Request<ScriptedBody> {
    request(&[("content-type", "application/grpc")])
}

fn envoy(millis: &str) -> Request<ScriptedBody> {
    request(&[(NAME, millis)])
}

#[tokio::test(start_paused = true)]
async fn deadline_is_propagated_and_timeout_is_not() {
    let limit = 5 * SECOND;
    let grpc_client = || TimeoutLayer::grpc_client(limit);
    let client = || TimeoutLayer::client(limit).timeout_header(ENVOY);
    // A limit ends at the head: sent on, it would end streams.
    assert!(sent(grpc_client(), grpc_call()).await.is_empty());
    assert!(sent(client(), grpc_call()).await.is_empty());
    assert!(sent(client(), request(&[])).await.is_empty());
    // What the request itself says is the caller's.
    assert_eq!(sent(grpc_client(), grpc("1H")).await, ["grpc-timeout: 1H"]);
    assert_eq!(
        sent(client(), envoy("70000")).await,
        [format!("{NAME}: 70000")]
    );

    // What is left of the deadline of whoever asked, however long the limit.
    let call = Context::new_root().with_deadline(Instant::now() + 8 * SECOND);
    advance(SECOND).await;
    let (http, grpc) = call
        .scope(async {
            let http = sent(client(), envoy("70000")).await;
            (http, sent(grpc_client(), grpc("1H")).await)
        })
        .await;
    assert_eq!(http, [format!("{NAME}: 7000")]);
    assert_eq!(grpc, ["grpc-timeout: 7000000u"]);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_propagated_by_option_and_shrinks() {
    let limit = 5 * SECOND;
    let grpc_client = || TimeoutLayer::grpc_client(limit).send_limit();
    for (request, left) in [
        (grpc_call(), "5000000u"),
        (grpc("1S"), "1S"),
        (grpc("1H"), "5000000u"),
        (grpc("soon"), "5000000u"),
    ] {
        let sent = sent(grpc_client(), request).await;
        assert_eq!(sent, [format!("grpc-timeout: {left}")]);
    }

    let client = || {
        TimeoutLayer::client(limit)
            .timeout_header(ENVOY)
            .send_limit()
    };
    for (request, left) in [
        (request(&[]), "5000"),
        (envoy("7"), "7"),
        (envoy("70000"), "5000"),
        (envoy("x"), "5000"),
    ] {
        assert_eq!(sent(client(), request).await, [format!("{NAME}: {left}")]);
    }
    let sent_for_grpc = sent(client(), grpc_call()).await;
    assert_eq!(sent_for_grpc, ["grpc-timeout: 5000000u"]);
    for silent in [
        sent(TimeoutLayer::client(limit).send_limit(), request(&[])).await,
        sent(TimeoutLayer::server(limit), request(&[])).await,
    ] {
        assert!(silent.is_empty());
    }

    // Or less, as whoever asked says.
    let call = Context::new_root().with_deadline(Instant::now() + 3 * SECOND);
    advance(SECOND).await;
    let sent = call.scope(sent(client(), request(&[]))).await;
    assert_eq!(sent, [format!("{NAME}: 2000")]);
}

#[tokio::test(start_paused = true)]
async fn timeout_around_counts_when_propagated() {
    let total = TimeLimit::new("total", 2 * SECOND);
    let attempt = || {
        TimeoutLayer::client(10 * SECOND)
            .timeout_header(ENVOY)
            .send_limit()
    };
    let attempts = total.run(async {
        let first = sent(attempt(), request(&[])).await;
        sleep(MILLI).await;
        (first, sent(attempt(), request(&[])).await)
    });
    let (first, second) = attempts.await.expect("in time");
    assert_eq!(first, [format!("{NAME}: 2000")]);
    assert_eq!(second, [format!("{NAME}: 1999")]);
}

#[tokio::test(start_paused = true)]
async fn deadline_is_the_earlier_of_two() {
    let outer = at_most(SECOND);
    let handler = service_fn(|_: Request<ScriptedBody>| async move {
        let left = deadline().map(|deadline| deadline - Instant::now());
        assert_eq!(left, Some(SECOND));
        Ok::<_, BoxError>(Response::new(ScriptedBody::new()))
    });
    let guards = (Correlate::default(), (outer, at_most(60 * SECOND)));
    let service = GuardLayer::server(guards).layer(handler);
    service.oneshot(grpc("30S")).await.expect("an answer");
}
