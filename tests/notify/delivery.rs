//! Retries, isolation, order and dead letters, over real connections.

use std::time::Duration;

use tower_keep::{
    ops::{
        Ops,
        health::HealthStatus,
        journal::{EventKind, Severity},
        notify::{EventNotice, Slack, Webhook},
    },
    registry,
};

use super::{
    receiver::{Answer, Receiver},
    support::*,
};

#[tokio::test]
async fn webhook_that_fails_gets_the_same_message_again() {
    let answers = [
        Answer::Status(503, "busy"),
        Answer::Cut,
        Answer::Status(500, ""),
        Answer::Status(204, ""),
    ];
    let receiver = Receiver::start(answers).await;
    let webhook = eager(Webhook::new(&receiver.url()));
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(EventNotice::deployment_started("2.14.0"));
    let received = within(receiver.wait_for(4)).await;
    let ids: Vec<_> = received
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert!(
        ids[0].starts_with("msg_") && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    let delivery = bench.delivery("webhook", "delivered").await;
    assert_eq!(
        (&delivery["attempts"], &delivery["status"]),
        (&4.into(), &204.into())
    );
    let tries = delivery["tries"].as_array().expect("tries");
    assert_eq!(tries[0]["error"], "responds 503: busy");
    assert_eq!(tries[3]["error"], serde_json::Value::Null);
}

#[tokio::test]
async fn retry_after_is_honored() {
    let receiver = Receiver::start([Answer::Throttle(1), Answer::Status(200, "")]).await;
    let bench = Bench::start(Ops::builder("orders").notify(eager(Webhook::new(&receiver.url()))));
    bench.ops.notify(EventNotice::deployment_started("2"));
    let delivery = bench.delivery("webhook", "delivered").await;
    let at = |n: usize| delivery["tries"][n]["at"].as_f64().expect("a time");
    assert!(at(1) - at(0) >= 0.99, "{delivery}");
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let other = Receiver::ok().await;
    let receiver = Receiver::start([Answer::Redirect(other.url())]).await;
    let bench = Bench::start(Ops::builder("orders").notify(eager(Webhook::new(&receiver.url()))));
    bench.ops.notify(EventNotice::deployment_started("2"));
    let delivery = bench.delivery("webhook", "dead").await;
    assert_eq!(
        delivery["error"],
        "responds 302: redirects are not followed"
    );
    assert_eq!((receiver.received().len(), other.received().len()), (1, 0));
}

#[tokio::test]
async fn receiver_that_hangs_or_never_ends_costs_the_limit_at_most() {
    let receiver = Receiver::start([Answer::Hang, Answer::Endless]).await;
    // Longer than the second attempt takes, on any machine.
    let webhook = eager(Webhook::new(&receiver.url())).attempt_limit(Duration::from_secs(5));
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(EventNotice::deployment_started("2"));
    // Of the body that never ends, the beginning is enough.
    let delivery = bench.delivery("webhook", "delivered").await;
    assert_eq!(delivery["tries"][0]["error"], "no answer within 5s");
    assert_eq!(delivery["attempts"], 2);
}

#[tokio::test]
async fn dead_slack_does_not_delay_another_channel() {
    let dead = Receiver::start([Answer::Hang]).await;
    let alive = Receiver::ok().await;
    let slack = Slack::webhook(&dead.url()).attempt_limit(Duration::from_secs(300));
    let bench = Bench::start(
        Ops::builder("orders")
            .notify(slack)
            .notify(Webhook::new(&alive.url())),
    );
    for n in 0..5 {
        bench.ops.notify(firing(&format!("rule-{n}")));
    }
    assert_eq!(within(alive.wait_for(5)).await.len(), 5);
    within(dead.wait_for(1)).await;
    let slack = bench.channel("slack").await;
    assert_eq!(
        (&slack["queued"], &slack["last"]),
        (&5.into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn channel_that_fails_is_degraded_and_its_circuit_is_in_the_registry() {
    let receiver = Receiver::start([Answer::Status(503, "")]).await;
    let webhook = eager(Webhook::new(&receiver.url()).named("failing"))
        .breaker(|breaker| breaker.consecutive_failures(3));
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(EventNotice::deployment_started("2"));
    within(receiver.wait_for(3)).await;
    within(async {
        loop {
            let snapshot = registry::snapshots();
            let guard = snapshot.iter().find(|guard| {
                guard.name() == "notify.failing" && guard.kind() == "circuit_breaker"
            });
            if guard.expect("registered").state() == "open" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let channel = bench.channel("failing").await;
    assert_eq!(
        (&channel["circuit"], &channel["failures"]),
        (&"open".into(), &3.into())
    );
    within(async {
        loop {
            let snapshot = bench.ops.health().snapshot();
            let component = snapshot.component("notify.failing");
            if component.expect("a component").status == HealthStatus::Degraded {
                assert_eq!(snapshot.status, HealthStatus::Degraded, "not worse");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn resolve_follows_its_trigger_and_goes_nowhere_else() {
    let all = Receiver::ok().await;
    let some = Receiver::ok().await;
    let builder = Ops::builder("orders")
        .notify(Webhook::new(&all.url()).named("all"))
        .notify(Webhook::new(&some.url()).named("none").without_alerts());
    let bench = Bench::start(builder);
    bench.ops.notify(resolved("unknown"));
    bench.ops.notify(firing("pay"));
    within(all.wait_for(1)).await;
    bench.delivery("all", "delivered").await;
    bench.ops.notify(resolved("pay"));
    let received = within(all.wait_for(2)).await;
    let statuses: Vec<_> = received
        .iter()
        .map(|request| request.json()["status"].clone())
        .collect();
    assert_eq!(statuses, ["firing", "resolved"]);
    assert_eq!(
        received[0].json()["groupKey"],
        received[1].json()["groupKey"]
    );
    assert!(some.received().is_empty());
}

#[tokio::test]
async fn dead_letter_is_visible_and_can_be_sent_again() {
    let receiver = Receiver::start([Answer::Status(400, "invalid"), Answer::Status(200, "")]).await;
    let bench = Bench::start(Ops::builder("orders").notify(eager(Webhook::new(&receiver.url()))));
    bench.ops.notify(firing("pay"));
    let dead = bench.delivery("webhook", "dead").await;
    assert_eq!(
        (&dead["can_retry"], &dead["error"]),
        (&true.into(), &"responds 400: invalid".into())
    );
    assert_eq!(bench.channel("webhook").await["dead"], 1);
    let id = dead["id"].as_str().expect("an ID");
    let path = format!("channels/webhook/deliveries/{id}/retry");
    let (status, _) = bench.post(&path, reason()).await;
    assert_eq!(status, 200);
    let received = within(receiver.wait_for(2)).await;
    assert_eq!(received[1].header("webhook-id"), id, "the same message");
    bench.delivery("webhook", "delivered").await;
    let (status, _) = bench.post(&path, reason()).await;
    assert_eq!(status, 404, "it is delivered");
    let events = bench
        .ops
        .journal()
        .latest(10, |event| event.kind() == EventKind::Control);
    assert_eq!(events[0].text(), "a dead letter is sent again: a drill");
}

#[tokio::test]
async fn dead_letter_of_resolved_alerts_is_not_sent_again() {
    let receiver = Receiver::start([Answer::Status(400, "")]).await;
    let bench = Bench::start(Ops::builder("orders").notify(eager(Webhook::new(&receiver.url()))));
    bench.ops.notify(firing("pay"));
    bench.delivery("webhook", "dead").await;
    bench.ops.notify(resolved("pay"));
    let cancelled = bench.delivery("webhook", "cancelled").await;
    assert_eq!(cancelled["can_retry"], false);
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn severity_and_kinds_decide_who_is_told() {
    let receiver = Receiver::ok().await;
    let webhook = Webhook::new(&receiver.url())
        .at_least(Severity::Critical)
        .events([
            EventNotice::DEPLOYMENT_FAILED,
            EventNotice::DEPLOYMENT_STARTED,
        ]);
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    bench.ops.notify(EventNotice::deployment_started("2"));
    bench
        .ops
        .notify(EventNotice::new("other", Severity::Critical, "x"));
    bench.ops.notify(EventNotice::deployment_failed("2", "x"));
    within(bench.ops.notifications_tried()).await;
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].json()["type"], "deployment_failed");
}

#[tokio::test]
async fn journal_is_told_where_it_is_asked_for() {
    let receiver = Receiver::ok().await;
    let webhook = Webhook::new(&receiver.url()).journal([EventKind::Custom]);
    let bench = Bench::start(Ops::builder("orders").notify(webhook));
    let event = |kind| tower_keep::ops::journal::Event::new(kind, Severity::Info, "orders", "x");
    within(async {
        // Events before the channel follows the journal are not told.
        while receiver.received().is_empty() {
            bench.ops.journal().record(event(EventKind::Health));
            bench.ops.journal().record(event(EventKind::Custom));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for request in receiver.received() {
        assert_eq!(request.json()["type"], "journal_custom");
    }
}
