//! `api/v1/channels` against the document.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tower_keep::ops::{
    Ops,
    journal::EventKind,
    notify::{EventNotice, Slack, Webhook},
};

#[path = "../ops/schema.rs"]
mod schema;

use super::{
    receiver::{Answer, Receiver},
    support::*,
};

fn check(name: &str, value: &Value) {
    let document =
        serde_json::from_str(include_str!("../../src/ops/api/openapi.json")).expect("JSON");
    schema::check(&document, name, value);
}

#[tokio::test]
async fn channels_and_deliveries_are_as_the_document_says() {
    let receiver =
        Receiver::start([Answer::Status(200, "ok"), Answer::Status(404, "no_service")]).await;
    let slack = eager(Slack::webhook(&receiver.url()))
        .events(["a", "deployment_started"])
        .journal([EventKind::Health]);
    let bench = Bench::start(Ops::builder("orders").notify(slack));
    check("Channels", &bench.get("channels").await);
    bench.ops.notify(EventNotice::deployment_started("2"));
    bench.delivery("slack", "delivered").await;
    bench.ops.notify(firing("pay"));
    bench.delivery("slack", "dead").await;
    let channels = bench.get("channels").await;
    check("Channels", &channels);
    let channel = &channels["channels"][0];
    assert_eq!(channel["last"]["error"], "responds 404: no_service");
    assert_eq!(
        (&channel["dead"], &channel["events"]),
        (&1.into(), &json!(["a", "deployment_started"]))
    );
    let deliveries = bench.get("channels/slack/deliveries").await;
    check("Deliveries", &deliveries);
    assert_eq!(deliveries["deliveries"][0]["title"], "pay firing");
    let dead = bench
        .get("channels/slack/deliveries?state=dead&limit=1")
        .await;
    assert_eq!(dead["deliveries"].as_array().map(Vec::len), Some(1));
    for path in [
        "channels/other/deliveries",
        "channels/slack/deliveries?state=odd",
        "channels/slack/deliveries?limit=0",
    ] {
        let request = Request::get(format!("/api/v1/{path}")).body(Body::empty());
        let (status, problem) = bench.send(request.expect("a request")).await;
        assert!(status.is_client_error(), "{path}");
        check("Problem", &problem);
    }
}

#[tokio::test]
async fn channel_test_says_what_became_of_the_message() {
    let receiver =
        Receiver::start([Answer::Status(200, "ok"), Answer::Status(404, "no_service")]).await;
    // Neither severity nor kind would let it through, and the circuit is open.
    let slack = Slack::webhook(&receiver.url())
        .at_least(tower_keep::ops::journal::Severity::Critical)
        .events(["none"]);
    let bench = Bench::start(Ops::builder("orders").notify(slack));
    let (status, answer) = bench.post("channels/slack/test", reason()).await;
    assert_eq!(status, 200);
    check("Tested", &answer);
    assert_eq!(
        (&answer["delivery"]["state"], &answer["delivery"]["status"]),
        (&"delivered".into(), &200.into())
    );
    assert!(
        receiver.received()[0]
            .json()
            .to_string()
            .contains("test of the channel slack")
    );
    let (_, answer) = bench.post("channels/slack/test", reason()).await;
    assert_eq!(
        (&answer["delivery"]["state"], &answer["delivery"]["error"]),
        (&"dead".into(), &"responds 404: no_service".into())
    );
    assert_eq!(answer["delivery"]["can_retry"], false);
    let events = bench
        .ops
        .journal()
        .latest(10, |event| event.kind() == EventKind::Control);
    assert_eq!(
        (events.len(), events[0].who(), events[0].text()),
        (2, Some("mira"), "test of the notification channel: a drill")
    );
}

#[tokio::test]
async fn channels_are_changed_by_operators_with_a_reason() {
    let receiver = Receiver::ok().await;
    let bench = Bench::start(Ops::builder("orders").notify(Webhook::new(&receiver.url())));
    for path in [
        "channels/webhook/test",
        "channels/webhook/deliveries/msg_1/retry",
    ] {
        let request = Request::post(format!("/api/v1/{path}"))
            .header("content-type", "application/json")
            .header("x-viewer", "1");
        let (status, _) = bench
            .send(
                request
                    .body(reason().to_string().into())
                    .expect("a request"),
            )
            .await;
        assert_eq!(status, 403, "{path}");
        let (status, problem) = bench.post(path, json!({"reason": " "})).await;
        assert_eq!(
            (status.as_u16(), &problem["field"]),
            (400, &"reason".into()),
            "{path}"
        );
    }
    let (status, _) = bench
        .post("channels/webhook/deliveries/msg_1/retry", reason())
        .await;
    assert_eq!(status, 404);
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn address_of_a_channel_is_shown_nowhere() {
    let receiver = Receiver::start([Answer::Status(403, "no /hooks/s3cr3tpath here")]).await;
    let webhook =
        eager(Webhook::new(&receiver.url())).header("authorization", "Bearer hunter2hunter2");
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(EventNotice::deployment_started("2"));
    bench.delivery("webhook", "dead").await;
    let shown = [
        bench.get("channels").await.to_string(),
        bench.get("channels/webhook/deliveries").await.to_string(),
        format!("{:?}", bench.ops),
    ];
    for text in shown {
        assert!(
            !text.contains("s3cr3t") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
