//! A hyper client inside of one layer: the context of the call it works for is sent on, with a span of its own.
//!
//! `cargo run --example hyper_client --features logging`

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keep::{BoxError, Context, observe};

/// A peer that says what it was told about the call.
async fn peer(listener: TcpListener) -> Result<(), BoxError> {
    let answer = |request: Request<Incoming>| async move {
        let header = |name| request.headers().get(name).cloned();
        let seen = ["x-request-id", "traceparent"];
        let seen = seen.map(|name| format!("  {name}: {:?}\n", header(name)));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(seen.concat()))))
    };
    loop {
        let (stream, _) = listener.accept().await?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tower_keep::logging::install()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(peer(listener));

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut client = ServiceBuilder::new()
        .layer(observe("payments").client())
        .service(client);

    // In a handler, the context is that of the call; here it is begun by hand.
    let chain = Context::new_root();
    println!("request chain {}", chain.correlation_id());
    for attempt in 1..=2 {
        let request = Request::get(format!("http://{address}/")).body(Empty::new())?;
        let call = async { client.ready().await?.call(request).await };
        let response = chain.scope(call).await?;
        let body = response.into_body().collect().await?.to_bytes();
        println!(
            "attempt {attempt} arrives with\n{}",
            String::from_utf8_lossy(&body)
        );
    }
    Ok(())
}
