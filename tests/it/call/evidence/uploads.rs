//! Requests whose upload breaks off or stalls, as whoever serves them and whoever sends them on sees them.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::Notify;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    GuardLayer, Outcome, call::Evidence, timeout::TimeoutLayer, track::RequestBodyLayer,
};

use super::{
    ABANDONED, Classified, GOOD, LATE,
    hostile::{Break, Stall, post1, post2, status1},
};
use crate::support::{
    HyperClient, both_versions,
    guards::{Ends, witness},
    http1, http2, serve, serve_hyper, within,
};

/// The caller's doing, which says nothing about the peer.
pub const BROKE: Classified = (Outcome::ClientError, Evidence::Inconclusive);
const HOUR: Duration = Duration::from_secs(3_600);
/// Ours to wait.
const SOON: Duration = Duration::from_millis(400);
/// Ours to wait for an upload that stalls: most of it is the caller's doing, however busy the machine is.
const STALLED: Duration = Duration::from_millis(1_600);

type Arrived = State<Arc<Notify>>;

/// Reads the whole, and says so if it cannot.
async fn reads(State(arrived): Arrived, body: Body) -> Result<String, StatusCode> {
    arrived.notify_one();
    let whole = body.collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(whole.to_bytes().len().to_string())
}

/// Takes whatever it did not expect for its own fault.
async fn fails(State(arrived): Arrived, body: Body) -> StatusCode {
    arrived.notify_one();
    match body.collect().await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn panics(State(arrived): Arrived, body: Body) -> StatusCode {
    arrived.notify_one();
    body.collect().await.expect("a whole body");
    StatusCode::OK
}

/// Reads the whole, and then hangs.
async fn hangs(State(arrived): Arrived, body: Body) -> StatusCode {
    arrived.notify_one();
    let _ = body.collect().await;
    pending().await
}

/// Hangs, and never looks at the body.
async fn never_reads(State(arrived): Arrived, body: Body) -> StatusCode {
    arrived.notify_one();
    let _body = body;
    pending().await
}

/// Answers without a look at the body.
async fn answers(State(arrived): Arrived) -> &'static str {
    arrived.notify_one();
    "no need"
}

fn app(arrived: Arc<Notify>) -> Router {
    Router::new()
        .route("/reads", post(reads))
        .route("/fails", post(fails))
        .route("/panics", post(panics))
        .route("/hangs", post(hangs))
        .route("/never_reads", post(never_reads))
        .route("/answers", post(answers))
        .with_state(arrived)
}

/// A server, with guards outside and inside of its time limit.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    arrived: Arc<Notify>,
    outer: Ends,
    inner: Ends,
}

impl Peer {
    async fn assert_ends(&mut self, classified: Classified, what: &str) {
        let name = self.name;
        let outer = self.outer.next().await;
        let said = (outer.outcome, outer.evidence);
        assert_eq!(said, classified, "outside on {name}: {what}: {outer:?}");
        let inner = self.inner.next().await;
        let said = (inner.outcome, inner.evidence);
        assert_eq!(said, classified, "inside on {name}: {what}: {inner:?}");
    }
}

async fn peers(limit: Duration) -> [Peer; 2] {
    let (arrived, (one, outer), (two, inner)) = (Arc::default(), witness(), witness());
    let guarded = app(Arc::clone(&arrived))
        .layer(GuardLayer::server(two))
        .layer(TimeoutLayer::server(limit))
        .layer(GuardLayer::server(one));
    let on_axum = Peer {
        name: "axum",
        address: serve(guarded).await,
        arrived,
        outer,
        inner,
    };
    let (arrived, (one, outer), (two, inner)) = (Arc::default(), witness(), witness());
    let guarded = ServiceBuilder::new()
        .layer(GuardLayer::server(one))
        .layer(TimeoutLayer::server(limit))
        .layer(GuardLayer::server(two))
        .layer(RequestBodyLayer::new(Body::new))
        .service(app(Arc::clone(&arrived)));
    let on_hyper = Peer {
        name: "hyper",
        address: serve_hyper(guarded).await,
        arrived,
        outer,
        inner,
    };
    [on_axum, on_hyper]
}

#[tokio::test]
async fn upload_broken_off_is_client_error() {
    let panicked = (Outcome::Panicked, Evidence::Inconclusive);
    for mut peer in peers(HOUR).await {
        for how in Break::ALL {
            for (path, classified) in [("/reads", BROKE), ("/fails", BROKE), ("/panics", panicked)]
            {
                how.upload(peer.address, path, &peer.arrived).await;
                peer.assert_ends(classified, &format!("{how:?} {path}"))
                    .await;
            }
        }
    }
}

/// Nobody has seen it break off: the caller is gone, and that is all.
#[tokio::test]
async fn upload_nobody_reads_may_break_off() {
    for mut peer in peers(HOUR).await {
        for how in [Break::Cancels, Break::CancelsLater, Break::Leaves] {
            how.upload(peer.address, "/never_reads", &peer.arrived)
                .await;
            peer.assert_ends(ABANDONED, &format!("{how:?}")).await;
        }
    }
}

/// Each way to stall, over each version. They end after our limit, with that status.
async fn stall(address: SocketAddr, status: u16) -> usize {
    let at_last = Stall::AtLast(STALLED * 4 / 5);
    let rows = [
        (Stall::Head, "/reads"),
        (Stall::Beginning, "/reads"),
        (Stall::Trickles, "/reads"),
        (at_last, "/hangs"),
    ];
    let calls = rows.map(async |(how, path)| {
        let (one, two) = tokio::join!(how.upload1(address, path), how.upload2(address, path, &[]));
        assert_eq!((one, two.as_u16()), (status, status), "{how:?}");
    });
    2 * within(futures_util::future::join_all(calls)).await.len()
}

#[tokio::test]
async fn upload_stalled_is_client_error_until_timeout() {
    for mut peer in peers(STALLED).await {
        for _ in 0..stall(peer.address, 408).await {
            peer.assert_ends(BROKE, "it stalled").await;
        }
    }
}

#[tokio::test]
async fn upload_received_blames_hung_server() {
    for mut peer in peers(SOON).await {
        for (path, rest) in [
            ("/hangs", "content-length: 5\r\n\r\nhello"),
            // It could have had more, but never asked.
            ("/never_reads", "content-length: 5\r\n\r\nhello"),
            ("/never_reads", "content-length: 1000\r\n\r\nhello"),
        ] {
            let mut stream = post1(peer.address, path, rest).await;
            assert_eq!(status1(&mut stream).await, Some(504), "{path} {rest}");
            peer.assert_ends(LATE, &format!("HTTP/1.1 {path} {rest}"))
                .await;
        }
        for (path, end) in [
            ("/hangs", true),
            ("/never_reads", true),
            ("/never_reads", false),
        ] {
            let mut call = post2(peer.address, path, &[]).await;
            call.send(b"hello", end);
            assert_eq!(call.status().await, 504, "{path} {end}");
            peer.assert_ends(LATE, &format!("HTTP/2 {path} {end}"))
                .await;
        }
    }
}

#[tokio::test]
async fn upload_stalled_spares_answer_without_it() {
    for mut peer in peers(STALLED).await {
        let mut stream = post1(
            peer.address,
            "/answers",
            "content-length: 1000\r\n\r\nhello",
        )
        .await;
        assert_eq!(status1(&mut stream).await, Some(200));
        peer.assert_ends(GOOD, "HTTP/1.1").await;
        let mut call = post2(peer.address, "/answers", &[]).await;
        call.send(b"hello", false);
        assert_eq!(call.status().await, 200);
        peer.assert_ends(GOOD, "HTTP/2").await;
    }
}

/// hyper drops the connection, but whose doing it was is known.
#[tokio::test]
async fn upload_broken_off_makes_error_the_clients() {
    let (arrived, (witness, mut ends)) = (Arc::new(Notify::new()), witness());
    let notify = arrived.clone();
    let passes_on = service_fn(move |request: http::Request<Counted>| {
        notify.notify_one();
        async move {
            let whole = request.into_body().collect().await?;
            Ok::<_, hyper::Error>(Response::new(Body::from(whole.to_bytes())))
        }
    });
    let service = ServiceBuilder::new()
        .layer(GuardLayer::server(witness))
        .layer(RequestBodyLayer::new(std::convert::identity))
        .service(passes_on);
    let address = serve_hyper(service).await;
    for how in Break::ALL {
        how.upload(address, "/", &arrived).await;
        assert_eq!(ends.next_classified().await, BROKE, "{how:?}");
    }
}

// ---- whoever sends them on

type Counted = tower_keep::track::CountedBody<hyper::body::Incoming>;

/// A proxy, with the ends that its outer and its inner guard saw.
struct Proxy {
    name: String,
    address: SocketAddr,
    outer: Ends,
    inner: Ends,
}

impl Proxy {
    async fn assert_ends(&mut self, classified: Classified, what: &str) {
        let name = &self.name;
        let outer = self.outer.next().await;
        let said = (outer.outcome, outer.evidence);
        assert_eq!(said, classified, "outside in {name}: {what}: {outer:?}");
        let inner = self.inner.next().await;
        let said = (inner.outcome, inner.evidence);
        assert_eq!(said, classified, "inside in {name}: {what}: {inner:?}");
    }
}

fn to(address: SocketAddr, request: &mut http::Request<impl Sized>) {
    let uri = format!("http://{address}{}", request.uri().path());
    *request.uri_mut() = uri.parse().expect("a URI");
    *request.version_mut() = http::Version::HTTP_11;
    request.headers_mut().remove("host");
}

/// On axum: what it was sent is sent on in axum's type of body.
async fn axum_proxy(upstream: SocketAddr, limit: Duration, client: HyperClient) -> Proxy {
    let ((one, outer), (two, inner)) = (witness(), witness());
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(one))
        .layer(TimeoutLayer::client(limit))
        .layer(GuardLayer::client(two))
        .service(client);
    let forward = move |mut request: Request| {
        let client = client.clone();
        async move {
            to(upstream, &mut request);
            match client.oneshot(request).await {
                Ok(response) => response.map(Body::new).into_response(),
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            }
        }
    };
    Proxy {
        name: "a proxy on axum".to_owned(),
        address: serve(Router::new().fallback(forward)).await,
        outer,
        inner,
    }
}

/// On hyper alone: what it was sent is sent on as it is.
async fn hyper_proxy(upstream: SocketAddr, limit: Duration, two: bool) -> Proxy {
    let ((outside, outer), (inside, inner)) = (witness(), witness());
    let client: Client<HttpConnector, Counted> = Client::builder(TokioExecutor::new())
        .http2_only(two)
        .build_http();
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(outside))
        .layer(TimeoutLayer::client(limit))
        .layer(GuardLayer::client(inside))
        .layer(RequestBodyLayer::new(std::convert::identity))
        .service(client);
    let forward = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        let client = client.clone();
        async move {
            to(upstream, &mut request);
            let response: Response = match client.oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(_) => StatusCode::BAD_GATEWAY.into_response(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    Proxy {
        name: "a proxy on hyper".to_owned(),
        address: serve_hyper(forward).await,
        outer,
        inner,
    }
}

/// Each proxy, over each version.
async fn proxies(upstream: SocketAddr, limit: Duration) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (version, client) in both_versions() {
        let on_axum = axum_proxy(upstream, limit, client).await;
        let on_hyper = hyper_proxy(upstream, limit, version == "2").await;
        for mut proxy in [on_axum, on_hyper] {
            proxy.name = format!("{} over {version}", proxy.name);
            proxies.push(proxy);
        }
    }
    proxies
}

#[tokio::test]
async fn upload_broken_off_in_proxy_spares_next_hop() {
    let [mut peer, _] = peers(HOUR).await;
    for mut proxy in proxies(peer.address, HOUR).await {
        for how in Break::ALL {
            for path in ["/reads", "/fails"] {
                how.upload(proxy.address, path, &peer.arrived).await;
                let what = format!("{how:?} {path} through {}", proxy.name);
                peer.assert_ends(BROKE, &what).await;
                proxy.assert_ends(BROKE, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn upload_stalled_in_proxy_spares_next_hop() {
    let [peer, _] = peers(HOUR).await;
    for mut proxy in proxies(peer.address, STALLED).await {
        for _ in 0..stall(proxy.address, 502).await {
            proxy.assert_ends(BROKE, "it stalled").await;
        }
    }
}

#[tokio::test]
async fn upload_received_blames_hung_next_hop() {
    let [peer, _] = peers(HOUR).await;
    for mut proxy in proxies(peer.address, SOON).await {
        for path in ["/hangs", "/never_reads"] {
            for client in [http1(), http2()] {
                let request = http::Request::post(format!("http://{}{path}", proxy.address));
                let request = request.body(Body::from("hello")).expect("a request");
                let answer = within(client.request(request)).await.expect("an answer");
                assert_eq!(answer.status(), 502);
                proxy.assert_ends(LATE, path).await;
            }
        }
    }
}

#[tokio::test]
async fn upload_complete_is_healthy_on_every_path() {
    let [mut peer, mut other] = peers(HOUR).await;
    let whole = Bytes::from_static(&[b'1'; 1_000]);
    for (version, client) in both_versions() {
        for mut proxy in proxies(peer.address, HOUR).await {
            let request = http::Request::post(format!("http://{}/reads", proxy.address));
            let request = request.body(Body::from(whole.clone())).expect("a request");
            let answer = within(client.request(request)).await.expect("an answer");
            assert_eq!(crate::support::text(answer).await, "1000");
            peer.assert_ends(GOOD, version).await;
            proxy.assert_ends(GOOD, version).await;
        }
        let request = http::Request::post(format!("http://{}/reads", other.address));
        let request = request.body(Body::from(whole.clone())).expect("a request");
        let answer = within(client.request(request)).await.expect("an answer");
        assert_eq!(crate::support::text(answer).await, "1000");
        other.assert_ends(GOOD, version).await;
    }
}
