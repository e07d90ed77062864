//! Uploads that are answered before they have ended, and then sent again: over real connections, a thousand of them.
//! In a process of its own, whose open descriptors are counted.
#![cfg(all(feature = "hyper", target_os = "linux"))]

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, ServiceExt};
use tower_keep::retry::{Backoff, ReplayBody, Retry, RetryLayer};

const UPLOADS: usize = 1_000;

/// Answers the first sending of each upload at once with 503, and reads on, as many servers do. Takes the second.
#[derive(Default)]
struct EarlyAnswerServer {
    seen: Mutex<HashSet<String>>,
    second: Notify,
    open: AtomicUsize,
    ended: Notify,
}

impl EarlyAnswerServer {
    async fn serve() -> (Arc<Self>, SocketAddr) {
        let hasty = Arc::new(EarlyAnswerServer::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = hasty.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Small packets each way, of which none should wait for another.
                stream.set_nodelay(true).unwrap();
                let served = served.clone();
                let service = hyper::service::service_fn(move |request| {
                    let served = served.clone();
                    async move { Ok::<_, Infallible>(served.answer(request).await) }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        (hasty, address)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if self
            .seen
            .lock()
            .unwrap()
            .insert(parts.uri.path().to_owned())
        {
            self.open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                drop(body.collect().await);
                self.open.fetch_sub(1, Ordering::SeqCst);
                self.ended.notify_one();
            });
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return response;
        }
        self.second.notify_one();
        let whole = body.collect().await.expect("whole").to_bytes();
        Response::new(whole.into())
    }

    async fn all_ended(&self) {
        while self.open.load(Ordering::SeqCst) > 0 {
            self.ended.notified().await;
        }
    }
}

/// Sends the second half of the body only once it is being sent again.
async fn upload(
    client: Client<HttpConnector, ReplayBody<Body>>,
    uri: String,
    hasty: &EarlyAnswerServer,
) {
    let (pieces, body) = mpsc::channel(1);
    let body = Body::from_stream(ReceiverStream::new(body));
    let request = Request::put(uri).body(body).unwrap();
    let piece = |text: &'static str| Ok::<_, Infallible>(Bytes::from(text));
    pieces.send(piece("first,")).await.unwrap();
    let retry = Retry::builder("peer").backoff(Backoff::constant(Duration::ZERO));
    let layer = RetryLayer::client(retry.budget(None).build().unwrap());
    let sending = layer.layer(client).oneshot(request);
    let rest = async {
        hasty.second.notified().await;
        pieces.send(piece("second")).await.unwrap();
        drop(pieces);
    };
    let (answer, ()) = tokio::join!(sending, rest);
    let whole = answer.unwrap().into_body().collect().await.unwrap();
    assert_eq!(whole.to_bytes(), "first,second");
}

/// A safety net, never a way to wait.
async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("within 20 s")
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The connection of a sending that was given up waited for more of its body for good: nobody woke it.
#[tokio::test]
async fn descriptors_stay_flat_over_early_answers() {
    for two in [false, true] {
        let (hasty, address) = EarlyAnswerServer::serve().await;
        let mut builder = Client::builder(TokioExecutor::new());
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = builder.http2_only(two).build(connector);
        let before = descriptors();
        for number in 0..UPLOADS {
            let uri = format!("http://{address}/{number}");
            within(upload(client.clone(), uri, &hasty)).await;
        }
        within(hasty.all_ended()).await;
        let open = descriptors().saturating_sub(before);
        assert!(open < 30, "HTTP/2 {two}: {open} more descriptors are open");
    }
}
