//! An upstream that does as its path says, which is seldom well, and that counts what reaches it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::super::upstream::bind;
use super::wire::{Blow, Order, Wire};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Paths that are answered with 200 and a whole body.
pub const GOOD: [&str; 5] = ["/ok", "/slow", "/drip", "/big", "/echo"];
/// Paths that are not, or not in time.
pub const BAD: [&str; 13] = [
    "/fail",
    "/busy",
    "/busy-now",
    "/crawl",
    "/cut",
    "/reset",
    "/reset-in-head",
    "/half-head",
    "/hang",
    "/garbage",
    "/too-short",
    "/too-long",
    // The gateway's own, with the embedded upstream.
    "/panic",
];
/// Good answers to gRPC, and then bad ones.
pub const GRPC_GOOD: &str = "/demo.Soak/Good";
pub const GRPC_BAD: [&str; 4] = ["/demo.Soak/Bad", "/demo.Soak/Bare", "/cut", "/hang"];

/// More than any buffer on the way takes in.
const BIG: usize = 1 << 20;
/// Every so many connections is reset before its first request is read, if the upstream is faulty.
const MOOD: u64 = 10;

/// The number of times that each correlation ID came, to any upstream of the test.
pub type Seen = Arc<Mutex<HashMap<String, u32>>>;

pub struct FaultyUpstream {
    pub address: SocketAddr,
    /// True while it does as its path says, and resets connections for no reason. If not, all is well.
    pub faulty: Arc<AtomicBool>,
    seen: Seen,
    server: JoinHandle<()>,
    /// Never listens: keeps the port from everybody else while the upstream is away.
    place: TcpSocket,
}

impl FaultyUpstream {
    pub fn start(seen: Seen) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        FaultyUpstream::start_at(bind(any), seen, Arc::default())
    }

    fn start_at(place: TcpSocket, seen: Seen, faulty: Arc<AtomicBool>) -> Self {
        let address = place.local_addr().expect("an address");
        let listener = bind(address).listen(1024).expect("a port");
        let server = tokio::spawn(serve(listener, Arc::clone(&seen), Arc::clone(&faulty)));
        FaultyUpstream {
            address,
            faulty,
            seen,
            server,
            place,
        }
    }

    /// Closes its port and every connection, for a while.
    pub async fn restart(self, away: Duration) -> Self {
        self.server.abort();
        let _ = self.server.await;
        sleep(away).await;
        FaultyUpstream::start_at(self.place, self.seen, self.faulty)
    }

    pub async fn kill(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

/// Ends, with all its connections, when its task is aborted.
async fn serve(listener: TcpListener, seen: Seen, faulty: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    let number = AtomicU64::new(0);
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let nth = number.fetch_add(1, Ordering::Relaxed);
        if faulty.load(Ordering::Relaxed) && nth.is_multiple_of(MOOD) {
            let _ = stream.set_zero_linger();
            continue;
        }
        connections.spawn(converse(stream, Arc::clone(&seen), Arc::clone(&faulty)));
    }
}

async fn converse(stream: TcpStream, seen: Seen, faulty: Arc<AtomicBool>) {
    let _ = stream.set_nodelay(true);
    let order = Order::default();
    let wire = Wire::new(stream, order.clone());
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        if let Some(id) = request.headers().get("x-correlation-id") {
            let id = id.to_str().expect("text").to_owned();
            *seen.lock().expect("no panic").entry(id).or_default() += 1;
        }
        let (order, faulty) = (order.clone(), faulty.load(Ordering::Relaxed));
        async move { Ok::<_, Infallible>(answer(request, faulty, &order).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(wire), answer).await;
}

async fn answer(request: Request<Incoming>, faulty: bool, order: &Order) -> Response<Body> {
    let mut path = request.uri().path().to_owned();
    let good = GOOD.contains(&&*path) || path == GRPC_GOOD;
    if !faulty && !good {
        let grpc = request.headers().contains_key("content-type");
        path = if grpc { GRPC_GOOD } else { "/ok" }.to_owned();
    }
    if path == "/echo" {
        return Response::new(request.into_body().map_err(BoxError::from).boxed_unsync());
    }
    if GOOD.contains(&&*path) || path == GRPC_GOOD {
        // Whoever answers before it has read all may close on what is still coming: that is no good health.
        let _ = request.into_body().collect().await;
    }
    if let Some(blow) = blow(&path) {
        order.give(blow);
    }
    match &*path {
        "/fail" => plain(StatusCode::INTERNAL_SERVER_ERROR),
        "/busy" => busy("1"),
        "/busy-now" => busy("0"),
        "/crawl" => late(600).await,
        "/slow" => late(60).await,
        "/hang" => pending().await,
        "/drip" => drip(),
        "/big" => whole(vec![b'x'; BIG]),
        "/cut" => cut(),
        GRPC_GOOD => grpc(Some(0)),
        "/demo.Soak/Bad" => grpc(Some(13)),
        "/demo.Soak/Bare" => grpc(None),
        _ => plain(StatusCode::OK),
    }
}

fn blow(path: &str) -> Option<Blow> {
    let words: &[u8] = match path {
        "/reset" => return Some(Blow::Resets),
        "/reset-in-head" => b"HTTP/1.1 200",
        "/half-head" => b"HTTP/1.1 200 OK\r\ncontent-le",
        "/garbage" => b"\0\xff\x16\x03 220 mail ready\r\n\r\n",
        "/too-short" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nless",
        "/too-long" => b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmore than that",
        _ => return None,
    };
    Some(Blow::Says(words))
}

async fn late(millis: u64) -> Response<Body> {
    sleep(Duration::from_millis(millis)).await;
    plain(StatusCode::OK)
}

fn whole(bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    Response::new(body.boxed_unsync())
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = whole("from upstream");
    *response.status_mut() = status;
    response
}

fn busy(wait: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
    let wait = http::HeaderValue::from_static(wait);
    response.headers_mut().insert("retry-after", wait);
    response
}

/// Piece by piece.
fn drip() -> Response<Body> {
    let pieces = stream::iter(0..5).then(|_| async {
        sleep(Duration::from_millis(15)).await;
        Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"drop\n")))
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

/// Breaks off: on HTTP/1.1 the connection closes too early, on HTTP/2 the stream is reset.
fn cut() -> Response<Body> {
    let start = stream::iter([Ok(Frame::data(Bytes::from_static(b"half of")))]);
    let end = stream::once(async {
        sleep(Duration::from_millis(10)).await;
        Err::<Frame<Bytes>, BoxError>("on purpose".into())
    });
    let mut response = Response::new(StreamBody::new(start.chain(end)).boxed_unsync());
    response.headers_mut().insert("content-length", 1000.into());
    response
}

fn grpc(code: Option<u16>) -> Response<Body> {
    let message = Frame::data(Bytes::from_static(&[0; 5]));
    let trailers = code.map(|code| {
        let status = ("grpc-status".parse().expect("a name"), code.into());
        Ok(Frame::trailers(HeaderMap::from_iter([status])))
    });
    let frames = stream::iter([Ok::<_, BoxError>(message)].into_iter().chain(trailers));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    // Over HTTP/1.1 trailers are sent only if they are announced.
    let name = http::HeaderValue::from_static("grpc-status");
    response.headers_mut().insert("trailer", name);
    response
}
