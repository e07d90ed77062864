//! Reasons for which nobody is told of an alert.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tower_keep::ops::{
    Ops, OpsBuilder,
    journal::Severity,
    notify::{Channel, ChannelBuilder, Message, Receipt, SendFuture},
};

use crate::support::*;

/// A channel that takes everything.
struct Taking;

impl Channel for Taking {
    fn kind(&self) -> &str {
        "test"
    }

    fn send<'a>(&'a self, _message: &'a Message) -> SendFuture<'a> {
        Box::pin(async { Ok(Receipt::new()) })
    }
}

fn channel(name: &'static str) -> ChannelBuilder<Taking> {
    ChannelBuilder::new(name, Taking)
}

fn service(change: impl FnOnce(OpsBuilder) -> OpsBuilder) -> Service {
    let builder = Ops::builder("orders").rule(backlog().for_(Duration::from_secs(5)));
    Service::start(change(builder))
}

/// Returns what the detail of the only alert says.
async fn telling(service: &Service) -> Value {
    let alerts = service.alerts("").await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let fingerprint = alerts[0]["fingerprint"].as_str().expect("a text");
    let path = format!("api/v1/alerts/{fingerprint}");
    let detail = service.get(&path, "AlertDetail").await;
    detail["telling"].clone()
}

#[tokio::test(start_paused = true)]
async fn alert_is_not_told_while_it_is_pending_waits_for_others_or_cools_down() {
    let mut service = service(|ops| ops.notify(channel("pager")));
    service.load("a", 20.0);
    seconds(1).await;
    assert_eq!(telling(&service).await["reason"], "pending");
    seconds(15).await;
    let waits = telling(&service).await;
    assert_eq!(waits["reason"], "group_wait");
    assert!(waits["until"].is_number(), "{waits}");
    seconds(60).await;
    let told = telling(&service).await;
    let taken = json!([{"name": "pager", "refuses": null}]);
    assert_eq!(
        told,
        json!({"reason": null, "until": null, "channels": taken})
    );
    let alerts = service.alerts("").await;
    assert_eq!(service.act(&alerts[0], "resolve").await, StatusCode::OK);
    seconds(45).await;
    let cool = telling(&service).await;
    assert_eq!(cool["reason"], "cooldown");
    assert!(cool["until"].is_number(), "{cool}");
}

#[tokio::test(start_paused = true)]
async fn alert_that_is_silenced_or_acknowledged_is_not_told() {
    let mut service = service(|ops| ops.notify(channel("pager")));
    let silence = json!({"matchers": ["alertname=backlog"], "seconds": 3600, "reason": "x"});
    let (_, made) = service.post("api/v1/silences", silence).await;
    service.load("a", 20.0);
    seconds(20).await;
    assert_eq!(telling(&service).await["reason"], "silenced");
    let path = format!(
        "api/v1/silences/{}/end",
        made["id"].as_str().expect("a text")
    );
    let alerts = service.alerts("").await;
    assert_eq!(service.act(&alerts[0], "acknowledge").await, StatusCode::OK);
    let (status, _) = service.post(&path, json!({"reason": "x"})).await;
    assert_eq!(status, StatusCode::OK);
    seconds(1).await;
    assert_eq!(telling(&service).await["reason"], "acknowledged");
}

#[tokio::test(start_paused = true)]
async fn alert_is_not_told_where_no_channel_takes_it() {
    let mut without = service(|ops| ops);
    without.load("a", 20.0);
    seconds(60).await;
    let none = telling(&without).await;
    assert_eq!(
        (&none["reason"], &none["channels"]),
        (&json!("no_channel"), &json!([]))
    );
    let mut deaf = service(|ops| {
        let events = channel("events").without_alerts();
        ops.notify(events)
    });
    deaf.load("a", 20.0);
    seconds(60).await;
    let refused = telling(&deaf).await;
    let channels = json!([{"name": "events", "refuses": "no_alerts"}]);
    assert_eq!(
        (&refused["reason"], &refused["channels"]),
        (&json!("no_channel"), &channels)
    );
}

#[tokio::test(start_paused = true)]
async fn alert_below_the_minimum_severity_of_all_channels_is_not_told() {
    let mut severe = service(|ops| {
        let pager = channel("pager").at_least(Severity::Critical);
        ops.notify(pager).notify(channel("events").without_alerts())
    });
    severe.load("a", 20.0);
    seconds(60).await;
    let refused = telling(&severe).await;
    let channels = json!([{"name": "pager", "refuses": "min_severity"}, {"name": "events", "refuses": "no_alerts"}]);
    assert_eq!(
        (&refused["reason"], &refused["channels"]),
        (&json!("min_severity"), &channels)
    );
    // A more severe one of the rule takes it along.
    severe.load("a", 200.0);
    seconds(60).await;
    let told = telling(&severe).await;
    assert_eq!(
        (&told["reason"], &told["channels"][0]["refuses"]),
        (&json!(null), &json!(null))
    );
}
