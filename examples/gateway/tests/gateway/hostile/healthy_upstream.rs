//! An upstream in good health: it answers whatever it is asked at once, or as late as its path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::super::client::{AnyBody, full, pieces};

pub const GRPC: &str = "/demo.Hostile/Good";
pub const STREAM: [&str; 5] = ["one", "two", "three", "four", "five"];
/// More than the buffers on the way take in, also if nobody reads.
const BIG: usize = 8 << 20;
const SLOW: Duration = Duration::from_millis(60);
const BETWEEN: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq)]
pub enum Speaks {
    Http1,
    Both,
}

pub struct HealthyUpstream {
    pub address: SocketAddr,
    hang_up: Arc<Notify>,
    server: JoinHandle<()>,
}

impl HealthyUpstream {
    pub async fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let hang_up = Arc::<Notify>::default();
        let server = tokio::spawn(serve(listener, speaks, Arc::clone(&hang_up)));
        HealthyUpstream {
            address,
            hang_up,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes every connection, and goes on.
    pub fn hang_up(&self) {
        self.hang_up.notify_one();
    }
}

impl Drop for HealthyUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, speaks: Speaks, hang_up: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = hang_up.notified() => {
                connections.shutdown().await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (stream, _) = accepted.expect("a connection");
        let _ = stream.set_nodelay(true);
        let stream = TokioIo::new(stream);
        // Whatever the gateway does to a connection, the next is as good.
        connections.spawn(async move {
            if speaks == Speaks::Http1 {
                let builder = http1::Builder::new();
                let _ = builder.serve_connection(stream, service_fn(served)).await;
            } else {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(stream, service_fn(served)).await;
            }
        });
    }
}

async fn served(request: Request<Incoming>) -> Result<Response<AnyBody>, Infallible> {
    Ok(answer(request).await)
}

async fn answer(request: Request<Incoming>) -> Response<AnyBody> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    match path {
        "/echo" => return Response::new(body.boxed()),
        "/unwanted" => return unwanted(head.version),
        _ => {}
    }
    if body.collect().await.is_err() {
        return plain(StatusCode::BAD_REQUEST);
    }
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
    if !known.contains(&head.method) {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = head.headers.get("content-type");
    let speaks_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
        && (head.method, head.version) == (Method::POST, Version::HTTP_2);
    match path {
        "/ok" | "/read" => plain(StatusCode::OK),
        "/slow" => {
            sleep(SLOW).await;
            plain(StatusCode::OK)
        }
        "/stream" => Response::new(stream()),
        "/big" => Response::new(full(big())),
        GRPC if speaks_grpc => grpc_ok(),
        // As tonic does.
        _ if speaks_grpc && path.starts_with("/demo.") => unimplemented(),
        _ => plain(StatusCode::NOT_FOUND),
    }
}

fn plain(status: StatusCode) -> Response<AnyBody> {
    let mut response = Response::new(full("from upstream"));
    *response.status_mut() = status;
    response
}

/// Without reading any of it: over HTTP/1.1 the connection is of no use then.
fn unwanted(version: Version) -> Response<AnyBody> {
    let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE);
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert("connection", close);
    }
    response
}

/// Piece by piece, as long as somebody takes them.
fn stream() -> AnyBody {
    let (sender, body) = pieces();
    tokio::spawn(async move {
        for piece in STREAM {
            sleep(BETWEEN).await;
            if sender.send(Frame::data(piece.into())).is_err() {
                return;
            }
        }
    });
    body
}

fn big() -> Bytes {
    static BYTES: OnceLock<Bytes> = OnceLock::new();
    BYTES.get_or_init(|| vec![b'x'; BIG].into()).clone()
}

fn grpc_ok() -> Response<AnyBody> {
    let (sender, body) = pieces();
    let status = ("grpc-status".parse().expect("a name"), 0.into());
    let trailers = HeaderMap::from_iter([status]);
    for frame in [
        Frame::data(Bytes::from_static(&[0; 5])),
        Frame::trailers(trailers),
    ] {
        sender.send(frame).expect("nobody has dropped the body");
    }
    grpc(Response::new(body))
}

fn unimplemented() -> Response<AnyBody> {
    let mut response = grpc(Response::new(full("")));
    response.headers_mut().insert("grpc-status", 12.into());
    response
}

fn grpc(mut response: Response<AnyBody>) -> Response<AnyBody> {
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}
