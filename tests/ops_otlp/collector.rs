//! Collectors on loopback, over HTTP and gRPC, which decode what they get and answer by a script. Each has a thread of its own, so
//! that it answers whatever the runtime of a test does.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};
use tonic::{Request, Status, metadata::MetadataValue, transport::server::TcpIncoming};
use tracing::subscriber::NoSubscriber;

/// Longer than anything here takes: what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(30);
const GRPC_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The reaction of a collector to a request.
#[derive(Clone, Debug)]
pub enum Reaction {
    Take,
    /// Rejects so many items of those that it takes.
    TakeWithout(i64),
    /// A status with a `Retry-After` in seconds, perhaps. Over gRPC, 8 with it is `RESOURCE_EXHAUSTED`, and so on.
    Status(u16, Option<u32>),
    /// Never answers.
    Hang,
    /// Closes the connection in the middle of the answer.
    Cut,
}

#[derive(Debug)]
pub enum Export {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

#[derive(Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub export: Export,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<VecDeque<Reaction>>>,
    received: UnboundedSender<Received>,
}

/// A collector that runs until it is dropped.
pub struct Collector {
    pub address: SocketAddr,
    received: UnboundedReceiver<Received>,
    _stop: oneshot::Sender<()>,
}

impl Collector {
    pub fn http(script: &[Reaction]) -> Self {
        Collector::start(script, |shared, stopped, bound| async move {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("there is a port");
            let _ = bound.send(listener.local_addr().expect("it is bound"));
            let app = Router::new().fallback(over_http).with_state(shared);
            let serve = axum::serve(listener, app).into_future();
            futures_util::future::select(Box::pin(serve), stopped).await;
        })
    }

    pub fn grpc(script: &[Reaction]) -> Self {
        Collector::start(script, |shared, stopped, bound| async move {
            let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into());
            let incoming = incoming.expect("there is a port");
            let _ = bound.send(incoming.local_addr().expect("it is bound"));
            let serve = tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(shared.clone()))
                .add_service(MetricsServiceServer::new(shared.clone()))
                .add_service(LogsServiceServer::new(shared))
                .serve_with_incoming(incoming);
            futures_util::future::select(Box::pin(serve), stopped).await;
        })
    }

    /// Creates a collector for both protocols behind TLS, whose certificate is `tests/ops_otlp/tls/certificate.pem`.
    pub fn https(script: &[Reaction]) -> Self {
        Collector::start(script, |shared, stopped, bound| async move {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("there is a port");
            let _ = bound.send(listener.local_addr().expect("it is bound"));
            let grpc = TraceServiceServer::new(shared.clone());
            let app = Router::new()
                .route_service(GRPC_TRACES, grpc)
                .fallback(over_http)
                .with_state(shared);
            futures_util::future::select(Box::pin(serve_tls(listener, app)), stopped).await;
        })
    }

    fn start<F>(
        script: &[Reaction],
        serve: impl FnOnce(Shared, oneshot::Receiver<()>, std::sync::mpsc::Sender<SocketAddr>) -> F
        + Send
        + 'static,
    ) -> Self
    where
        F: Future<Output = ()>,
    {
        let (sender, received) = unbounded_channel();
        let shared = Shared {
            script: Arc::new(Mutex::new(script.iter().cloned().collect())),
            received: sender,
        };
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            // What a collector does is none of the test's events.
            let _silent = tracing::subscriber::set_default(NoSubscriber::default());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(serve(shared, stopped, bound));
        });
        Collector {
            address: address.recv().expect("the collector is bound"),
            received,
            _stop: stop,
        }
    }

    /// Returns the address as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the next request.
    pub async fn next(&mut self) -> Received {
        let received = tokio::time::timeout(PATIENCE, self.received.recv()).await;
        let received = received.expect("a request in time");
        received.expect("the collector runs")
    }

    /// Returns the requests that have come so far.
    pub fn so_far(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }

    /// Returns the spans of all requests so far.
    pub fn spans(&mut self) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
        let exports = self
            .so_far()
            .into_iter()
            .filter_map(|received| match received.export {
                Export::Traces(request) => Some(request.resource_spans),
                _ => None,
            });
        let scopes = exports.flatten().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

impl Shared {
    fn react(&self) -> Reaction {
        let mut script = self.script.lock().expect("nothing panics");
        script.pop_front().unwrap_or(Reaction::Take)
    }

    fn keep(&self, path: &str, headers: HeaderMap, export: Export) {
        let _ = self.received.send(Received {
            path: path.to_owned(),
            headers,
            export,
        });
    }

    async fn over_grpc(
        &self,
        path: &str,
        headers: HeaderMap,
        export: Export,
    ) -> Result<i64, Status> {
        let reaction = self.react();
        self.keep(path, headers, export);
        match reaction {
            Reaction::Take => Ok(0),
            Reaction::TakeWithout(items) => Ok(items),
            Reaction::Hang => std::future::pending().await,
            Reaction::Cut => Err(Status::unavailable("cut")),
            Reaction::Status(code, retry_after) => {
                let mut status = Status::new(i32::from(code).into(), "later, token=abc");
                if let Some(seconds) = retry_after {
                    let value = MetadataValue::from(seconds);
                    status.metadata_mut().insert("retry-after", value);
                }
                Err(status)
            }
        }
    }
}

async fn serve_tls(listener: tokio::net::TcpListener, app: Router) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/certificate.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        );
    let mut config = config.expect("the key belongs to the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, app) = (acceptor.clone(), app.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate goes.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let server = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(app);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn over_http(
    State(shared): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reaction = shared.react();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let path = uri.path();
    let export = match path.rsplit('/').next() {
        Some("metrics") => Export::Metrics(decode(&body)),
        Some("logs") => Export::Logs(decode(&body)),
        _ => Export::Traces(decode(&body)),
    };
    shared.keep(path, headers, export);
    let answer = |rejected| Body::from(answer(rejected).encode_to_vec());
    let mut response = Response::new(answer(0));
    match reaction {
        Reaction::Take => {}
        Reaction::TakeWithout(items) => *response.body_mut() = answer(items),
        Reaction::Hang => std::future::pending().await,
        Reaction::Cut => {
            let parts = [
                Ok(Bytes::from_static(b"\x0a")),
                Err(std::io::Error::other("cut")),
            ];
            *response.body_mut() = Body::from_stream(futures_util::stream::iter(parts));
        }
        Reaction::Status(code, retry_after) => {
            *response.status_mut() = code.try_into().expect("a status");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
        }
    }
    response
}

fn decode<M: Message + Default>(body: &Bytes) -> M {
    M::decode(&**body).expect("the body is a message of the protocol")
}

fn answer(rejected: i64) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "too old".to_owned(),
        }),
    }
}

type Answer<T> = Result<tonic::Response<T>, Status>;

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Answer<ExportTraceServiceResponse> {
        let (metadata, _, request) = request.into_parts();
        let export = Export::Traces(request);
        let rejected = self
            .over_grpc("traces", metadata.into_headers(), export)
            .await?;
        Ok(tonic::Response::new(answer(rejected)))
    }
}

#[tonic::async_trait]
impl MetricsService for Shared {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Answer<ExportMetricsServiceResponse> {
        let (metadata, _, request) = request.into_parts();
        let export = Export::Metrics(request);
        self.over_grpc("metrics", metadata.into_headers(), export)
            .await?;
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Shared {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Answer<ExportLogsServiceResponse> {
        let (metadata, _, request) = request.into_parts();
        let export = Export::Logs(request);
        self.over_grpc("logs", metadata.into_headers(), export)
            .await?;
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}
