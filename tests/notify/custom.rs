//! Channels of the application.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tower_keep::ops::{
    Ops,
    notify::{
        Channel, ChannelBuilder, EventNotice, Message, Receipt, SendError, SendFuture, Webhook,
    },
};

use super::{receiver::Receiver, support::*};

/// Panics, then fails, then works.
struct Moody(Arc<AtomicU32>);

impl Channel for Moody {
    fn kind(&self) -> &str {
        "moody"
    }

    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
        let calls = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        assert_eq!((message.attempt(), message.service()), (calls, "orders"));
        assert!(calls > 1, "the first always does");
        Box::pin(async move {
            match calls {
                2 => Err(SendError::retryable("token=hunter2 is busy")),
                _ => Ok(Receipt::new()),
            }
        })
    }
}

#[tokio::test]
async fn custom_channel_that_panics_is_tried_again_and_harms_no_other() {
    let other = Receiver::ok().await;
    let calls = Arc::new(AtomicU32::new(0));
    let builder = Ops::builder("orders")
        .notify(eager(ChannelBuilder::new("moody", Moody(calls.clone()))))
        .notify(Webhook::new(&other.url()));
    let bench = Bench::start(builder);
    bench.ops.notify(EventNotice::deployment_started("2"));
    within(other.wait_for(1)).await;
    let delivery = bench.delivery("moody", "delivered").await;
    assert_eq!(
        delivery["tries"][0]["error"],
        "panicked: the first always does"
    );
    assert_eq!(delivery["tries"][1]["error"], "token=REDACTED is busy");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

struct Broken;

impl Channel for Broken {
    fn kind(&self) -> &str {
        "broken"
    }

    fn send<'a>(&'a self, _: &'a Message) -> SendFuture<'a> {
        Box::pin(async { Err(SendError::permanent("there is no such pager")) })
    }
}

#[tokio::test]
async fn channel_ends_with_its_operations_side() {
    let bench = Bench::start(Ops::builder("orders").notify(ChannelBuilder::new("broken", Broken)));
    bench.ops.notify(EventNotice::deployment_started("2"));
    let dead = bench.delivery("broken", "dead").await;
    assert_eq!(
        (&dead["attempts"], &dead["status"]),
        (&1.into(), &serde_json::Value::Null)
    );
    drop(bench);
}
