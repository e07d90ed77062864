//! The layer whose calls wait.

use std::{convert::Infallible, future::ready, time::Duration};

use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, advance};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Context, Rejection,
    rate_limit::{KeyedRateLimit, RateLimitFields, RateLimitLayer},
    testing::{CountingWaker, ReadyChecked, Reply, Script, ScriptedBody},
    timeout::TimeoutLayer,
};

use super::{SECOND, always, builder, call, grpc_request, limit, request};
use crate::support::storm::orders;

#[tokio::test(start_paused = true)]
async fn calls_wait_in_order_and_no_longer_than_they_may() {
    let limit = builder(1).max_wait(2 * SECOND).build().expect("valid");
    let start = Instant::now();
    let service = service_fn(move |n: u32| {
        let at = start.elapsed().as_secs();
        ready(Ok::<_, Infallible>((n, at)))
    });
    let service = RateLimitLayer::any(limit.clone()).layer(service);
    let calls = (0..5).map(|n| service.clone().oneshot(n));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::ok).collect();
    assert_eq!(
        answers,
        [Some((0, 0)), Some((1, 1)), Some((2, 2)), None, None]
    );
    assert_eq!(limit.available(), 0);
}

#[tokio::test(start_paused = true)]
async fn wait_that_cannot_fit_into_the_deadline_is_rejected_at_once() {
    let start = Instant::now();
    let used_up = || {
        let limit = builder(1).max_wait(9 * SECOND).build().expect("valid");
        limit.check().expect("the burst");
        limit
    };
    // A time limit around the layer.
    let stack = ServiceBuilder::new()
        .layer(TimeoutLayer::client(SECOND / 2))
        .layer(RateLimitLayer::client(used_up()))
        .service(always(Reply::ok));
    let error = stack.oneshot(request()).await.expect_err("rejected");
    let rejection = Rejection::find(&*error).expect("a rejection");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    // The deadline of the context.
    let layer = RateLimitLayer::client(used_up());
    let context = Context::new_root().with_deadline(start + SECOND / 2);
    let result = context.scope(call(&layer, request(), Reply::ok)).await;
    Rejection::find(&*result.expect_err("rejected")).expect("a rejection");
    // The deadline of the request.
    let layer = RateLimitLayer::server(used_up());
    let mut request = grpc_request();
    let timeout = "500m".parse().expect("a value");
    request.headers_mut().insert("grpc-timeout", timeout);
    let response = call(&layer, request, Reply::ok).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "8");
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "1000");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn server_responds_to_calls_that_cannot_wait() {
    let limit = builder(1)
        .max_wait(Duration::ZERO)
        .fields(RateLimitFields::Always)
        .build()
        .expect("valid");
    let layer = RateLimitLayer::server(limit);
    let response = call(&layer, request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(response.headers()["ratelimit"], r#""default";r=0;t=1"#);
    let response = call(&layer, request(), Reply::ok)
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(
        response.headers()["ratelimit-policy"],
        r#""default";q=1;w=1"#
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_call_holds_nothing_of_the_service_and_calls_it_when_ready() {
    let limit = limit(1);
    limit.check().expect("the burst");
    let script = always(Reply::ok).ready_after(1);
    let inner = ReadyChecked::new(script.clone());
    let mut service = RateLimitLayer::client(limit).layer(inner.clone());
    let wakes = CountingWaker::new();
    while wakes
        .poll_ready::<Request<ScriptedBody>, _>(&mut service)
        .is_pending()
    {}
    let mut call = wakes.call(&mut service, request());
    assert!(wakes.poll(call.as_mut()).is_pending());
    assert_eq!(script.calls(), 0);
    advance(SECOND).await;
    while wakes.poll(call.as_mut()).is_pending() {}
    assert_eq!((script.calls(), inner.violations()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_call_gives_its_place_to_the_next() {
    let limit = limit(1);
    limit.check().expect("the burst");
    let service: Script = always(Reply::ok);
    let mut service = RateLimitLayer::client(limit.clone()).layer(service);
    let wakes = CountingWaker::new();
    for _ in 0..1_000 {
        assert!(
            wakes
                .poll_ready::<Request<ScriptedBody>, _>(&mut service)
                .is_ready()
        );
        let mut call = wakes.call(&mut service, request());
        assert!(wakes.poll(call.as_mut()).is_pending());
    }
    advance(SECOND).await;
    limit.check().expect("all places were given back");
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_called_too_often_empties_the_limit() {
    let limit = limit(10);
    let layer = RateLimitLayer::client(limit.clone());
    let reply = || Reply::status(429).header("retry-after", "7");
    call(&layer, request(), reply).await.expect("a response");
    assert_eq!(
        limit.check().expect_err("empty").retry_after(),
        Some(7 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn keys_wait_each_for_itself() {
    let hosts = KeyedRateLimit::builder(builder(1)).build().expect("valid");
    let guard = hosts.keyed_by_ref(|request: &Request<ScriptedBody>| request.uri().host());
    let layer = RateLimitLayer::client(guard);
    let start = Instant::now();
    let call = async |host: &str| {
        let request = Request::get(format!("http://{host}/")).body(ScriptedBody::new());
        let service = layer.layer(always(Reply::ok));
        let response = service.oneshot(request.expect("a request")).await;
        (response.is_ok(), start.elapsed().as_secs())
    };
    let calls = ["a.example", "a.example", "b.example", "a.example"].map(call);
    let waits = join_all(calls).await;
    // The last one would wait for two seconds, and may for one.
    assert_eq!(waits, [(true, 0), (true, 1), (true, 0), (false, 0)]);
}

#[tokio::test(start_paused = true)]
async fn shadow_lets_nothing_wait() {
    let limit = builder(1).shadow(true).build().expect("valid");
    let layer = RateLimitLayer::client(limit);
    let start = Instant::now();
    for _ in 0..3 {
        call(&layer, request(), Reply::ok)
            .await
            .expect("a response");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

type Stack = tower::util::BoxCloneSyncService<
    Request<ScriptedBody>,
    Response<http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>>,
    BoxError,
>;

/// A layer of a stack, by its number.
fn boxed<S, B>(service: S) -> Stack
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + 'static,
{
    use http_body_util::BodyExt;
    let service = service
        .map_response(|response: Response<B>| {
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        })
        .map_err(Into::into);
    Stack::new(service)
}

#[tokio::test(start_paused = true)]
async fn layers_in_every_order_survive_failures_hangs_and_drops() {
    for order in orders(4) {
        let limit = tower_keep::RateLimit::builder("storm")
            .rate(50, SECOND)
            .burst(5)
            .max_wait(SECOND / 2)
            .build()
            .expect("valid");
        let breaker = CircuitBreaker::builder("storm").open_time(SECOND).build();
        let breaker = breaker.expect("valid");
        let script: Script = Script::from_fn(|n| match n % 7 {
            0 => Reply::status(503),
            1 => Reply::error("reset"),
            2 => Reply::hang(),
            3 => Reply::status(429),
            _ => Reply::ok().after(SECOND / 20),
        });
        let mut stack = boxed(script.clone());
        for layer in &order {
            stack = match layer {
                0 => boxed(RateLimitLayer::client(limit.clone()).layer(stack)),
                1 => boxed(limit.layer().client().layer(stack)),
                2 => boxed(breaker.layer().client().layer(stack)),
                _ => boxed(TimeoutLayer::client(SECOND / 4).layer(stack)),
            };
        }
        let calls = (0..200).map(|n| {
            let stack = stack.clone();
            async move {
                tokio::time::sleep(SECOND / 100 * n).await;
                let patience = SECOND / 50 * (n % 60 + 1);
                let _ = tokio::time::timeout(patience, stack.oneshot(request())).await;
            }
        });
        join_all(calls).await;
        drop(stack);
        assert_eq!(script.in_flight(), 0, "{order:?}");
        assert_eq!(breaker.probes_in_flight(), 0, "{order:?}");
        // Nobody waits any more, and what was taken comes back.
        advance(60 * SECOND).await;
        assert_eq!(limit.available(), 5, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn weighted_calls_wait_for_all_that_they_count_as() {
    let tenants = KeyedRateLimit::builder(builder(4).max_wait(9 * SECOND));
    let tenants = tenants.build().expect("valid");
    let guard = tenants
        .keyed_by(|(tenant, _): &(u32, u32)| Some(*tenant))
        .weighted_by(|(_, weight): &(u32, u32)| *weight);
    let start = Instant::now();
    let service = service_fn(move |_: (u32, u32)| ready(Ok::<_, Infallible>(start.elapsed())));
    let service = RateLimitLayer::any(guard).layer(service);
    let calls = [(7, 4), (7, 3), (8, 2), (7, 0), (7, 5)].map(|call| service.clone().oneshot(call));
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::ok).collect();
    let at = |seconds: u32| Some(SECOND * seconds);
    assert_eq!(answers, [at(0), at(3), at(0), at(3), None]);
    // What is dropped while it waits puts all of it back.
    let tenants = tenants.clone();
    tenants.reset();
    let mut waiting = RateLimitLayer::any(
        tenants
            .keyed_by(|_: &u32| Some("all"))
            .weighted_by(|weight: &u32| *weight),
    )
    .layer(service_fn(|_: u32| ready(Ok::<_, Infallible>(()))));
    waiting.call(4).await.expect("the burst");
    let wakes = CountingWaker::new();
    let mut dropped = wakes.call(&mut waiting, 3);
    assert!(wakes.poll(dropped.as_mut()).is_pending());
    drop(dropped);
    let next = tenants.reserve("all", 1, 9 * SECOND).expect("in time");
    assert_eq!(next.wait(), SECOND);
}
