//! Errors as hyper, hyper-util and h2 make them, over connections in memory.

use std::future::{Future, ready};

use bytes::Bytes;
use h2::{Reason, client, server};
use http::{Method, Request, Uri, Version};
use http_body_util::{Empty, Full, StreamBody};
use hyper::client::conn::{http1, http2};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    net::TcpStream,
};
use tower::service_fn;

use super::*;
use crate::call::BoxError;

/// Returns the answer, or fails the test instead of hanging.
async fn within<T>(answer: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(10);
    let answer = tokio::time::timeout(limit, answer).await;
    answer.expect("an end")
}

// ---- hyper-util's client

/// Returns what is proven by the error of a client that connects so.
async fn of_client(
    connector: impl Connect + Clone + Send + Sync + 'static,
    uri: &'static str,
) -> Option<NotSent> {
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let answer = client.get(Uri::from_static(uri)).await;
    not_sent(&answer.expect_err("no answer"))
}

fn failing(error: fn() -> BoxError) -> impl Connect + Clone + Send + Sync + 'static {
    service_fn(move |_: Uri| ready(Err::<TokioIo<TcpStream>, _>(error())))
}

#[tokio::test]
async fn connector_that_fails_has_sent_nothing_and_may_say_why_that_will_not_change() {
    let table: [(fn() -> BoxError, NotSent); 4] = [
        (|| "no such host".into(), NotSent::NoConnection),
        (
            || io::Error::other("no handshake").into(),
            NotSent::NoConnection,
        ),
        (
            || io::Error::other(io::Error::from(io::ErrorKind::TimedOut)).into(),
            NotSent::NoConnection,
        ),
        (
            || {
                let certificate = io::Error::new(io::ErrorKind::InvalidData, "unknown issuer");
                io::Error::other(certificate).into()
            },
            NotSent::UntrustedPeer,
        ),
    ];
    for (error, proof) in table {
        let proven = of_client(failing(error), "http://peer/").await;
        assert_eq!(proven, Some(proof), "{}", error());
    }
}

#[tokio::test]
async fn request_that_the_client_cannot_send_never_left() {
    for uri in ["/orders", "ftp://peer/orders"] {
        let proven = of_client(HttpConnector::new(), uri).await;
        assert_eq!(proven, Some(NotSent::Unsendable), "{uri}");
    }
}

// ---- hyper's connections

fn http1_request() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

#[tokio::test]
async fn request_to_a_connection_that_is_gone_was_not_begun() {
    let (ours, _peer) = duplex(1024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.expect("ready");
    drop(connection);
    let answer = sender.send_request(http1_request()).await;
    let error = answer.expect_err("no answer");
    assert_eq!(not_sent(&error), Some(NotSent::ClosedIdle));
}

#[tokio::test]
async fn connection_that_ends_in_the_midst_of_a_request_proves_nothing() {
    let (ours, mut peer) = duplex(1024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.expect("ready");
    tokio::spawn(connection);
    let answer = sender.send_request(http1_request());
    let leaves = async move { peer.read_u8().await.map(drop) };
    let (answer, _) = tokio::join!(answer, leaves);
    assert_eq!(not_sent(&answer.expect_err("no answer")), None);
}

#[tokio::test]
async fn body_that_fails_proves_nothing_for_its_request_was_begun() {
    let (ours, _peer) = duplex(1024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.expect("ready");
    tokio::spawn(connection);
    let frames = futures_util::stream::once(ready(Err::<http_body::Frame<Bytes>, _>("reset")));
    let request = Request::post("/").body(StreamBody::new(frames));
    let answer = sender.send_request(request.expect("a request")).await;
    let error = answer.expect_err("no answer");
    assert!(error.is_user());
    assert_eq!(not_sent(&error), None);
}

#[tokio::test]
async fn tunnel_with_a_body_never_left() {
    let (ours, _peer) = duplex(1024);
    let io = TokioIo::new(ours);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io)
        .await
        .expect("ready");
    tokio::spawn(connection);
    let request = Request::builder().method(Method::CONNECT).uri("peer:80");
    let request = request.body(Full::<Bytes>::from("a body"));
    let answer = sender.send_request(request.expect("a request")).await;
    let error = answer.expect_err("no answer");
    assert_eq!(not_sent(&error), Some(NotSent::Unsendable));
}

// ---- h2's streams

/// Names the reaction of a peer to a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Reset(Reason),
    GoAway,
    Vanish,
}

async fn act(peer: DuplexStream, act: Act) -> Result<(), h2::Error> {
    let mut connection = server::handshake(peer).await?;
    match act {
        Act::Reset(reason) => {
            let (_, mut respond) = connection.accept().await.expect("a request")?;
            respond.send_reset(reason);
        }
        Act::GoAway => connection.abrupt_shutdown(Reason::NO_ERROR),
        Act::Vanish => return Ok(()),
    }
    while connection.accept().await.is_some() {}
    Ok(())
}

async fn h2_client() -> (client::SendRequest<Bytes>, DuplexStream) {
    let (ours, peer) = duplex(64 * 1024);
    let (sender, connection) = client::handshake(ours).await.expect("ready");
    tokio::spawn(connection);
    (sender, peer)
}

#[tokio::test]
async fn stream_that_the_peer_refuses_or_goes_away_from_was_refused() {
    for (does, proof) in [
        (
            Act::Reset(Reason::REFUSED_STREAM),
            Some(NotSent::RefusedByPeer),
        ),
        (Act::GoAway, Some(NotSent::RefusedByPeer)),
        (Act::Reset(Reason::INTERNAL_ERROR), None),
        (Act::Vanish, None),
    ] {
        let (mut sender, peer) = h2_client().await;
        let request = Request::get("http://peer/").body(()).expect("a request");
        let (answer, _) = sender.send_request(request, true).expect("sent");
        tokio::spawn(act(peer, does));
        let answer = within(answer).await;
        assert_eq!(not_sent(&answer.expect_err("no answer")), proof, "{does:?}");
    }
    // This side has refused it: a peer's word it is not.
    assert_eq!(not_sent(&h2::Error::from(Reason::REFUSED_STREAM)), None);
}

#[tokio::test]
async fn request_that_h2_cannot_write_never_left() {
    let relative = Request::get("/orders");
    let malformed = Request::get("http://peer/").header("connection", "keep-alive");
    for request in [relative, malformed] {
        let (mut sender, _peer) = h2_client().await;
        let request = request.version(Version::HTTP_2).body(());
        let error = sender.send_request(request.expect("a request"), true);
        let error = error.expect_err("a complaint");
        assert_eq!(not_sent(&error), Some(NotSent::Unsendable), "{error}");
    }
}
