//! The listening side: HTTP/1.1 and HTTP/2 on one port, bounded, and ended in good order.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tower::util::ServiceExt;
use tower_service::Service;

use super::BoxError;
use super::drain::DrainToken;

/// A client that is slower than this with its first request holds a place for nothing.
const FIRST_LIMIT: Duration = Duration::from_secs(10);
/// For the head of a later request; on HTTP/1.1 it is also how long a connection may idle, so it is well above
/// what clients' pools commonly keep.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Out of file descriptors: trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Finds peers that vanished without a word, on HTTP/2, where idle connections are kept.
const PING_EVERY: Duration = Duration::from_secs(20);

/// The connection that a request came in on; found in the request's extensions.
///
/// A tunnel keeps a clone: it then still counts as a connection, and the end still waits for it.
#[derive(Clone)]
pub struct Connection {
    pub peer: SocketAddr,
    pub ticket: DrainToken,
    _slot: Arc<OwnedSemaphorePermit>,
}

/// Accepts until the drain begins, at most `limit` connections at a time; the rest waits in the backlog.
pub async fn serve<S, B>(listener: TcpListener, service: S, mut ticket: DrainToken, limit: usize)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let slots = Arc::new(Semaphore::new(limit));
    loop {
        let next = tokio::select! {
            () = ticket.draining() => return,
            next = accept(&listener, &slots) => next,
        };
        match next {
            Ok((stream, peer, slot)) => {
                let connection = Connection {
                    peer,
                    ticket: ticket.clone(),
                    _slot: Arc::new(slot),
                };
                tokio::spawn(converse(stream, service.clone(), connection));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Takes the place first: a connection that cannot be served yet is not taken out of the backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Result<(TcpStream, SocketAddr, OwnedSemaphorePermit), BoxError> {
    let slot = Arc::clone(slots).acquire_owned().await?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

/// One connection from its first byte to its end, whoever ends it.
async fn converse<S, B>(stream: TcpStream, service: S, connection: Connection)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut draining = connection.ticket.clone();
    let mut cut = connection.ticket.clone();
    let peer = connection.peer;
    let asked = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&asked);
    let answer = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        first.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(connection.clone());
        // For what asks for the address of the peer, such as the console's record of failed logins.
        request.extensions_mut().insert(connection.peer);
        service.clone().oneshot(request)
    });
    let builder = builder();
    let mut talk = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = silence(&asked) => return,
        () = draining.draining() => {
            talk.as_mut().graceful_shutdown();
            tokio::select! {
                ended = talk => ended,
                () = cut.cut() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, %peer, "connection ended");
    }
}

/// Resolves if nothing was asked within the limit. Needed because the limit on heads starts only when the
/// protocol is known, and a client that sends nothing, or just a `P`, never gets there.
async fn silence(asked: &AtomicBool) {
    sleep(FIRST_LIMIT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(PING_EVERY);
    builder
}
