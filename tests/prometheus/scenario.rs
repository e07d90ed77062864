//! Calls of all kinds, after which each metric is there with each of its labels.

use std::{
    future::pending,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, CircuitBreaker, FallbackLayer, GuardLayer, Outcome, Retry, Throttle, Track,
    breaker::KeyedBreaker,
    bulkhead::Bulkhead,
    cache::Cache,
    chaos::{Chaos, ChaosLayer},
    coalesce::Coalesce,
    fallback::Fallback,
    hedge::Hedge,
    observe, operation,
    ops::{
        Ops,
        health::{Check, Health},
        notify::{Channel, ChannelBuilder, EventNotice, Message, Receipt, SendFuture},
        otlp::Otlp,
        recorder::Recorder,
    },
    priority::{Prioritizer, PriorityClass},
    rate_limit::{KeyedRateLimit, RateLimit},
    retry::{Backoff, Budget, RetryLayer},
    testing::{Reply, Script, ScriptedBody},
    timeout::{Deadline, TimeLimit, TimeoutLayer},
    track::{MetricNaming, RequestBodyLayer, RouteSlot},
};

use super::scrape::serve;

type Inner = BoxCloneSyncService<Request<Full<Bytes>>, Response<ScriptedBody>, BoxError>;

/// A service that is not ready at once, on a route.
fn scripted(route: Option<&'static str>, reply: fn() -> Reply) -> Inner {
    let services = ServiceBuilder::new()
        .layer(RequestBodyLayer::new(|body| body))
        .map_request(move |request: Request<_>| {
            if let Some(route) = route {
                RouteSlot::set(request.extensions(), route);
            }
            request
        });
    BoxCloneSyncService::new(services.service(Script::always(reply).ready_after(1)))
}

/// Makes a call and reads its response to the end.
async fn finish<S, B>(service: S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body,
{
    if let Ok(response) = service.oneshot(request).await {
        let _ = response.into_body().collect().await;
    }
}

/// The same, or drops the call where it hangs. Needs no time to pass: what a script does not reply at once, it never does.
async fn finish_or_drop<S, B>(service: S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: http_body::Body,
{
    let mut call = pin!(finish(service, request));
    for _ in 0..10 {
        if poll_once(call.as_mut()).await {
            return;
        }
    }
}

/// Returns whether the future is ready.
async fn poll_once(mut future: Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

fn http(uri: &str) -> Request<Full<Bytes>> {
    let body = Full::from("hello");
    Request::get(uri).body(body).expect("a request")
}

fn grpc(uri: &str) -> Request<Full<Bytes>> {
    let request = Request::post(uri).version(http::Version::HTTP_2);
    let request = request.header("content-type", "application/grpc");
    request.body(Full::default()).expect("a request")
}

fn events() -> Reply {
    Reply::ok().header("content-type", "text/event-stream")
}

/// Makes calls of all kinds with all options, so that each label is there once and missing once.
pub async fn make_calls(naming: MetricNaming, service_label: bool) {
    let track = || {
        Track::builder(format!("{naming:?} {service_label}"))
            .naming(naming)
            .service_label(service_label)
            .slow(Duration::from_nanos(1), Duration::from_secs(3_600))
            .time_to_head(true)
            .poll_time(true)
            .readiness_wait(true)
            .body_sizes(true)
            .access_log(false)
    };
    let server = observe(track().build().expect("a tracker")).server();
    let named = track().server_address("stock.test:50051");
    let [plain, named] = [track(), named].map(|track| track.build().expect("a tracker"));
    let client = || observe(plain.clone());
    let named_client = observe(named);

    let replies: [fn() -> Reply; 5] = [
        || Reply::ok().data("hello"),
        || Reply::status(500),
        || Reply::hang(),
        || events().data("data: 1\n\n"),
        || events().body(ScriptedBody::from("data: 1\n\n").error("reset")),
    ];
    for reply in replies {
        for route in [None, Some("/orders/{id}")] {
            finish_or_drop(server.layer(scripted(route, reply)), http("/orders/7")).await;
        }
        for uri in [
            "http://stock.test/orders",
            "http://stock.test:81/orders",
            "/orders",
        ] {
            finish_or_drop(client().client().layer(scripted(None, reply)), http(uri)).await;
        }
    }
    for reply in [|| Reply::grpc(0), || Reply::grpc(13), Reply::hang] as [fn() -> Reply; 3] {
        finish_or_drop(
            server.layer(scripted(None, reply)),
            grpc("/stock.Stock/Get"),
        )
        .await;
        let uri = "http://stock.test/stock.Stock/Get";
        finish_or_drop(
            client().grpc_client().layer(scripted(None, reply)),
            grpc(uri),
        )
        .await;
        finish_or_drop(
            named_client
                .clone()
                .grpc_client()
                .layer(scripted(None, reply)),
            grpc(uri),
        )
        .await;
    }
}

/// Calls an axum server with hyper's client, and a tonic server with tonic's.
pub async fn call_through_real_connections() {
    let app = Router::new()
        .route("/orders", get(async || "an order"))
        .layer(observe("axum").server());
    let address = serve(app).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = observe("hyper").client().layer(client);
    let response = client
        .oneshot(http(&format!("http://{address}/orders")))
        .await;
    let body = response.expect("a response").into_body().collect().await;
    assert_eq!(body.expect("a body").to_bytes(), "an order");

    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tonic::transport::Server::builder()
        .layer(observe("tonic").server())
        .add_service(health);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = observe("tonic")
        .grpc_client()
        .layer(endpoint.expect("a URI").connect_lazy());
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest::default();
    client.check(request).await.expect("healthy");
}

pub async fn run_operations() {
    let load = operation("load").kind("db").slow(Duration::from_nanos(1));
    load.run(async { Ok::<_, std::io::Error>(()) })
        .await
        .expect("loaded");
}

pub async fn retry_calls() {
    let retry = || {
        Retry::builder("stock")
            .backoff(Backoff::constant(Duration::from_millis(1)))
            .max_attempts(2)
            .build()
            .expect("a retry")
    };
    let recovers: Script = Script::new([Reply::status(503), Reply::ok()]);
    finish(RetryLayer::client(retry()).layer(recovers), http("/orders")).await;
    let fails: Script = Script::always(|| Reply::status(503));
    finish(RetryLayer::client(retry()).layer(fails), http("/orders")).await;
    let unsent: Script = Script::new([Reply::error("no connection left"), Reply::ok()]);
    let layer = RetryLayer::client(retry())
        .retry_unsent(true)
        .unsent_if(|error| error.to_string() == "no connection left");
    finish(layer.layer(unsent), http("/orders")).await;
}

pub async fn open_circuits() {
    let breaker = CircuitBreaker::new("stock");
    breaker.force_open();
    assert!(breaker.run(|| Ok::<_, std::io::Error>(())).is_err());
    let keyed: KeyedBreaker<u32> = KeyedBreaker::builder(CircuitBreaker::builder("tenants"))
        .max_keys(1)
        .build()
        .expect("breakers");
    for key in 0..3 {
        keyed.get(&key);
    }
}

pub async fn fill_bulkhead() {
    let bulkhead = Bulkhead::builder("stock").limit(1).queue_limit(1);
    let bulkhead = bulkhead.build().expect("a bulkhead");
    let permit = bulkhead.try_acquire().expect("free");
    bulkhead.try_acquire().expect_err("full");
    let (waited, ()) = tokio::join!(bulkhead.acquire(), async { drop(permit) });
    drop(waited.expect("free again"));
}

pub async fn limit_rates() {
    let builder = RateLimit::builder("stock").rate(1_000, Duration::from_secs(1));
    let limit = builder.burst(1).build().expect("a limit");
    while limit.check().is_ok() {}
    limit.wait(Duration::from_secs(1)).await.expect("in time");
    let asks_to_wait: Script = Script::new([Reply::status(429)]);
    finish(limit.layer().client().layer(asks_to_wait), http("/orders")).await;
    let keyed = KeyedRateLimit::builder(RateLimit::builder("tenants")).max_keys(1);
    let keyed = keyed.build().expect("limits");
    for key in 0..2 {
        keyed.check(&key).expect("of the burst");
    }
}

/// Calls a peer that fails until calls are rejected.
pub fn throttle_calls() {
    let throttle = Throttle::builder("stock").min_calls(1).build();
    let throttle = throttle.expect("a throttle");
    while let Ok(permit) = throttle.try_acquire() {
        permit.complete(Outcome::Failure);
    }
}

/// Calls what has no room until calls are shed.
pub fn shed_calls() {
    let prioritizer = Prioritizer::builder("stock").min_calls(1).build();
    let prioritizer = prioritizer.expect("a prioritizer");
    while let Ok(permit) = prioritizer.try_acquire(PriorityClass::Bulk) {
        permit.complete(Outcome::Overload);
    }
}

/// Shares a call, which leads, and another one joins.
pub async fn coalesce_calls() {
    let coalesce = Coalesce::new("stock");
    let load = || coalesce.run(7, async { Ok::<_, BoxError>(1) });
    let (one, other) = tokio::join!(load(), load());
    assert!(one.is_ok() && other.is_ok());
}

/// Keeps a result, and gives it again.
pub async fn cache_calls() {
    let cache = Cache::new("stock");
    for _ in 0..2 {
        let result = cache.run(7, async { Ok::<_, std::io::Error>(1) }).await;
        assert_eq!(result.expect("a number"), 1);
    }
}

/// Makes calls whose first attempt takes long until the budget is used up.
pub async fn hedge_calls() {
    let hedge = Hedge::builder("stock").delay(Duration::from_millis(10));
    let budget = Budget::window().ratio(0.5).per_second(0.0).build();
    let hedge = hedge.budget(budget.expect("a budget")).build();
    let hedge = hedge.expect("a hedge");
    for _ in 0..3 {
        let call = hedge.run(|attempt| async move {
            if !attempt.is_retry() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok::<_, std::io::Error>(())
        });
        call.await.expect("an answer");
    }
}

/// Balances calls to two endpoints that fail, and to none.
pub async fn balance_calls() {
    use tower_keep::balance::{Balance, Resolve};

    struct Unknown;
    impl Resolve for Unknown {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::SocketAddr>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let balance = Balance::builder("stock")
        .failure_penalty(Duration::ZERO)
        .build();
    let balance = balance.expect("a balancer");
    let balancer = balance.client(|_: &std::net::SocketAddr| {
        Script::<tower_keep::BoxError>::always(|| Reply::status(500))
    });
    finish(balancer.clone(), http("/orders")).await;
    let addresses = [1, 2].map(|port| ([127, 0, 0, 1], port).into());
    balancer.endpoints().set(addresses);
    while balance.stats().overflows == 0 {
        finish(balancer.clone(), http("/orders")).await;
    }
    let follow = balancer
        .endpoints()
        .follow_dns("stock:80", Duration::from_secs(60), Unknown);
    let follow = tokio::spawn(follow.expect("valid settings"));
    while balance.stats().lookup_failures == 0 {
        tokio::task::yield_now().await;
    }
    follow.abort();
}

/// Exports to a collector that is not there.
pub async fn export_to_nobody() {
    let otlp = Otlp::builder()
        .variables(|_| None)
        .endpoint("http://127.0.0.1:9")
        .recorder(Recorder::new())
        .build();
    let otlp = otlp.expect("the settings are valid");
    let shutdown = otlp.shutdown(Duration::from_secs(20)).await;
    shutdown.expect_err("nobody takes the metrics");
}

pub async fn check_health() {
    let health = Health::builder("stock").check(Check::new("db", || async {}));
    let health = health.build().expect("a check");
    health.spawn();
    health.check_now("db").await.expect("checked");
}

pub async fn notify() {
    struct Nobody;
    impl Channel for Nobody {
        fn kind(&self) -> &str {
            "nobody"
        }

        fn send<'a>(&'a self, _: &'a Message) -> SendFuture<'a> {
            Box::pin(async { Ok(Receipt::new()) })
        }
    }
    let ops = Ops::builder("stock").notify(ChannelBuilder::new("nobody", Nobody));
    let ops = ops.build().expect("a channel");
    ops.spawn();
    ops.notify(EventNotice::deployment_started("2"));
    ops.notifications_tried().await;
}

pub async fn exceed_limits() {
    let limit = TimeLimit::new("short", Duration::from_millis(1));
    limit.run(pending::<()>()).await.expect_err("elapsed");
    let server = GuardLayer::server(Deadline::new("late")).layer(scripted(None, Reply::ok));
    let mut request = grpc("/stock.Stock/Get");
    let header = http::HeaderValue::from_static("0n");
    request.headers_mut().insert("grpc-timeout", header);
    finish(server, request).await;
    let layer = TimeoutLayer::client(TimeLimit::new("long", Duration::from_secs(60)));
    finish(layer.layer(scripted(None, Reply::ok)), http("/orders")).await;
}

pub async fn fall_back() {
    let failing = || -> Script { Script::always(|| Reply::status(503)) };
    let layer = FallbackLayer::client(Fallback::new("stale"));
    let served = layer.with(|_| Response::new(ScriptedBody::from("stale")));
    finish(served.layer(failing()), http("/orders")).await;
    let layer = FallbackLayer::client(Fallback::new("broken"));
    let failed = layer.with(|_| -> Response<ScriptedBody> { panic!("no cache") });
    finish(failed.layer(failing()), http("/orders")).await;
}

pub async fn break_hooks_and_logs() {
    let track = Track::builder("hooks")
        .skip_log(|_| panic!("a hook"))
        .build();
    let layer = observe(track.expect("a tracker")).server();
    let mut request = http("/orders");
    let header = http::HeaderValue::from_static("not a trace");
    request.headers_mut().insert("traceparent", header);
    finish(layer.layer(scripted(None, Reply::ok)), request).await;

    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    use tracing_subscriber::layer::SubscriberExt;
    let layer = tower_keep::logging::builder().writer(|| Full).layer();
    let subscriber = tracing_subscriber::registry().with(layer.expect("a layer"));
    tracing::subscriber::with_default(subscriber, || tracing::error!("lost"));
}

pub async fn inject_faults() {
    let chaos = Chaos::builder("rehearsal").error_rate(1.0).build();
    let chaos = chaos.expect("a chaos");
    chaos.enable();
    let client = ChaosLayer::client(&chaos).layer(scripted(None, Reply::ok));
    finish(client, http("/orders")).await;
}
