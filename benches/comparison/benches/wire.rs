//! Calls per second over the loopback, with and without this crate's stacks of the README: tonic, HTTP/1.1 and HTTP/2.
//! Prints a Markdown table of ratios to the bare connection.
//!
//! `cargo bench --manifest-path benches/comparison/Cargo.toml --bench wire`
//!
//! Client and server are in one process: on one thread where there is one caller, else on two. All variants of a table
//! take turns, and a ratio is the median of those to the bare turn of the same round, so that a machine that changes its
//! speed does so for both.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    Router,
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderValue, Request, Response, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{
    GrpcMethod, Status,
    body::Body as TonicBody,
    client::{Grpc, GrpcService},
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::NamedService,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    CircuitBreaker, observe,
    protocol::GrpcClient,
    retry::{ReplayBody, Retry, RetryLayer},
    timeout::{TimeoutLayer, Timeouts},
};
use uuid::Uuid;

const ROUNDS: usize = 13;
const TURN: Duration = Duration::from_millis(100);
const MANY: usize = 32;
const PATH: &str = "/bench.Echo/Call";
const MESSAGE: &[u8] = &[b'm'; 100];
const UPLOAD: &[u8] = &[b'u'; 1_024];
const LONG: Duration = Duration::from_secs(30);
const WITH_IDS: &str = "the same, and two unique headers";

type AnyError = Box<dyn Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Makes calls one after the other until the moment, and returns how many.
type Caller = Box<dyn Fn(Instant) -> BoxFuture<Result<u64, AnyError>>>;

/// One line of a table.
struct Variant {
    name: &'static str,
    caller: Caller,
}

/// The variants that are compared: the first one is bare.
struct Scenario {
    name: &'static str,
    variants: Vec<Variant>,
}

/// The servers without the layers, and with them.
#[derive(Clone, Copy)]
struct Servers<T> {
    bare: T,
    layered: T,
}

/// Adds an ID and a trace context, unique as ours, to a request: the least that any client pays that sends them.
fn with_ids<B>(mut request: Request<B>) -> Request<B> {
    let (id, trace) = (Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let mut digits = [0; 32];
    let mut insert = |name, value: &[u8]| {
        let value = HeaderValue::from_bytes(value).expect("hex digits and dashes");
        request.headers_mut().insert(name, value);
    };
    insert("x-request-id", id.encode_lower(&mut digits).as_bytes());
    let trace = trace.encode_lower(&mut digits).as_bytes();
    let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-01";
    parent[3..35].copy_from_slice(trace);
    parent[36..52].copy_from_slice(&trace[..16]);
    insert("traceparent", &parent);
    request
}

// gRPC: a message of 100 bytes and back.

#[derive(Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = BytesCodec;
    type Decoder = BytesCodec;
    fn encoder(&mut self) -> BytesCodec {
        BytesCodec
    }
    fn decoder(&mut self) -> BytesCodec {
        BytesCodec
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The server, as tonic's code generator writes it.
#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl Service<Request<TonicBody>> for Echo {
    type Response = Response<TonicBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<TonicBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<TonicBody>) -> Self::Future {
        Box::pin(async {
            let echo = service_fn(|message: tonic::Request<Bytes>| {
                ready(Ok::<_, Status>(tonic::Response::new(message.into_inner())))
            });
            let mut grpc = tonic::server::Grpc::new(BytesCodec);
            Ok(grpc.unary(echo, request).await)
        })
    }
}

async fn serve_grpc(layered: bool) -> Result<Channel, AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    if layered {
        let layer = observe("server").server();
        let server = Server::builder().layer(layer).add_service(Echo);
        tokio::spawn(server.serve_with_incoming(incoming));
    } else {
        let server = Server::builder().add_service(Echo);
        tokio::spawn(server.serve_with_incoming(incoming));
    }
    Ok(endpoint.connect().await?)
}

fn grpc_variant<S>(name: &'static str, service: S) -> Variant
where
    S: GrpcService<TonicBody> + Clone + Send + 'static,
    S::Future: Send,
    S::ResponseBody: http_body::Body<Data = Bytes, Error: Into<AnyError>> + Send + 'static,
{
    let caller = move |until| -> BoxFuture<Result<u64, AnyError>> {
        let mut grpc = Grpc::new(service.clone());
        Box::pin(async move {
            let mut calls = 0;
            while Instant::now() < until {
                let mut request = tonic::Request::new(Bytes::from_static(MESSAGE));
                let method = GrpcMethod::new("bench.Echo", "Call");
                request.extensions_mut().insert(method);
                let path = PathAndQuery::from_static(PATH);
                grpc.ready().await.map_err(Into::into)?;
                let response = grpc.unary(request, path, BytesCodec).await?;
                assert_eq!(response.get_ref().len(), MESSAGE.len());
                calls += 1;
            }
            Ok(calls)
        })
    };
    Variant {
        name,
        caller: Box::new(caller),
    }
}

/// The README's stack around a tonic client.
fn grpc_stack(
    name: &'static str,
    channel: Channel,
    set_attempt: fn(TimeoutLayer<GrpcClient>) -> TimeoutLayer<GrpcClient>,
) -> Result<Variant, AnyError> {
    let timeouts = Timeouts::builder(name).build()?;
    let breaker = CircuitBreaker::builder(name)
        .consecutive_failures(10)
        .build()?;
    let attempt = TimeoutLayer::grpc_client(timeouts.attempt()).body_idle(LONG);
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::grpc_client(timeouts.total()))
        .layer(RetryLayer::grpc_client(Retry::new(name)).request_body(TonicBody::new))
        .layer(breaker.layer().grpc_client())
        .layer(observe("client").grpc_client())
        .layer(set_attempt(attempt))
        .service(channel);
    Ok(grpc_variant(name, service))
}

async fn grpc() -> Result<Scenario, AnyError> {
    let servers = Servers {
        bare: serve_grpc(false).await?,
        layered: serve_grpc(true).await?,
    };
    let bare = || servers.bare.clone();
    let timed = ServiceBuilder::new().timeout(LONG).service(bare());
    let with_ids = ServiceBuilder::new()
        .timeout(LONG)
        .map_request(with_ids)
        .service(bare());
    Ok(Scenario {
        name: "tonic, echo of 100 bytes",
        variants: vec![
            grpc_variant("bare", bare()),
            grpc_variant("`tower::timeout`", timed),
            grpc_variant(WITH_IDS, with_ids),
            grpc_stack("client", bare(), |attempt| attempt)?,
            grpc_stack("client, `send_limit`", bare(), |attempt| {
                attempt.send_limit()
            })?,
            grpc_variant("server", servers.layered.clone()),
            grpc_stack("both", servers.layered.clone(), |attempt| attempt)?,
        ],
    })
}

// Plain HTTP: axum and hyper-util's client.

#[derive(Clone, Copy, PartialEq)]
enum Http {
    Get1,
    Post1,
    Get2,
}

async fn serve_http(layered: bool) -> Result<String, AnyError> {
    let mut router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/upload", post(|body: Bytes| async move { body }));
    if layered {
        router = router.layer(observe("server").server());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|io| io.set_nodelay(true).expect("an open socket"));
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}

fn http_client<B>(kind: Http) -> Client<HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(kind == Http::Get2)
        .build(connector)
}

fn http_variant<S, B>(name: &'static str, kind: Http, server: &str, service: S) -> Variant
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<AnyError>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<AnyError>> + Send + 'static,
{
    let (path, upload) = match kind {
        Http::Post1 => ("upload", Some(UPLOAD)),
        _ => ("hello", None),
    };
    let uri: http::Uri = format!("{server}/{path}").parse().expect("an address");
    let caller = move |until| -> BoxFuture<Result<u64, AnyError>> {
        let (mut service, uri) = (service.clone(), uri.clone());
        Box::pin(async move {
            let mut calls = 0;
            while Instant::now() < until {
                let request = match upload {
                    None => Request::get(&uri).body(Full::default()),
                    Some(upload) => Request::post(&uri).body(Full::new(Bytes::from_static(upload))),
                };
                let called = service.ready().await.map_err(Into::into)?.call(request?);
                let response = called.await.map_err(Into::into)?;
                let body = response.into_body().collect().await.map_err(Into::into)?;
                assert_eq!(body.to_bytes().len(), upload.unwrap_or(b"hello").len());
                calls += 1;
            }
            Ok(calls)
        })
    };
    Variant {
        name,
        caller: Box::new(caller),
    }
}

/// The README's stack around a hyper client.
fn http_stack(name: &'static str, kind: Http, server: &str) -> Result<Variant, AnyError> {
    let timeouts = Timeouts::builder(name)
        .total(LONG)
        .attempt(LONG / 3)
        .build()?;
    let breaker = CircuitBreaker::builder(name)
        .consecutive_failures(10)
        .build()?;
    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::client(timeouts.total()))
        .layer(RetryLayer::client(Retry::new(name)))
        .layer(breaker.layer().client())
        .layer(observe("client").client())
        .layer(TimeoutLayer::client(timeouts.attempt()).body_idle(LONG))
        .service(http_client::<ReplayBody<Full<Bytes>>>(kind));
    Ok(http_variant(name, kind, server, client))
}

async fn http(name: &'static str, kind: Http) -> Result<Scenario, AnyError> {
    let servers = Servers {
        bare: &*serve_http(false).await?,
        layered: &*serve_http(true).await?,
    };
    let timed = ServiceBuilder::new()
        .timeout(LONG)
        .service(http_client(kind));
    let with_ids = ServiceBuilder::new()
        .timeout(LONG)
        .map_request(with_ids)
        .service(http_client(kind));
    Ok(Scenario {
        name,
        variants: vec![
            http_variant("bare", kind, servers.bare, http_client(kind)),
            http_variant("`tower::timeout`", kind, servers.bare, timed),
            http_variant(WITH_IDS, kind, servers.bare, with_ids),
            http_stack("client", kind, servers.bare)?,
            http_variant("server", kind, servers.layered, http_client(kind)),
            http_stack("both", kind, servers.layered)?,
        ],
    })
}

// Measuring.

/// Returns the calls per second of so many callers.
async fn turn(variant: &Variant, callers: usize) -> Result<f64, AnyError> {
    let began = Instant::now();
    let calling: Vec<_> = (0..callers)
        .map(|_| tokio::spawn((variant.caller)(began + TURN)))
        .collect();
    let mut calls = 0;
    for task in calling {
        calls += task.await??;
    }
    Ok(calls as f64 / began.elapsed().as_secs_f64())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the calls per second of each variant in each round.
async fn measure(
    scenario: &Scenario,
    callers: usize,
    metrics: &PrometheusHandle,
) -> Result<Vec<Vec<f64>>, AnyError> {
    let mut rounds = Vec::new();
    // The first round warms up.
    for number in 0..=ROUNDS {
        let mut round = Vec::new();
        for variant in &scenario.variants {
            round.push(turn(variant, callers).await?);
            metrics.run_upkeep();
        }
        if number > 0 {
            rounds.push(round);
        }
    }
    Ok(rounds)
}

async fn scenarios() -> Result<Vec<Scenario>, AnyError> {
    Ok(vec![
        grpc().await?,
        http("HTTP/1.1, GET", Http::Get1).await?,
        http("HTTP/1.1, POST of 1 KiB", Http::Post1).await?,
        http("HTTP/2, GET", Http::Get2).await?,
    ])
}

fn measure_all(
    runtime: &Runtime,
    callers: usize,
    metrics: &PrometheusHandle,
) -> Result<Vec<(Scenario, Vec<Vec<f64>>)>, AnyError> {
    let measured = async {
        let mut measured = Vec::new();
        for scenario in scenarios().await? {
            let rounds = measure(&scenario, callers, metrics).await?;
            measured.push((scenario, rounds));
        }
        Ok(measured)
    };
    runtime.block_on(measured)
}

fn main() -> Result<(), AnyError> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let many = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let one = measure_all(&one, 1, &metrics)?;
    let many = measure_all(&many, MANY, &metrics)?;
    println!("\n### Over the loopback, client and server in one process, calls per second\n");
    println!("| | 1 caller, 1 thread | against bare | {MANY} callers, 2 threads | against bare |");
    println!("|---|---:|---:|---:|---:|");
    for ((scenario, one), (_, many)) in one.iter().zip(&many) {
        println!("| **{}** | | | | |", scenario.name);
        for (at, variant) in scenario.variants.iter().enumerate() {
            let per_second = |rounds: &[Vec<f64>]| median(rounds.iter().map(|round| round[at]));
            let ratio =
                |rounds: &[Vec<f64>]| median(rounds.iter().map(|round| round[at] / round[0]));
            println!(
                "| {} | {:.0} | {:.2} | {:.0} | {:.2} |",
                variant.name,
                per_second(one),
                ratio(one),
                per_second(many),
                ratio(many),
            );
        }
    }
    Ok(())
}
