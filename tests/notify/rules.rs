//! Rules and channels together, under a paused clock.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tower_keep::ops::{
    Ops,
    alerts::Rule,
    journal::{Event, EventKind, Severity},
    notify::{
        Channel, ChannelBuilder, EventNotice, Message, Notification, Receipt, SendError, SendFuture,
    },
};

use super::support::*;

/// Keeps the titles of what it is told.
#[derive(Clone, Default)]
struct Recording(Arc<Mutex<Vec<String>>>);

impl Recording {
    fn told(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Channel for Recording {
    fn kind(&self) -> &str {
        "recording"
    }

    fn send<'a>(&'a self, message: &'a Message) -> SendFuture<'a> {
        let notification = message.notification();
        let key = match notification {
            Notification::Alerts(group) => group.key().to_owned(),
            _ => String::new(),
        };
        let line = format!("{} {}", notification.title(), key);
        self.0.lock().expect("no panic").push(line);
        Box::pin(async { Ok(Receipt::new()) })
    }
}

#[tokio::test(start_paused = true)]
async fn rule_that_fires_is_told_and_its_resolve_too() {
    let recording = Recording::default();
    let rule = Rule::new("imports")
        .when("event(custom){subject=\"import\"}")
        .critical();
    let builder = Ops::builder("orders").rule(rule);
    let bench = Bench::start(builder.notify(ChannelBuilder::new("recording", recording.clone())));
    sleep(Duration::from_secs(1)).await;
    let event = Event::new(
        EventKind::Custom,
        Severity::Critical,
        "import",
        "the file is damaged",
    );
    bench.ops.journal().record(event);
    sleep(Duration::from_secs(60)).await;
    let told = recording.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let key = told[0]
        .strip_prefix("imports firing ")
        .expect("the title")
        .to_owned();
    sleep(Duration::from_secs(3_600)).await;
    let expected = [
        format!("imports firing {key}"),
        format!("imports resolved {key}"),
    ];
    assert_eq!(recording.told(), expected);
}

/// Fails, and counts how often.
#[derive(Clone, Default)]
struct Failing(Arc<Mutex<u32>>);

impl Channel for Failing {
    fn kind(&self) -> &str {
        "failing"
    }

    fn send<'a>(&'a self, _: &'a Message) -> SendFuture<'a> {
        *self.0.lock().expect("no panic") += 1;
        Box::pin(async { Err(SendError::retryable("no line is free")) })
    }
}

#[tokio::test(start_paused = true)]
async fn channel_that_never_works_is_asked_ever_less_and_given_up_in_the_end() {
    let failing = Failing::default();
    let hour = Duration::from_secs(3_600);
    let channel = ChannelBuilder::new("failing", failing.clone()).give_up_after(hour);
    let bench = Bench::start(Ops::builder("orders").notify(channel));
    bench.ops.notify(EventNotice::deployment_started("2"));
    sleep(Duration::from_secs(60)).await;
    let in_a_minute = *failing.0.lock().expect("no panic");
    assert!((4..=8).contains(&in_a_minute), "{in_a_minute}");
    sleep(hour).await;
    let dead = bench.delivery("failing", "dead").await;
    let attempts = *failing.0.lock().expect("no panic");
    assert!((15..=40).contains(&attempts), "{attempts}");
    assert_eq!(
        (&dead["attempts"], &dead["error"]),
        (&attempts.into(), &"no line is free".into())
    );
    assert_eq!(dead["tries"].as_array().map(Vec::len), Some(10));
}
