//! The callers, and what they do with the answers.

use std::{future::pending, io, pin::Pin, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::{sleep, timeout};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_keep::{BoxError, CircuitBreaker, testing::ScriptedBody, timeout::TimeoutLayer};

use super::peer::{Answer, Outage, Peer, Turn, Wire};

/// Makes one call, the first, second, .. of its caller.
pub type Call = Arc<dyn Fn(usize) -> Calling + Send + Sync>;
type Calling = Pin<Box<dyn Future<Output = ()> + Send>>;
type Body = UnsyncBoxBody<bytes::Bytes, BoxError>;
type Http = BoxCloneSyncService<Request<ScriptedBody>, Response<Body>, BoxError>;

/// The time limit of each attempt.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The reader of a response.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    /// Looks at the status and drops the body unread.
    Status,
    /// Takes so many frames, and has enough.
    Takes(usize),
    /// Reads the body to its end.
    Reads,
    /// Reads to the end if the status is good, as `error_for_status()` has it.
    ReadsGood,
    /// Takes its time after each frame.
    Slowly(Duration),
}

impl Reader {
    async fn read(self, response: Response<Body>) {
        let status = response.status();
        let mut body = response.into_body();
        match self {
            Reader::Status => {}
            Reader::Takes(frames) => {
                for _ in 0..frames {
                    let Some(Ok(_)) = body.frame().await else {
                        return;
                    };
                }
            }
            Reader::ReadsGood if status.is_client_error() || status.is_server_error() => {}
            Reader::Reads | Reader::ReadsGood => while let Some(Ok(_)) = body.frame().await {},
            Reader::Slowly(pause) => {
                while let Some(Ok(_)) = body.frame().await {
                    sleep(pause).await;
                }
            }
        }
    }
}

/// A client over HTTP or gRPC, by what it does with the peer's answers.
pub fn client(
    method: Method,
    answer: Answer,
    reader: Reader,
) -> impl Fn(&CircuitBreaker, &Peer) -> Call {
    move |breaker, peer| {
        let peer = peer.clone();
        let peer = service_fn(move |_: Request<ScriptedBody>| peer.clone().answer(answer));
        let service = match answer.wire {
            Wire::Plain => boxed(
                ServiceBuilder::new()
                    .layer(breaker.layer().client())
                    .layer(TimeoutLayer::client(LIMIT))
                    .service(peer),
            ),
            Wire::Grpc => boxed(
                ServiceBuilder::new()
                    .layer(breaker.layer().grpc_client())
                    .layer(TimeoutLayer::grpc_client(LIMIT))
                    .service(peer),
            ),
        };
        let method = method.clone();
        Arc::new(move |_| {
            let answered = service
                .clone()
                .oneshot(request(method.clone(), answer.wire));
            Box::pin(async move {
                if let Ok(response) = answered.await {
                    reader.read(response).await;
                }
            })
        })
    }
}

fn boxed<S, B>(service: S) -> Http
where
    S: tower::Service<Request<ScriptedBody>, Response = Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes, Error = BoxError> + Send + 'static,
{
    let unsync = |response: Response<B>| response.map(BodyExt::boxed_unsync);
    BoxCloneSyncService::new(service.map_response(unsync).map_err(Into::into))
}

fn request(method: Method, wire: Wire) -> Request<ScriptedBody> {
    let body = match method {
        Method::POST => ScriptedBody::from("a request"),
        _ => ScriptedBody::new(),
    };
    let request = Request::builder()
        .method(method)
        .uri("http://peer.example/");
    let request = match wire {
        Wire::Plain => request,
        Wire::Grpc => request
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc"),
    };
    request.body(body).expect("a request")
}

/// A server whose clients do as they please: one reads, one leaves before the head and one within the body, and one
/// takes its time.
pub fn server(answer: Answer) -> impl Fn(&CircuitBreaker, &Peer) -> Call {
    move |breaker, peer| {
        let peer = peer.clone();
        let service = boxed(
            ServiceBuilder::new()
                .layer(breaker.layer().server())
                .layer(TimeoutLayer::server(LIMIT))
                .service(service_fn(move |_: Request<ScriptedBody>| {
                    peer.clone().answer(answer)
                })),
        );
        Arc::new(move |n| {
            let mut answered = Box::pin(service.clone().oneshot(request(Method::GET, Wire::Plain)));
            Box::pin(async move {
                if n % 4 == 0 {
                    drop(timeout(answer.head / 2, &mut answered).await);
                    return;
                }
                let Ok(response) = answered.await else {
                    return;
                };
                match n % 4 {
                    // hyper drops the body of a client that has gone, while it waits for more.
                    1 => {
                        let whole = Reader::Reads.read(response);
                        drop(timeout(answer.every * 3 / 2, whole).await);
                    }
                    2 => Reader::Slowly(Duration::from_secs(1)).read(response).await,
                    _ => Reader::Reads.read(response).await,
                }
            })
        })
    }
}

/// A plain service, through [`layer`](CircuitBreaker::layer).
pub fn plain(takes: Duration) -> impl Fn(&CircuitBreaker, &Peer) -> Call {
    move |breaker, peer| {
        let peer = peer.clone();
        let service = ServiceBuilder::new()
            .layer(breaker.layer().any())
            .layer(TimeoutLayer::any(LIMIT))
            .service(service_fn(move |_: usize| query(peer.clone(), takes)));
        Arc::new(move |n| {
            let answered = service.clone().oneshot(n);
            Box::pin(async move { drop(answered.await) })
        })
    }
}

/// Some work without a service, through [`call`](CircuitBreaker::call).
pub fn calls(takes: Duration) -> impl Fn(&CircuitBreaker, &Peer) -> Call {
    move |breaker, peer| {
        let (breaker, peer) = (breaker.clone(), peer.clone());
        Arc::new(move |_| {
            let (breaker, peer) = (breaker.clone(), peer.clone());
            let work = async move { timeout(LIMIT, query(peer, takes)).await? };
            Box::pin(async move { drop(breaker.call(work).await) })
        })
    }
}

async fn query(peer: Peer, takes: Duration) -> io::Result<()> {
    match peer.turn() {
        Turn::Down(Outage::Hangs) => pending().await,
        Turn::Down(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        turn => {
            sleep(takes).await;
            match turn {
                Turn::Well => Ok(()),
                _ => Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
    }
}

/// `send().await?.error_for_status()?` inside of [`call`](CircuitBreaker::call), with the caller's own word on which of
/// the statuses are the peer's fault. One thing in three that is asked for is not there.
pub fn error_for_status(takes: Duration) -> impl Fn(&CircuitBreaker, &Peer) -> Call {
    move |breaker, peer| {
        let (breaker, peer) = (breaker.clone(), peer.clone());
        Arc::new(move |n| {
            let (breaker, peer) = (breaker.clone(), peer.clone());
            let work = async move {
                match timeout(LIMIT, query(peer, takes)).await {
                    Err(_) | Ok(Err(_)) => Err(BadStatus(StatusCode::BAD_GATEWAY)),
                    Ok(Ok(())) if n % 3 == 0 => Err(BadStatus(StatusCode::NOT_FOUND)),
                    Ok(Ok(())) => Ok(()),
                }
            };
            Box::pin(async move {
                let at_fault = |error: &BadStatus| error.0.is_server_error();
                drop(breaker.call(work).failure_if(at_fault).await);
            })
        })
    }
}

#[derive(Debug)]
struct BadStatus(StatusCode);

impl std::fmt::Display for BadStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the status is {}", self.0)
    }
}
impl std::error::Error for BadStatus {}
