//! Alerts: pending, active, told, and resolved.

use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::client::{Client, get, text};
use super::process::{DEADLINE, Gateway, eventually};
use super::upstream::Upstream;

const OPERATOR: &str = "the token of an operator";

/// The line of the receiver that the gateway starts.
async fn told(gateway: &mut Gateway, status: &str) -> String {
    let wanted = format!("alert {status}: breaker_open");
    gateway.line(|line| line.starts_with(&wanted)).await
}

#[tokio::test]
async fn outage_of_the_embedded_upstream_is_told_and_its_end_as_well() {
    let mut gateway = Gateway::start(&["--load", "100"]).await;
    let firing = told(&mut gateway, "firing").await;
    assert!(firing.contains("upstream"), "{firing}");
    told(&mut gateway, "resolved").await;
}

/// A file that is deleted at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, text: Option<&str>) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-{}-{name}", std::process::id()));
        if let Some(text) = text {
            std::fs::write(&path, text).expect("a file");
        }
        Temporary(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.path()));
        }
    }
}

const RULES: &str = r#"
    group_wait = "0s"
    [[rule]]
    name = "circuit"
    when = "breaker_open == 1"
    for = "2s"
    keep_firing_for = "0s"
    severity = "critical"
    summary = "Circuit breaker {breaker} is open"
"#;

/// A receiver of webhooks, with what it was told.
async fn receiver() -> (String, UnboundedReceiver<Value>) {
    let (sender, received) = unbounded_channel();
    let take = async |State(sender): State<UnboundedSender<Value>>, body: String| {
        let _ = sender.send(serde_json::from_str(&body).expect("JSON"));
        StatusCode::OK
    };
    let app = Router::new().route("/", post(take)).with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}/"), received)
}

async fn next(received: &mut UnboundedReceiver<Value>) -> Value {
    let message = timeout(DEADLINE, received.recv()).await;
    message.expect("told in time").expect("a receiver")
}

/// Waits until the alert is in this state.
async fn alert_is(gateway: &Gateway, state: &str) {
    let (client, bearer) = (Client::http1(), format!("Bearer {OPERATOR}"));
    let url = format!("{}/ops/api/v1/alerts?state={state}", gateway.admin);
    eventually(state, async || {
        // What keeps the circuit open, or closes it.
        client.get(&gateway.at("/")).await;
        let answer = client.send(get(&url, &[("authorization", &bearer)])).await;
        let alerts: Value = serde_json::from_str(&text(answer).await).expect("JSON");
        (alerts["alerts"][0]["rule"] == "circuit").then_some(())
    })
    .await;
}

#[tokio::test]
async fn upstream_that_is_killed_is_an_alert_until_it_is_back() {
    let (webhook, mut received) = receiver().await;
    let rules = Temporary::new("rules.toml", Some(RULES));
    let file = Temporary::new("ops.db", None);
    let upstream = Upstream::start().await;
    let address = upstream.address;
    let url = upstream.url();
    let args = [
        "--upstream",
        &url,
        "--open",
        "0.5",
        "--alerts",
        rules.path(),
    ];
    let args = [
        &args[..],
        &["--webhook", &webhook, "--ops-file", file.path()],
    ]
    .concat();
    let gateway = Gateway::with_env(&args, &[("OPS_OPERATOR_TOKEN", OPERATOR)]).await;

    upstream.kill().await;
    alert_is(&gateway, "pending").await;
    assert!(received.try_recv().is_err(), "not told yet");
    alert_is(&gateway, "active").await;
    let firing = next(&mut received).await;
    assert_eq!(firing["status"], "firing", "{firing}");
    let alert = &firing["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "circuit");
    assert_eq!(
        alert["annotations"]["summary"],
        "Circuit breaker upstream is open"
    );

    let _upstream = Upstream::start_at(address).await;
    alert_is(&gateway, "resolved").await;
    let resolved = next(&mut received).await;
    assert_eq!(resolved["status"], "resolved", "{resolved}");
    assert_eq!(resolved["groupKey"], firing["groupKey"]);
    assert!(file.0.exists(), "what the console remembers");
}
