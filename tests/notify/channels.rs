//! The requests of each channel, and its reading of the answers.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::Value;
use tower_keep::ops::{
    Ops,
    notify::{Alertmanager, Discord, EventNotice, PagerDuty, Slack, Teams, Webhook},
};

use super::{
    receiver::{Answer, Receiver},
    support::*,
};

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The code that the guide shows to receivers.
fn verify(secret: &str, id: &str, timestamp: &str, body: &[u8], signatures: &str) -> bool {
    let bytes = STANDARD
        .decode(secret.trim_start_matches("whsec_"))
        .expect("Base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let mut parts = signatures
        .split(' ')
        .filter_map(|part| part.strip_prefix("v1,"));
    parts.any(|part| {
        STANDARD
            .decode(part)
            .is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    })
}

#[tokio::test]
async fn webhook_signature_is_valid_by_each_secret_and_in_each_attempt() {
    let receiver = Receiver::start([Answer::Status(503, ""), Answer::Status(200, "")]).await;
    let webhook = eager(Webhook::new(&receiver.url()))
        .secret(NEW)
        .secret(OLD)
        .header("x-team", "pay");
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(firing("pay"));
    for request in within(receiver.wait_for(2)).await {
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| request.header(name));
        let [id, timestamp, signatures] = headers;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        let age = now.as_secs().abs_diff(timestamp.parse().expect("seconds"));
        assert!(age < 120, "{timestamp}");
        for secret in [NEW, OLD] {
            assert!(verify(secret, id, timestamp, &request.body, signatures));
        }
        assert!(!verify(
            NEW,
            "msg_other",
            timestamp,
            &request.body,
            signatures
        ));
        assert_eq!(
            (request.header("x-team"), request.header("content-type")),
            ("pay", "application/json")
        );
        let body = request.json();
        assert_eq!(
            (&body["version"], &body["alerts"][0]["labels"]["alertname"]),
            (&"4".into(), &"pay".into())
        );
    }
}

#[tokio::test]
async fn slack_success_is_ok_and_any_other_text_is_final() {
    let receiver = Receiver::start([
        Answer::Status(200, "ok"),
        Answer::Status(200, "channel_is_archived"),
    ])
    .await;
    let bench = Bench::start(Ops::builder("orders").notify(eager(Slack::webhook(&receiver.url()))));
    bench.ops.notify(firing("pay"));
    bench.delivery("slack", "delivered").await;
    let body = receiver.received()[0].json();
    assert_eq!(body["text"], "[CRITICAL] pay is firing on orders");
    bench.ops.notify(EventNotice::deployment_started("2"));
    let dead = bench.delivery("slack", "dead").await;
    assert_eq!(dead["error"], "responds \"channel_is_archived\"");
    assert_eq!(dead["status"], 200);
}

#[tokio::test]
async fn pagerduty_is_triggered_and_resolved_by_one_key() {
    let accepted = r#"{"status":"success","message":"Event processed"}"#;
    let receiver = Receiver::start([Answer::Status(202, accepted)]).await;
    let key = "0123456789abcdef0123456789abcdef";
    let pagerduty = eager(PagerDuty::routing_key(key)).endpoint(&receiver.base());
    let bench = Bench::start(Ops::builder("orders").notify(pagerduty));
    bench.ops.notify(firing("pay"));
    bench.delivery("pagerduty", "delivered").await;
    bench.ops.notify(resolved("pay"));
    within(receiver.wait_for(2)).await;
    bench.ops.notify(EventNotice::deployment_completed("2"));
    let received = within(receiver.wait_for(3)).await;
    let paths: Vec<_> = received.iter().map(|request| &*request.path).collect();
    assert_eq!(paths, ["/v2/enqueue", "/v2/enqueue", "/v2/change/enqueue"]);
    let bodies: Vec<Value> = received.iter().map(|request| request.json()).collect();
    assert!(bodies.iter().all(|body| body["routing_key"] == key));
    assert_eq!(
        (&bodies[0]["event_action"], &bodies[1]["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(bodies[0]["dedup_key"], bodies[1]["dedup_key"]);
    let shown = bench.get("channels").await.to_string();
    assert!(
        shown.contains("…cdef") && !shown.contains("0123456789"),
        "{shown}"
    );
}

#[tokio::test]
async fn alertmanager_gets_alerts_again_while_they_fire() {
    let receiver = Receiver::ok().await;
    let alertmanager = Alertmanager::new(&receiver.base()).resend_every(Duration::from_millis(20));
    let bench = Bench::start(Ops::builder("orders").notify(alertmanager));
    bench.ops.notify(EventNotice::deployment_started("2"));
    bench.ops.notify(firing("pay"));
    let received = within(receiver.wait_for(4)).await;
    for request in &received {
        assert_eq!(request.path, "/api/v2/alerts");
        let alerts = request.json();
        assert_eq!(alerts[0]["labels"]["alertname"], "pay");
        assert_eq!(alerts[0].get("endsAt"), None);
    }
    bench.ops.notify(resolved("pay"));
    bench.delivery("alertmanager", "delivered").await;
    within(async {
        while receiver.received().last().expect("some").json()[0]
            .get("endsAt")
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        bench.deliveries("alertmanager").await.len(),
        2,
        "what is sent again is no news"
    );
}

#[tokio::test]
async fn teams_and_discord_take_what_they_get() {
    let (teams, discord) = (
        Receiver::start([Answer::Status(202, "")]).await,
        Receiver::start([Answer::Status(204, "")]).await,
    );
    let builder = Ops::builder("orders")
        .notify(Teams::workflow(&teams.url()))
        .notify(Discord::webhook(&discord.url()));
    let bench = Bench::start(builder);
    bench.ops.notify(firing("pay"));
    let card = within(teams.wait_for(1)).await[0].json();
    assert_eq!(card["attachments"][0]["content"]["type"], "AdaptiveCard");
    let embed = within(discord.wait_for(1)).await[0].json();
    assert_eq!(embed["embeds"][0]["color"], 0xd3_2f2f);
    bench.delivery("teams", "delivered").await;
    bench.delivery("discord", "delivered").await;
}

#[test]
fn addresses_that_are_not_allowed_are_errors_of_build() {
    let error = |url: &str| {
        Ops::builder("orders")
            .notify(Webhook::new(url))
            .build()
            .expect_err("refused")
            .to_string()
    };
    for url in [
        "http://hooks.example/abcdefghijkl",
        "https://10.0.0.1/abcdefghijkl",
        "https://169.254.169.254/abcdefghijkl",
    ] {
        let error = error(url);
        assert!(
            error.starts_with("webhook channel: url is ") && !error.contains("abcdefgh"),
            "{error}"
        );
    }
    let twice = Ops::builder("orders")
        .notify(Slack::webhook("https://a.example/x"))
        .notify(Slack::webhook("https://b.example/x"));
    let error = twice.build().expect_err("one name").to_string();
    assert!(error.contains("\"slack\" twice"), "{error}");
}
