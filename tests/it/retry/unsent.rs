//! Requests of which nothing has come are sent again for free: told by the errors of real clients over real connections.

use std::{
    future::ready,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{io::AsyncReadExt, net::TcpStream, sync::Mutex};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context,
    protocol::Client as HttpClient,
    retry::{Backoff, Budget, Retry, RetryBuilder, RetryLayer},
};

use super::Sent;
use crate::support::{
    frames::{Act, Frames},
    listen,
    meter::meter,
    nobody, serve, within,
};

type Hyper<C = HttpConnector> = Client<C, Sent>;

// ---- what a peer refuses over HTTP/2

#[tokio::test]
async fn unsent_refused_stream_is_retried_for_any_method() {
    let meter = meter();
    let (server, address) = Frames::serve([Act::Refuse, Act::Answer]).await;
    let answer = post(layer(), http2(), address).await;
    assert_eq!(answer.unwrap(), 200);
    assert_eq!(server.bodies(), [b"an order"; 2]);
    assert_eq!(meter.sum("tower_keep_retries_unsent_total", &[]), Some(1.0));
    assert_eq!(meter.sum("tower_keep_retries_total", &[]), Some(0.0));
}

#[tokio::test]
async fn unsent_after_goaway_is_retried() {
    let (server, address) = Frames::serve([Act::GoAway, Act::Answer]).await;
    let answer = post(layer(), http2(), address).await;
    assert_eq!(answer.unwrap(), 200);
    assert_eq!(server.bodies(), [b"an order"; 2]);
}

#[tokio::test]
async fn unsent_is_not_assumed_if_peer_may_have_begun() {
    for act in [Act::Reset, Act::GoAwayLater] {
        let (server, address) = Frames::serve([act, Act::Answer]).await;
        let answer = post(layer(), http2(), address).await;
        assert!(answer.is_err(), "{act:?}");
        assert_eq!(server.bodies().len(), 1, "{act:?}");
    }
}

/// The second refusal says something of the peer: it counts, and is paid for.
#[tokio::test]
async fn unsent_free_retry_is_granted_once() {
    let acts = || [Act::Refuse, Act::Refuse, Act::Refuse, Act::Answer];
    let (server, address) = Frames::serve(acts()).await;
    let twice = RetryLayer::client(builder().max_attempts(2).build().unwrap()).retry_unsent(true);
    assert!(post(twice, http2(), address).await.is_err());
    assert_eq!(
        server.bodies().len(),
        3,
        "one for free, and one more attempt"
    );

    let (server, address) = Frames::serve(acts()).await;
    let answer = post(layer(), http2(), address).await;
    assert_eq!(answer.unwrap(), 200);
    assert_eq!(server.bodies().len(), 4);

    let empty = Budget::window().ratio(0.0).per_second(0.0).build().unwrap();
    let (server, address) = Frames::serve(acts()).await;
    let poor = RetryLayer::client(builder().budget(empty).build().unwrap()).retry_unsent(true);
    assert!(post(poor, http2(), address).await.is_err());
    assert_eq!(server.bodies().len(), 2, "what is free needs no budget");
}

#[tokio::test]
async fn unsent_free_retry_is_off_by_default() {
    let (server, address) = Frames::serve([Act::Refuse, Act::Refuse]).await;
    let standard = RetryLayer::client(builder().build().unwrap());
    let answer = post(standard, http2(), address).await;
    assert!(answer.is_err());
    let once = RetryLayer::client(builder().max_attempts(1).build().unwrap()).retry_unsent(true);
    assert!(post(once, http2(), address).await.is_err());
    assert_eq!(server.bodies().len(), 2);
}

// ---- connections that do not come about, or are gone

#[tokio::test]
async fn unsent_long_request_without_connection_is_retried() {
    let app = axum::Router::new().route(
        "/",
        axum::routing::post(|body: Bytes| async move { body.len().to_string() }),
    );
    let to = FlakyConnector::new(2, serve(app).await).await;
    let client: Hyper<_> = Client::builder(TokioExecutor::new()).build(to.clone().connector());
    let body = Bytes::from(vec![7; 300_000]);
    let request = Request::post("http://peer/").body(Full::new(body)).unwrap();
    // Three times as long as what is kept of a body.
    let answer = within(layer().layer(client).oneshot(request))
        .await
        .unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "300000");
    assert_eq!(to.tries(), 3);
}

#[tokio::test]
async fn unsent_retries_are_bounded_by_attempts() {
    let to = FlakyConnector::new(u32::MAX, nobody()).await;
    let client: Hyper<_> = Client::builder(TokioExecutor::new()).build(to.clone().connector());
    let request = Request::post("http://peer/")
        .body(Full::from("an order"))
        .unwrap();
    assert!(
        within(layer().layer(client).oneshot(request))
            .await
            .is_err()
    );
    assert_eq!(to.tries(), 3);
}

/// Its own error was hidden from those who look for an `io::Error` only.
#[tokio::test]
async fn unsent_after_failed_handshake() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let connector = service_fn(move |_: Uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(Err::<TokioIo<TcpStream>, _>(io::Error::other(
            "no handshake",
        )))
    });
    let client: Hyper<_> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::post("http://peer/")
        .body(Full::from("an order"))
        .unwrap();
    assert!(
        within(layer().layer(client).oneshot(request))
            .await
            .is_err()
    );
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn unsent_on_connection_closed_before_request() {
    let app = axum::Router::new().route("/", axum::routing::post(|body: Bytes| async { body }));
    let address = serve(app).await;
    let (stale, connection) = hyper::client::conn::http1::handshake::<_, Sent>(TokioIo::new(
        TcpStream::connect(address).await.unwrap(),
    ))
    .await
    .unwrap();
    drop(connection);
    let (senders, tries) = (Arc::new(Mutex::new(Some(stale))), AtomicU32::new(0));
    let peer = service_fn(|request: Request<Sent>| {
        tries.fetch_add(1, Ordering::Relaxed);
        let senders = senders.clone();
        async move {
            let mut sender = match senders.lock().await.take() {
                Some(stale) => stale,
                None => {
                    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
                    let (sender, connection) =
                        hyper::client::conn::http1::handshake(stream).await?;
                    tokio::spawn(connection);
                    sender
                }
            };
            sender.send_request(request).await
        }
    });
    let request = Request::post("/").header("host", "peer");
    let request = request.body(Full::from("an order")).unwrap();
    let answer = within(layer().layer(peer).oneshot(request)).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((&*body, tries.into_inner()), (&b"an order"[..], 2));
}

#[tokio::test]
async fn unsent_not_proven_by_close_during_request() {
    let (listener, address) = listen().await;
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client: Hyper = Client::builder(TokioExecutor::new()).build_http();
    assert!(post(layer(), client, address).await.is_err());
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn unsent_predicate_for_foreign_errors() {
    let calls = AtomicU32::new(0);
    let peer = service_fn(|_: Request<Sent>| {
        let calls = calls.fetch_add(1, Ordering::Relaxed);
        ready(match calls {
            0 => Err(io::Error::other("the pool is empty")),
            _ => Ok(Response::new(Full::<Bytes>::default())),
        })
    });
    let request = || Request::post("/").body(Full::from("an order")).unwrap();
    let told = layer().unsent_if(|error| error.to_string() == "the pool is empty");
    assert!(told.layer(peer).oneshot(request()).await.is_ok());
    assert_eq!(calls.swap(0, Ordering::Relaxed), 2);
    assert!(layer().layer(peer).oneshot(request()).await.is_err());
    calls.store(0, Ordering::Relaxed);
    let bug = layer().unsent_if(|_| panic!("a bug"));
    assert!(bug.layer(peer).oneshot(request()).await.is_err());
}

/// It is the same attempt once more, and says so to everybody.
#[tokio::test]
async fn unsent_free_retry_keeps_attempt_number() {
    let (_server, address) = Frames::serve([Act::Refuse, Act::Refuse, Act::Answer]).await;
    let (seen, client) = (std::sync::Mutex::new(Vec::new()), http2());
    let peer = service_fn(|request: Request<Sent>| {
        let context = request.extensions().get::<Context>().map(Context::attempt);
        let before = request.headers().get("grpc-previous-rpc-attempts");
        let before = before.map(|before| before.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((context, before));
        client.request(request)
    });
    let layer = RetryLayer::grpc_client(builder().build().unwrap());
    let layer = layer.retry_if_request(|_| true).retry_unsent(true);
    let mut request =
        Request::post(format!("http://{address}/")).header("content-type", "application/grpc");
    request
        .extensions_mut()
        .unwrap()
        .insert(Context::new_root());
    let request = request.body(Full::from("an order")).unwrap();
    let answer = within(layer.layer(peer).oneshot(request)).await;
    assert_eq!(answer.unwrap().status(), 200);
    let said = |number: u32, before: Option<&str>| (Some(number), before.map(str::to_owned));
    // The second refusal is not free any more.
    let expected = [said(1, None), said(1, None), said(2, Some("1"))];
    assert_eq!(*seen.lock().unwrap(), expected);
}

// ---- what cannot be sent, or reaches nobody who is trusted

/// Each was sent three to five times.
#[tokio::test]
async fn unsendable_request_is_not_retried() {
    let relative = Request::get("/orders");
    let ftp = Request::get("ftp://127.0.0.1/orders");
    let version = |version| Request::get("http://127.0.0.1:9/").version(version);
    let requests = [
        relative,
        ftp,
        version(http::Version::HTTP_09),
        version(http::Version::HTTP_3),
        Request::connect("127.0.0.1:9").version(http::Version::HTTP_10),
    ];
    for request in requests {
        let request = request.body(Full::from("an order")).unwrap();
        let (tries, client) = (AtomicU32::new(0), http1());
        let counted = service_fn(|request: Request<Sent>| {
            tries.fetch_add(1, Ordering::Relaxed);
            client.request(request)
        });
        let says = format!("{request:?}");
        for layer in [layer(), layer().retry_unsent(false)] {
            let answer = within(layer.layer(counted).oneshot(request.clone())).await;
            assert!(answer.is_err(), "{says}");
            assert_eq!(tries.swap(0, Ordering::Relaxed), 1, "{says}");
        }
    }
}

#[tokio::test]
async fn invalid_certificate_is_not_retried() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    // As rustls says it, and its connectors pass it on.
    let connector = service_fn(move |_: Uri| {
        counted.fetch_add(1, Ordering::Relaxed);
        let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
        ready(Err::<TokioIo<TcpStream>, _>(io::Error::other(certificate)))
    });
    let client: Hyper<_> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::get("http://peer/").body(Full::default()).unwrap();
    let answer = within(layer().layer(client).oneshot(request)).await;
    assert!(answer.is_err());
    assert_eq!(tries.load(Ordering::Relaxed), 1);
}

// ---- what a proof is worth

/// The proof is of the last thing that failed: a service that posts the order and then cannot reach another peer has
/// posted it five times.
#[tokio::test(start_paused = true)]
async fn unsent_does_not_cover_composite_service() {
    let (posted, retry) = (AtomicU32::new(0), || {
        Retry::builder("peer").build().unwrap()
    });
    let peer = service_fn(|_: Request<Sent>| {
        posted.fetch_add(1, Ordering::Relaxed);
        let audit_log = io::Error::from(io::ErrorKind::ConnectionRefused);
        ready(Err::<Response<Full<Bytes>>, _>(audit_log))
    });
    let order = || Request::post("/").body(Full::from("an order")).unwrap();
    let answer = RetryLayer::client(retry())
        .layer(peer)
        .oneshot(order())
        .await;
    assert!(answer.is_err());
    let mut call = order();
    let grpc = "application/grpc".parse().unwrap();
    call.headers_mut().insert("content-type", grpc);
    let answer = RetryLayer::grpc_client(retry()).layer(peer).oneshot(call);
    assert!(answer.await.is_err());
    assert_eq!(posted.load(Ordering::Relaxed), 2, "one for each");
}

/// It needs no leave, and is a retry like any other.
#[tokio::test]
async fn idempotent_refused_request_is_retried_by_default() {
    let (server, address) = Frames::serve([Act::Refuse, Act::Answer]).await;
    let standard = RetryLayer::client(builder().build().unwrap());
    let request = Request::put(format!("http://{address}/"));
    let request = request.body(Full::from("an order")).unwrap();
    let answer = within(standard.layer(http2()).oneshot(request)).await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(server.bodies().len(), 2);
}

// ---- tonic

#[tokio::test]
async fn unsent_refused_tonic_call_is_retried() {
    for act in [Act::Refuse, Act::GoAway] {
        let (server, address) = Frames::serve([act, Act::Grpc(5)]).await;
        let channel = Endpoint::new(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        let layer = RetryLayer::grpc_client(builder().build().unwrap()).retry_unsent(true);
        let client = layer.request_body(tonic::body::Body::new).layer(channel);
        let answer = within(HealthClient::new(client).check(HealthCheckRequest::default())).await;
        assert_eq!(answer.unwrap_err().code(), Code::NotFound, "{act:?}");
        assert_eq!(server.bodies().len(), 2, "{act:?}");
    }
}

#[tokio::test]
async fn unsent_tonic_call_without_connection_is_retried() {
    let (_server, address) = Frames::serve([Act::Grpc(5)]).await;
    let to = FlakyConnector::new(2, address).await;
    let endpoint = Endpoint::from_static("http://peer");
    let channel = endpoint.connect_with_connector_lazy(to.clone().connector());
    let layer = RetryLayer::grpc_client(builder().build().unwrap()).retry_unsent(true);
    let client = layer.request_body(tonic::body::Body::new).layer(channel);
    let answer = within(HealthClient::new(client).check(HealthCheckRequest::default())).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    assert_eq!(to.tries(), 3);
}

// ---- helpers

/// No wait, no budget, three attempts.
fn builder() -> RetryBuilder {
    let at_once = Backoff::constant(Duration::ZERO);
    Retry::builder("peer").backoff(at_once).budget(None)
}

fn layer() -> RetryLayer<HttpClient> {
    RetryLayer::client(builder().build().unwrap()).retry_unsent(true)
}

fn http1() -> Hyper {
    Client::builder(TokioExecutor::new()).build_http()
}

fn http2() -> Hyper {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(true).build_http()
}

async fn post(
    layer: RetryLayer<HttpClient>,
    client: Hyper,
    to: SocketAddr,
) -> Result<StatusCode, BoxError> {
    let request = Request::builder().method(Method::POST);
    let request = request.uri(format!("http://{to}/"));
    let request = request.body(Full::from("an order")).unwrap();
    Ok(within(layer.layer(client).oneshot(request)).await?.status())
}

/// Connects to nobody so many times, and then to somebody.
#[derive(Clone)]
struct FlakyConnector {
    tries: Arc<AtomicU32>,
    fails: u32,
    nobody: SocketAddr,
    to: SocketAddr,
}

impl FlakyConnector {
    async fn new(fails: u32, to: SocketAddr) -> Self {
        FlakyConnector {
            tries: Arc::default(),
            fails,
            nobody: nobody(),
            to,
        }
    }

    fn tries(&self) -> u32 {
        self.tries.load(Ordering::Relaxed)
    }

    fn connector(
        self,
    ) -> impl Service<Uri, Response = TokioIo<TcpStream>, Error = io::Error, Future: Send + Unpin> + Clone
    {
        service_fn(move |_: Uri| {
            let before = self.tries.fetch_add(1, Ordering::Relaxed);
            let to = if before < self.fails {
                self.nobody
            } else {
                self.to
            };
            Box::pin(async move { TcpStream::connect(to).await.map(TokioIo::new) })
        })
    }
}
