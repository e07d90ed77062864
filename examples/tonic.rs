//! A tonic server and a tonic client, each inside of one layer: both ends of a call share its correlation ID and
//! its trace, and a status is classified wherever it comes.
//!
//! `cargo run --example tonic --features tonic,logging`

use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceBuilder;
use tower_keep::observe;

#[tokio::main]
async fn main() -> Result<(), tower_keep::BoxError> {
    tower_keep::logging::install()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .layer(observe("health").server())
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);

    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let channel = ServiceBuilder::new()
        .layer(observe("health").grpc_client())
        .service(channel);
    let mut client = HealthClient::new(channel);
    for service in ["", "unheard-of"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        // Two access lines each, the server's and the client's, of one request chain.
        match client.check(request).await {
            Ok(answer) => println!("{service:?} is {}", answer.into_inner().status),
            Err(status) => println!("{service:?}: {status}"),
        }
    }
    Ok(())
}
