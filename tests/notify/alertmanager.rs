//! A real Alertmanager: Debian's, which `.ci/notify` installs.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tower_keep::ops::{Ops, notify::Alertmanager};

use super::support::*;

/// The process, and where it keeps its data.
struct Server {
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Starts it, if it is installed.
    async fn start() -> Option<Self> {
        let program = super::email::installed("prometheus-alertmanager")?;
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("an address")
            .port();
        let address = format!("127.0.0.1:{port}");
        let folder =
            std::env::temp_dir().join(format!("tower-keep-alertmanager-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("alertmanager.yml");
        std::fs::write(
            &config,
            "route: { receiver: none }\nreceivers: [{ name: none }]\n",
        )
        .expect("a file");
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let server = Server {
            child,
            folder,
            address,
        };
        within(async {
            while server.get("/-/ready").await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        Some(server)
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .ok()?;
        tokio::spawn(connection);
        let request = http::Request::get(path)
            .header("host", &self.address)
            .body(Empty::<Bytes>::new());
        let response = sender.send_request(request.ok()?).await.ok()?;
        let is_ok = response.status().is_success();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        is_ok.then_some(body)
    }

    async fn alerts(&self) -> Vec<Value> {
        let body = self.get("/api/v2/alerts").await.expect("an answer");
        serde_json::from_slice(&body).expect("JSON")
    }
}

#[tokio::test]
async fn alertmanager_lists_an_alert_until_it_is_resolved() {
    let Some(server) = Server::start().await else {
        return;
    };
    let alertmanager = Alertmanager::new(&format!("http://{}", server.address));
    let bench = Bench::start(
        Ops::builder("orders")
            .external_url("https://ops.example/ops")
            .notify(eager(alertmanager)),
    );
    let (status, answer) = bench.post("channels/alertmanager/test", reason()).await;
    assert_eq!(
        (status.as_u16(), &answer["delivery"]["state"]),
        (200, &"delivered".into()),
        "{answer}"
    );
    assert!(server.alerts().await.is_empty());
    bench.ops.notify(firing("pay_errors"));
    let delivery = bench.delivery("alertmanager", "delivered").await;
    assert_eq!(delivery["status"], 200);
    let alerts = server.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let labels = &alerts[0]["labels"];
    assert_eq!(
        (&labels["alertname"], &labels["route"], &labels["severity"]),
        (
            &"pay_errors".into(),
            &"POST /pay".into(),
            &"critical".into()
        )
    );
    assert_eq!(
        alerts[0]["annotations"]["runbook"],
        "https://wiki.example/pay"
    );
    assert_eq!(alerts[0]["status"]["state"], "active");
    bench.ops.notify(resolved("pay_errors"));
    within(async {
        while !server.alerts().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
