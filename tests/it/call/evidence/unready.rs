//! A service that fails to become ready: no call, but a failure of the peer.

use std::task::{Context, Poll};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use tokio::io::AsyncReadExt;
use tower::{Layer, Service, ServiceExt};
use tower_keep::CircuitBreaker;

use crate::support::{connect1, get, listen, within};

/// One connection, as a service that is ready as long as it is.
struct Connection(SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

#[tokio::test]
async fn evidence_of_connection_gone_before_call() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    let breaker = CircuitBreaker::builder("peer").min_calls(100);
    let breaker = breaker.build().expect("sound settings");
    let connection = Connection(connect1(address).await);
    // It is not `Clone`, and need not be.
    let layer = breaker.layer().client().pass_through();
    let mut service = layer.layer(connection);
    let call = within(service.ready())
        .await
        .expect("ready")
        .call(get(address, "/"));
    within(call).await.expect_err("it broke");
    assert_eq!(breaker.counts().failures, 1, "a transport error");
    within(service.ready())
        .await
        .map(drop)
        .expect_err("it is gone");
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (2, 2));
}
