//! Ready-made checks of peers, over real connections.

use axum::{Router, http::StatusCode, routing::get};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tower_keep::ops::health::{Check, ComponentSnapshot, Health, HealthStatus};

use crate::support::nobody;

async fn run(check: Check) -> ComponentSnapshot {
    let health = Health::builder("orders")
        .check(check)
        .build()
        .expect("valid");
    health.spawn();
    health.check_now("peer").await.expect("there")
}

async fn result(check: Check) -> (HealthStatus, String) {
    let peer = run(check).await;
    (
        peer.status,
        peer.text.as_deref().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn http_check_goes_by_the_status_of_a_real_server() {
    let app = Router::new()
        .route(
            "/healthz",
            get(async |headers: http::HeaderMap| {
                assert!(headers.contains_key("host") && headers.contains_key("user-agent"));
                "ok"
            }),
        )
        .route(
            "/moved",
            get(async || (StatusCode::FOUND, [("location", "/login")])),
        )
        .route("/down", get(async || StatusCode::SERVICE_UNAVAILABLE));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, app).await });
    let check = |path: &str| Check::http("peer", &format!("http://{address}{path}"));
    let healthy = (HealthStatus::Healthy, String::new());
    assert_eq!(result(check("/healthz?full=1")).await, healthy);
    assert_eq!(result(check("/moved")).await, healthy);
    let down = (HealthStatus::Unhealthy, "responds 503".to_owned());
    assert_eq!(result(check("/down")).await, down);
    assert_eq!(result(check("/none")).await.1, "responds 404");
}

#[tokio::test]
async fn http_check_fails_if_nobody_listens_or_the_answer_is_not_http() {
    let check = |address: &str| Check::http("peer", &format!("http://{address}/"));
    let (status, text) = result(check(&nobody().to_string())).await;
    assert_eq!(status, HealthStatus::Unhealthy);
    assert!(text.to_lowercase().contains("refused"), "{text}");
    for (answer, expected) in [
        (
            "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
            "the answer is not HTTP/1",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000),
            "the answer is not HTTP/1",
        ),
        ("x".repeat(100_000), "the answer is not HTTP/1"),
        (String::new(), "unexpected end of file"),
    ] {
        let address = answer_with(answer.clone()).await;
        let (status, text) = result(check(&address)).await;
        assert_eq!(status, HealthStatus::Unhealthy);
        assert_eq!(text, expected, "{:.30}", answer);
    }
}

/// Serves one connection, and answers without a look at the request.
async fn answer_with(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // Read first, or the close would reset the connection.
        let _ = stream.readable().await;
        let _ = stream.try_read(&mut [0; 4_096]);
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    address.to_string()
}

#[tokio::test]
async fn tcp_check_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    assert_eq!(
        run(Check::tcp("peer", address)).await.status,
        HealthStatus::Healthy
    );
    assert_eq!(
        run(Check::tcp("peer", nobody().to_string())).await.status,
        HealthStatus::Unhealthy
    );
    assert_eq!(
        run(Check::tcp("peer", "no port")).await.status,
        HealthStatus::Unhealthy
    );
}

#[cfg(all(feature = "ops-disk", unix))]
#[tokio::test]
async fn disk_space_is_that_of_a_real_file_system() {
    assert_eq!(
        run(Check::disk_space("peer", "/", 1)).await.status,
        HealthStatus::Healthy
    );
    let (status, text) = result(Check::disk_space("peer", "/", u64::MAX)).await;
    assert_eq!(status, HealthStatus::Unhealthy);
    assert!(text.contains(" MiB free, limit "), "{text}");
}
