//! Notifications before and after a restart.

use std::path::PathBuf;

use tower_keep::ops::{Ops, OpsBuilder, notify::Webhook};

use super::{
    receiver::{Answer, Receiver},
    support::*,
};

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let folder = format!("tower-keep-notify-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        File(folder)
    }

    fn ops(&self) -> OpsBuilder {
        Ops::builder("orders").sqlite(self.0.join("ops.db"))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_that_waits_is_sent_after_a_restart_under_its_id() {
    let file = File::new("waits");
    let receiver = Receiver::start([Answer::Status(503, "")]).await;
    let webhook = |receiver: &Receiver| eager(Webhook::new(&receiver.url()));
    let bench = Bench::start(file.ops().notify(webhook(&receiver)));
    bench.ops.notify(firing("pay"));
    let id = within(receiver.wait_for(1)).await[0]
        .header("webhook-id")
        .to_owned();
    drop(bench);

    let receiver = Receiver::ok().await;
    let bench = Bench::start(file.ops().notify(webhook(&receiver)));
    let received = within(receiver.wait_for(1)).await;
    assert_eq!(received[0].header("webhook-id"), id);
    assert_eq!(
        received[0].json()["alerts"][0]["labels"]["route"],
        "POST /pay"
    );
    bench.delivery("webhook", "delivered").await;
    drop(bench);

    // Where the trigger went before the restart, its resolve goes after another one; and the log is still there.
    let bench = Bench::start(file.ops().notify(webhook(&receiver)));
    let delivery = bench.delivery("webhook", "delivered").await;
    assert_eq!(delivery["id"], id);
    bench.ops.notify(resolved("pay"));
    let received = within(receiver.wait_for(2)).await;
    assert_eq!(received[1].json()["status"], "resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letter_can_be_sent_again_after_a_restart() {
    let file = File::new("dead");
    let receiver = Receiver::start([Answer::Status(400, ""), Answer::Status(200, "")]).await;
    let start = || Bench::start(file.ops().notify(eager(Webhook::new(&receiver.url()))));
    let bench = start();
    bench.ops.notify(firing("pay"));
    bench.delivery("webhook", "dead").await;
    drop(bench);

    let bench = start();
    let dead = bench.delivery("webhook", "dead").await;
    assert_eq!(
        (&dead["can_retry"], &dead["tries"][0]["status"]),
        (&true.into(), &400.into())
    );
    let id = dead["id"].as_str().expect("an ID");
    let path = format!("channels/webhook/deliveries/{id}/retry");
    let (status, _) = bench.post(&path, reason()).await;
    assert_eq!(status, 200);
    bench.delivery("webhook", "delivered").await;
    assert_eq!(receiver.received().len(), 2);
}
