//! Hedges of HTTP and gRPC requests, on a paused clock.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keep::{
    BoxError, Context, GuardLayer, Outcome,
    call::Evidence,
    hedge::{Hedge, HedgeLayer},
    protocol::{Client, GrpcClient},
    retry::{Attempt, Backoff, ReplayBody, Retry, RetryLayer},
};

use super::{DELAY, SECOND, builder, counts, hedge};
use crate::support::guards::witness;

/// A peer that reads each request, and replies to the nth in its own way.
#[derive(Clone, Default)]
struct Peer {
    seen: Arc<Mutex<Vec<(Parts, Bytes)>>>,
}

type PeerFuture = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Peer {
    /// Returns the peer as a service. The reply to a request is made from its ordinal.
    fn service<R, Fut>(
        &self,
        reply: R,
    ) -> impl Service<
        Request<ReplayBody<Body>>,
        Response = Response<Body>,
        Error = BoxError,
        Future = PeerFuture,
    > + Clone
    + use<R, Fut>
    where
        R: Fn(usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        let peer = self.clone();
        service_fn(move |request: Request<ReplayBody<Body>>| -> PeerFuture {
            let (peer, reply) = (peer.clone(), reply.clone());
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let ordinal = {
                    let mut seen = peer.seen.lock().expect("no panic");
                    seen.push((parts, body));
                    seen.len()
                };
                Ok(reply(ordinal).await)
            })
        })
    }

    fn bodies(&self) -> Vec<Bytes> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|(_, body)| body.clone()).collect()
    }

    fn calls(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    /// Returns what a request says, for each.
    fn each<T>(&self, look: impl Fn(&Parts) -> T) -> Vec<T> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|(parts, _)| look(parts)).collect()
    }
}

fn status(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status.try_into().expect("a status");
    response
}

/// Hangs at the first request, and answers all others.
async fn first_hangs(ordinal: usize) -> Response<Body> {
    if ordinal == 1 {
        pending().await
    }
    status(200)
}

/// Takes a second.
async fn slow(_: usize) -> Response<Body> {
    sleep(SECOND).await;
    status(200)
}

fn request(method: Method, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri("http://peer/");
    request.body(body.into()).expect("a request")
}

fn client(hedge: &Hedge) -> HedgeLayer<Client> {
    HedgeLayer::client(hedge.clone())
}

#[tokio::test(start_paused = true)]
async fn request_is_sent_twice_with_its_whole_body() {
    let (peer, hedge) = (Peer::default(), hedge("put"));
    let service = client(&hedge).layer(peer.service(first_hangs));
    let response = service.oneshot(request(Method::PUT, "an order")).await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(peer.bodies(), ["an order"; 2]);
    let attempt = response.extensions().get::<Attempt>().expect("tagged");
    assert_eq!((attempt.number(), attempt.started()), (2, 2));
    let numbers = peer.each(|parts| parts.extensions.get::<Attempt>().map(Attempt::number));
    assert_eq!(numbers, [None, Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn response_of_the_first_attempt_tells_that_there_was_another() {
    let (peer, hedge) = (Peer::default(), hedge("tagged"));
    let service = client(&hedge).layer(peer.service(slow));
    let response = service.clone().oneshot(request(Method::GET, "")).await;
    let response = response.expect("an answer");
    let attempt = response.extensions().get::<Attempt>().expect("tagged");
    assert_eq!((attempt.number(), attempt.started()), (1, 2));
    let off = builder("untagged").max_hedges(0).build().expect("valid");
    let service = client(&off).layer(peer.service(slow));
    let response = service.oneshot(request(Method::GET, "")).await;
    let response = response.expect("an answer");
    assert!(response.extensions().get::<Attempt>().is_none());
}

#[tokio::test(start_paused = true)]
async fn request_that_must_not_be_done_twice_is_sent_once() {
    let (peer, hedge) = (Peer::default(), hedge("post"));
    let service = client(&hedge).layer(peer.service(slow));
    let send = |request| service.clone().oneshot(request);
    send(request(Method::POST, "an order"))
        .await
        .expect("an answer");
    assert_eq!((peer.calls(), counts(&hedge)), (1, (0, 0, 0)));
    let mut keyed = request(Method::POST, "an order");
    let key = "8e03978e".parse().expect("a key");
    keyed.headers_mut().insert("idempotency-key", key);
    send(keyed).await.expect("an answer");
    assert_eq!(peer.calls(), 3);
    let allowed = client(&hedge).hedge_if_request(|request| request.uri.path() == "/");
    let service = allowed.layer(peer.service(slow));
    let response = service.oneshot(request(Method::POST, "an order")).await;
    response.expect("an answer");
    assert_eq!(peer.calls(), 5);
    let broken = client(&hedge).hedge_if_request(|_| panic!("of the predicate"));
    let service = broken.layer(peer.service(slow));
    let response = service.oneshot(request(Method::GET, "")).await;
    response.expect("an answer");
    assert_eq!(peer.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn body_that_is_too_long_is_sent_once() {
    let (peer, hedge) = (Peer::default(), hedge("long"));
    let service = client(&hedge).max_replay_bytes(7);
    let service = service.layer(peer.service(slow));
    let response = service.oneshot(request(Method::PUT, "an order")).await;
    response.expect("an answer");
    assert_eq!(peer.bodies(), ["an order"]);
    assert_eq!(counts(&hedge), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn upload_that_is_not_over_delays_the_hedge() {
    let (peer, hedge) = (Peer::default(), hedge("upload"));
    let service = client(&hedge).layer(peer.service(first_hangs));
    let (pieces, stream) = mpsc::channel::<Result<Bytes, BoxError>>(4);
    let body = Body::from_stream(ReceiverStream::new(stream));
    let start = Instant::now();
    let call = tokio::spawn(service.oneshot(request(Method::PUT, body)));
    for piece in ["an ", "or", "der"] {
        sleep(Duration::from_millis(90)).await;
        pieces.send(Ok(piece.into())).await.expect("a reader");
    }
    drop(pieces);
    call.await.expect("no panic").expect("an answer");
    assert_eq!(peer.bodies(), ["an order"; 2]);
    // The first at which all of it is there.
    assert_eq!(start.elapsed(), 3 * DELAY);
    assert_eq!(counts(&hedge), (1, 1, 2));
}

/// The first attempt reads on after the hedge has looked how far the body is.
#[tokio::test(start_paused = true)]
async fn upload_goes_on_in_the_first_attempt_whatever_the_hedge_finds() {
    let (peer, hedge) = (Peer::default(), hedge("upload goes on"));
    let service = client(&hedge).layer(peer.service(|_| async { status(204) }));
    let (pieces, stream) = mpsc::channel::<Result<Bytes, BoxError>>(4);
    let body = Body::from_stream(ReceiverStream::new(stream));
    let call = tokio::spawn(service.oneshot(request(Method::PUT, body)));
    for piece in ["an ", "or", "der"] {
        sleep(10 * DELAY).await;
        pieces.send(Ok(piece.into())).await.expect("a reader");
    }
    sleep(10 * DELAY).await;
    pieces.send(Err("broken".into())).await.expect("a reader");
    drop(pieces);
    let error = call.await.expect("no panic").expect_err("a broken upload");
    assert!(error.to_string().contains("broken"), "{error}");
    assert_eq!(peer.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn failure_is_hedged_at_once_even_before_the_body_was_read() {
    let hedge = hedge("unread");
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = calls.clone();
    let service = service_fn(move |request: Request<ReplayBody<Body>>| {
        let seen = seen.clone();
        async move {
            let is_first = seen.lock().expect("no panic").is_empty();
            let body = match is_first {
                true => Bytes::new(),
                false => request.into_body().collect().await?.to_bytes(),
            };
            seen.lock().expect("no panic").push(body);
            let code = if is_first { 503 } else { 200 };
            Ok::<_, BoxError>(status(code))
        }
    });
    let service = client(&hedge).layer(service);
    let response = service.oneshot(request(Method::PUT, "an order")).await;
    assert_eq!(response.expect("an answer").status(), 200);
    assert_eq!(*calls.lock().expect("no panic"), ["", "an order"]);
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_no_failure_wins_whatever_its_status() {
    for code in [200, 302, 404, 412] {
        let (peer, hedge) = (Peer::default(), hedge("any answer"));
        let reply = move |ordinal: usize| async move {
            if ordinal == 1 {
                pending().await
            }
            status(code)
        };
        let service = client(&hedge).layer(peer.service(reply));
        let response = service.oneshot(request(Method::GET, "")).await;
        assert_eq!(response.expect("an answer").status(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn responses_of_all_attempts_that_fail_are_classified_each_by_itself() {
    let (peer, hedge) = (Peer::default(), hedge("both"));
    let reply = |ordinal: usize| async move {
        // The first fails while the second runs, which then succeeds.
        sleep(Duration::from_millis(150)).await;
        status(if ordinal == 1 { 500 } else { 200 })
    };
    let service = client(&hedge).layer(peer.service(reply));
    let response = service.oneshot(request(Method::GET, "")).await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(counts(&hedge), (1, 1, 0));
    let (peer, hedge) = (Peer::default(), super::hedge("both fail"));
    let reply = |ordinal: usize| async move { status(if ordinal == 1 { 500 } else { 502 }) };
    let service = client(&hedge).layer(peer.service(reply));
    let response = service.oneshot(request(Method::GET, "")).await;
    assert_eq!(response.expect("an answer").status(), 502);
}

#[tokio::test(start_paused = true)]
async fn loser_ends_as_cancelled_and_says_nothing_about_the_peer() {
    let (peer, hedge, (witness, mut ends)) = (Peer::default(), hedge("witnessed"), witness());
    let inner = GuardLayer::client(witness).layer(peer.service(first_hangs));
    let service = client(&hedge).layer(inner);
    let response = service.oneshot(request(Method::GET, "")).await;
    drop(response.expect("an answer"));
    let ends = ends.so_far().into_iter();
    let ends: Vec<_> = ends.map(|told| (told.outcome, told.evidence)).collect();
    let loser = (Outcome::Cancelled, Evidence::Inconclusive);
    let winner = (Outcome::Success, Evidence::Healthy);
    assert_eq!(ends.len(), 2);
    assert!(ends.contains(&loser) && ends.contains(&winner), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn attempts_share_the_trace_of_the_request_and_have_their_numbers() {
    let (peer, hedge) = (Peer::default(), hedge("traced"));
    let service = client(&hedge).layer(peer.service(first_hangs));
    let mut request = request(Method::GET, "");
    let context = Context::new_root();
    request.extensions_mut().insert(context.clone());
    service.oneshot(request).await.expect("an answer");
    let seen = peer.each(|parts| {
        let context = parts.extensions.get::<Context>().expect("a context");
        (context.trace_id(), context.attempt())
    });
    let trace = context.trace_id();
    assert_eq!(seen, [(trace, 1), (trace, 2)]);
}

fn grpc(hedge: &Hedge) -> HedgeLayer<GrpcClient> {
    HedgeLayer::grpc_client(hedge.clone()).hedge_if_request(|_| true)
}

fn grpc_request() -> Request<Body> {
    let request = Request::post("http://peer/a.Ledger/Get")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "10S");
    request.body("a message".into()).expect("a request")
}

fn grpc_status(code: &'static str) -> Response<Body> {
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code);
    response.body(Body::empty()).expect("a response")
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.to_str().expect("text"));
    value.unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn grpc_hedge_tells_its_number_and_the_time_that_is_left() {
    let (peer, hedge) = (Peer::default(), hedge("grpc"));
    let reply = |ordinal: usize| async move {
        if ordinal == 1 {
            pending().await
        }
        grpc_status("0")
    };
    let service = grpc(&hedge).layer(peer.service(reply));
    service.oneshot(grpc_request()).await.expect("an answer");
    let headers = |name| peer.each(|parts| header(&parts.headers, name));
    assert_eq!(headers("grpc-previous-rpc-attempts"), ["", "1"]);
    assert_eq!(headers("grpc-timeout"), ["10S", "9900000u"]);
    assert_eq!(peer.bodies(), ["a message"; 2]);
}

#[tokio::test(start_paused = true)]
async fn grpc_codes_decide_what_is_fatal() {
    for (code, expected) in [("14", 2), ("13", 1), ("5", 1), ("0", 1)] {
        let (peer, hedge) = (Peer::default(), hedge("grpc codes"));
        let reply = move |_| async move { grpc_status(code) };
        let service = grpc(&hedge).layer(peer.service(reply));
        let response = service.oneshot(grpc_request()).await.expect("an answer");
        assert_eq!(header(response.headers(), "grpc-status"), code);
        assert_eq!(peer.calls(), expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_hedge_inside_of_a_retry_counts_the_attempts_before() {
    let (peer, hedge) = (Peer::default(), hedge("inside"));
    let retry = Retry::builder("around").backoff(Backoff::constant(SECOND));
    let retry = RetryLayer::grpc_client(retry.build().expect("valid"));
    let reply = |ordinal: usize| async move {
        match ordinal {
            1 | 2 => grpc_status("14"),
            3 => pending().await,
            _ => grpc_status("0"),
        }
    };
    let inner = grpc(&hedge)
        .request_body(|body: ReplayBody<ReplayBody<Body>>| ReplayBody::new(Body::new(body), 1_024));
    let service = retry
        .retry_if_request(|_| true)
        .layer(inner.layer(peer.service(reply)));
    let response = service.oneshot(grpc_request()).await.expect("an answer");
    assert_eq!(header(response.headers(), "grpc-status"), "0");
    let previous = peer.each(|parts| header(&parts.headers, "grpc-previous-rpc-attempts"));
    assert_eq!(previous, ["", "1", "1", "2"]);
    assert_eq!(peer.bodies(), ["a message"; 4]);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_dropped_drops_its_attempts() {
    let (peer, hedge, (witness, mut ends)) = (Peer::default(), hedge("dropped"), witness());
    let inner = GuardLayer::client(witness).layer(peer.service(|_| pending()));
    let service = client(&hedge).layer(inner);
    let call = service.oneshot(request(Method::GET, ""));
    timeout(SECOND, call).await.expect_err("hangs");
    let outcomes: Vec<_> = ends.so_far().iter().map(|told| told.outcome).collect();
    assert_eq!(outcomes, [Outcome::Cancelled; 2]);
}
