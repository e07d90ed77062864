//! Hedges over connections: a peer that is slow at times, gRPC, and what a peer sees of the losers.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get as on_get};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::duplex,
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_stream::Stream;
use tonic::{
    Status,
    metadata::MetadataMap,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{
    BoxError,
    hedge::{Hedge, HedgeLayer},
    retry::{Attempt, Budget, ReplayBody},
};

use super::{builder, counts};
use crate::support::{get, listen, serve, within};

/// Answers within some milliseconds, and in 3 of 100 cases 400 ms later.
fn bimodal() -> (Router, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, random) = (calls.clone(), Mutex::new(fastrand::Rng::with_seed(7)));
    let random = Arc::new(random);
    let answer = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let draw = random.lock().expect("no panic").u64(0..100);
        async move {
            let slow = if draw < 3 { 400 } else { 0 };
            sleep(Duration::from_millis(slow + draw % 4)).await;
            "an order"
        }
    };
    (Router::new().route("/", on_get(answer)), calls)
}

/// Sends each request over a connection of its own, which is in memory, so that the clock may be paused.
async fn send_in_memory(
    app: Router,
    request: Request<ReplayBody<Body>>,
) -> Result<Response<Incoming>, BoxError> {
    let (client, server) = duplex(64 * 1_024);
    tokio::spawn(async move {
        let builder = auto::Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(app);
        let _ = builder
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    let (mut sender, connection) = http1::handshake(TokioIo::new(client)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

type Hyper = Client<HttpConnector, ReplayBody<Body>>;

fn hyper(two: bool) -> Hyper {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(two).build_http()
}

/// Makes so many calls, ten at a time. Returns their times, in order.
async fn times_of(hedge: &Hedge, app: &Router, calls: usize) -> Vec<Duration> {
    let app = app.clone();
    let client = service_fn(move |request| send_in_memory(app.clone(), request));
    let service = HedgeLayer::client(hedge.clone()).layer(client);
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for _ in 0..calls / 10 {
                    let start = Instant::now();
                    let request = Request::get("/").header("host", "orders");
                    let request = request.body(Body::empty()).expect("a request");
                    let response = service.clone().oneshot(request).await;
                    let body = response.expect("an answer").into_body().collect();
                    body.await.expect("a body");
                    times.push(start.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.expect("no panic"));
    }
    times.sort_unstable();
    times
}

/// The figures are those without connections in `percentile`, and are shown with `--nocapture`.
#[tokio::test(start_paused = true)]
async fn slow_tail_of_a_peer_is_cut_at_little_extra_load() {
    const CALLS: usize = 3_000;
    let (app, calls) = bimodal();
    let alone = Hedge::builder("alone").max_hedges(0).build();
    let alone = times_of(&alone.expect("valid"), &app, CALLS).await;
    let before = calls.swap(0, Ordering::SeqCst);
    let hedge = Hedge::new("bimodal");
    let hedged = times_of(&hedge, &app, CALLS).await;
    let after = calls.load(Ordering::SeqCst);
    let p99 = |times: &[Duration]| times[CALLS * 99 / 100];
    let extra = after as f64 / before as f64 - 1.0;
    println!(
        "p99 {:?} -> {:?}, extra load {:.1} %, {:?}",
        p99(&alone),
        p99(&hedged),
        extra * 100.0,
        hedge.stats()
    );
    assert_eq!(before, CALLS);
    assert!(p99(&hedged) * 2 <= p99(&alone), "{:?}", p99(&hedged));
    assert!(extra <= 0.06, "{extra}");
    assert!(hedge.stats().won > 0);
}

/// Hedges so late that the first request is there before.
fn late(name: &'static str) -> Hedge {
    let hedge = builder(name).delay(Duration::from_secs(1)).build();
    hedge.expect("valid")
}

/// Hangs at the first request, and tells when the connection drops it.
async fn serve_hanging() -> (SocketAddr, Arc<Notify>) {
    struct Tells(Arc<Notify>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (dropped, calls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let tells = dropped.clone();
    let answer = move || {
        let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        let tells = tells.clone();
        async move {
            if is_first {
                let _tells = Tells(tells);
                std::future::pending::<()>().await;
            }
            "an order"
        }
    };
    let app = Router::new().route("/", on_get(answer));
    (serve(app).await, dropped)
}

#[tokio::test]
async fn peer_sees_the_loser_go_while_the_answer_is_read() {
    for two in [false, true] {
        let (address, dropped) = serve_hanging().await;
        let hedge = late("goes");
        let service = HedgeLayer::client(hedge.clone()).layer(hyper(two));
        let response = within(service.oneshot(get(address, "/"))).await;
        let response = response.expect("an answer");
        within(dropped.notified()).await;
        assert_eq!(crate::support::text(response).await, "an order");
        assert_eq!(counts(&hedge), (1, 1, 0));
    }
}

#[tokio::test]
async fn upload_is_sent_twice_over_real_connections() {
    for two in [false, true] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let echo = move |body: axum::body::Bytes| {
            let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if is_first {
                    std::future::pending::<()>().await;
                }
                body
            }
        };
        let address = serve(Router::new().route("/", axum::routing::put(echo))).await;
        let hedge = late("uploads");
        let service = HedgeLayer::client(hedge).layer(hyper(two));
        let sent: Vec<u8> = (0..50_000_u32)
            .map(|at| (at * 31 + at / 251) as u8)
            .collect();
        let request = Request::put(format!("http://{address}/")).body(Body::from(sent.clone()));
        let response = within(service.oneshot(request.expect("a request"))).await;
        let body = response.expect("an answer").into_body().collect();
        let echoed = within(body).await.expect("a body").to_bytes();
        assert!(echoed == sent);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}

/// Hangs at the first call, then says that it serves.
struct Hanging(Arc<Mutex<Vec<MetadataMap>>>);

#[tonic::async_trait]
impl Health for Hanging {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        assert_eq!(request.get_ref().service, "orders");
        let calls = {
            let mut seen = self.0.lock().expect("no panic");
            seen.push(request.metadata().clone());
            seen.len()
        };
        if calls == 1 {
            std::future::pending::<()>().await;
        }
        Ok(tonic::Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}

#[tokio::test]
async fn tonic_client_is_hedged() {
    let seen = Arc::<Mutex<Vec<_>>>::default();
    let (listener, address) = listen().await;
    let server = Server::builder().add_service(HealthServer::new(Hanging(seen.clone())));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::new(format!("http://{address}")).expect("an endpoint");
    let hedge = late("tonic");
    let layer = HedgeLayer::grpc_client(hedge.clone())
        .hedge_if_request(|_| true)
        .request_body(tonic::body::Body::new);
    let mut client = HealthClient::new(layer.layer(channel.connect_lazy()));
    let request = tonic::Request::new(HealthCheckRequest {
        service: "orders".to_owned(),
    });
    let response = within(client.check(request)).await.expect("an answer");
    let attempt = response.extensions().get::<Attempt>().expect("tagged");
    assert_eq!((attempt.number(), response.get_ref().status), (2, 1));
    let previous = |seen: &MetadataMap| seen.contains_key("grpc-previous-rpc-attempts");
    let seen = seen.lock().expect("no panic");
    let previous: Vec<_> = seen.iter().map(previous).collect();
    assert_eq!(previous, [false, true]);
    assert_eq!(counts(&hedge), (1, 1, 0));
}

#[tokio::test]
async fn peer_that_is_down_gets_few_hedges() {
    let address = crate::support::nobody();
    let budget = Budget::window().ratio(1.0).build().expect("valid");
    let hedge = builder("down").budget(budget).build().expect("valid");
    let service = HedgeLayer::client(hedge.clone()).layer(hyper(false));
    let service = BoxCloneSyncService::<_, _, BoxError>::new(service);
    for _ in 0..100 {
        let response = within(service.clone().oneshot(get(address, "/"))).await;
        response.expect_err("nobody listens");
    }
    let (sent, won, not_sent) = counts(&hedge);
    assert!(
        sent <= 5 && won == 0 && not_sent >= 95,
        "{:?}",
        hedge.stats()
    );
}
