//! An upstream in the test's own process: shows what it was sent, does as its path says, and can be killed.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::client::{AnyBody, full, pieces};
use super::process::DEADLINE;

pub struct Upstream {
    pub address: SocketAddr,
    received: UnboundedReceiver<Parts>,
    /// Each permit lets one call to `/hold` go.
    pub held: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        let place = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = place.local_addr().expect("an address");
        // Never listens: keeps the port from everybody else, until all tests have ended, for whoever comes back to it.
        std::mem::forget(place);
        Upstream::start_at(address).await
    }

    /// Starts at the address of one that was killed.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = bind(address).listen(1024).expect("a port");
        let (sender, received) = unbounded_channel();
        let held = Arc::new(Semaphore::new(0));
        let server = tokio::spawn(serve(listener, sender, Arc::clone(&held)));
        Upstream {
            address,
            received,
            held,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the next request, as it arrived here.
    pub async fn received(&mut self) -> Parts {
        let head = timeout(DEADLINE, self.received.recv()).await;
        head.expect("a request in time").expect("a server")
    }

    /// Returns how many requests have arrived that nobody has looked at yet; forgets them.
    pub fn hits(&mut self) -> usize {
        std::iter::from_fn(|| self.received.try_recv().ok()).count()
    }

    /// Closes its port and every connection.
    pub async fn kill(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

/// Several sockets may have one address as long as no other of them listens.
pub fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(address).expect("a free port");
    socket
}

/// Ends, with all its connections, when its task is aborted.
async fn serve(listener: TcpListener, heads: UnboundedSender<Parts>, held: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    // What was asked for before; `/once` fails the first time.
    let asked = Arc::new(Mutex::new(HashSet::new()));
    while let Ok((stream, _)) = listener.accept().await {
        let (heads, held, asked) = (heads.clone(), Arc::clone(&held), Arc::clone(&asked));
        let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
            let held = Arc::clone(&held);
            let (head, body) = request.into_parts();
            let _ = heads.send(head.clone());
            let first = asked.lock().expect("no panic").insert(head.uri.clone());
            async move { Ok::<_, Infallible>(answer(head, body, first, &held).await) }
        });
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let stream = TokioIo::new(stream);
            let _ = builder.serve_connection(stream, answer).await;
        });
    }
}

async fn answer(head: Parts, body: Incoming, first: bool, held: &Semaphore) -> Response<AnyBody> {
    let status = match head.uri.path() {
        "/once" if first => StatusCode::SERVICE_UNAVAILABLE,
        "/busy" => return busy(),
        "/read" => match body.collect().await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::BAD_REQUEST,
        },
        "/once" | "/echo" => return Response::new(body.boxed()),
        "/checksum" => return with_trailers(),
        "/fail" => StatusCode::INTERNAL_SERVER_ERROR,
        "/hold" => {
            held.acquire().await.expect("never closed").forget();
            StatusCode::OK
        }
        _ => StatusCode::OK,
    };
    let mut response = Response::new(full("from upstream"));
    *response.status_mut() = status;
    response
}

fn busy() -> Response<AnyBody> {
    let mut response = Response::new(full("too much to do"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let wait = "7".parse().expect("a value");
    response.headers_mut().insert("retry-after", wait);
    response
}

/// A gRPC answer with more in its trailers than a status.
fn with_trailers() -> Response<AnyBody> {
    let (sender, body) = pieces();
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", "0"),
        ("checksum", "4711"),
        ("checksum", "4712"),
    ] {
        trailers.append(name, value.parse().expect("a value"));
    }
    let message = Bytes::from_static(&[0; 5]);
    for frame in [Frame::data(message), Frame::trailers(trailers)] {
        sender.send(frame).expect("nobody has dropped the body");
    }
    let mut response = Response::new(body);
    let kind = "application/grpc".parse().expect("a value");
    response.headers_mut().insert("content-type", kind);
    response
}
