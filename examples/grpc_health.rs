//! `grpc.health.v1` from the same checks as the HTTP probes: the server serves while the process is ready.
//!
//! `cargo run --example grpc_health --features ops`

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_check_response, health_client::HealthClient},
    server::HealthReporter,
};
use tower_keep::ops::health::{Check, Health, HealthSnapshot};

#[tokio::main]
async fn main() -> Result<(), tower_keep::BoxError> {
    // A database that goes down.
    let is_up = Arc::new(AtomicBool::new(true));
    let database = is_up.clone();
    let ping = move || {
        let is_up = database.load(Ordering::Relaxed);
        async move {
            if is_up {
                Ok(())
            } else {
                Err("connection refused")
            }
        }
    };
    let interval = Duration::from_millis(100);
    let health = Health::builder("orders")
        .check(Check::new("db", ping).critical().interval(interval))
        .build()?;
    health.spawn();

    let (reporter, service) = tonic_health::server::health_reporter();
    tokio::spawn(feed(health.clone(), reporter));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let channel = Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?;
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut statuses = HealthClient::new(channel)
        .watch(request)
        .await?
        .into_inner();
    let mut works_again = false;
    while let Some(status) = statuses.message().await? {
        println!("the server is {}", status.status().as_str_name());
        let serves = status.status() == health_check_response::ServingStatus::Serving;
        if serves && works_again {
            break;
        }
        // Down after it has served, and up again after that.
        works_again = !serves && !is_up.load(Ordering::Relaxed);
        is_up.store(!serves, Ordering::Relaxed);
    }
    Ok(())
}

/// Copies each change of the snapshot to the gRPC service, until the last clone of the handle is gone.
async fn feed(health: Health, reporter: HealthReporter) {
    let mut snapshots = health.watch();
    drop(health);
    loop {
        // Cloned, so that nothing is borrowed across the await.
        let snapshot = snapshots.borrow_and_update().clone();
        reporter
            .set_service_status("", serving_status(&snapshot))
            .await;
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

/// The whole server, whose name is empty in `grpc.health.v1`, serves while the process is ready.
fn serving_status(snapshot: &HealthSnapshot) -> ServingStatus {
    match snapshot.is_ready {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    }
}
