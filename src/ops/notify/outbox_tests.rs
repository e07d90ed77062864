use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ops::{
    journal::Severity,
    notify::{EventNotice, fixtures},
};

const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;
const SECOND: Duration = Duration::from_secs(1);

/// An outbox with a clock of its own.
struct Bench {
    outbox: Outbox,
    start: Instant,
    now: Instant,
    number: u32,
    /// The messages that were delivered, and what became of the rest, in order.
    ends: Vec<(String, MessageEnd)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ChannelConfig)) -> Self {
        let mut config = ChannelConfig::new("slack".into());
        config.backoff = Backoff::constant(SECOND);
        change(&mut config);
        let now = Instant::now();
        Bench {
            outbox: Outbox::new(&config, None),
            start: now,
            now,
            number: 0,
            ends: Vec::new(),
        }
    }

    fn at(&self) -> SystemTime {
        EPOCH + (self.now - self.start)
    }

    fn take(&mut self, changes: Vec<OutboxChange>) {
        for change in changes {
            if let OutboxChange::Ended(queued, end) = change {
                self.ends.push((queued.id.to_string(), end));
            }
        }
    }

    fn push(&mut self, notification: Notification) -> String {
        self.number += 1;
        let id = self.number.to_string();
        let changes = self.outbox.push(
            Arc::new(notification),
            id.as_str().into(),
            self.at(),
            self.now,
        );
        self.take(changes);
        id
    }

    fn trigger(&mut self, rule: &str) -> String {
        let group = fixtures::group(rule, Severity::Critical, true);
        self.push(Notification::Alerts(group))
    }

    fn resolve(&mut self, rule: &str) -> String {
        let group = fixtures::group(rule, Severity::Critical, false);
        self.push(Notification::Alerts(group))
    }

    fn event(&mut self) -> String {
        let event = EventNotice::deployment_started("2");
        self.push(Notification::Event(event))
    }

    /// Returns the message that is sent now.
    fn next(&mut self) -> Option<QueuedMessage> {
        let (next, changes) = self.outbox.next(self.at(), self.now);
        self.take(changes);
        match next {
            NextSend::Send(queued) => Some(queued),
            NextSend::Wait(_) => None,
        }
    }

    fn begin(&mut self) -> String {
        self.next().expect("a message is due").id.to_string()
    }

    fn finish(&mut self, end: AttemptEnd) {
        let changes = self.outbox.finished(end, self.at(), self.now, 7);
        self.take(changes);
    }

    fn fail(&mut self) {
        self.finish(AttemptEnd::Failed(SendError::retryable("responds 503")));
    }

    /// Sends all that is due, and returns it.
    fn deliver_all(&mut self) -> Vec<String> {
        let mut delivered = Vec::new();
        while let Some(queued) = self.next() {
            delivered.push(queued.id.to_string());
            self.finish(AttemptEnd::Delivered);
        }
        delivered
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn ended(&self, id: &str) -> Option<MessageEnd> {
        let found = self.ends.iter().find(|(each, _)| each == id);
        found.map(|(_, end)| *end)
    }
}

#[test]
fn resolve_goes_where_its_trigger_went() {
    let mut bench = Bench::new();
    let stranger = bench.resolve("pay");
    assert!(bench.next().is_none(), "nobody has heard of it");
    assert_eq!(bench.ended(&stranger), None);
    let trigger = bench.trigger("pay");
    assert_eq!(bench.deliver_all(), [trigger]);
    let resolve = bench.resolve("pay");
    assert_eq!(bench.deliver_all(), [resolve]);
    bench.resolve("pay");
    assert!(bench.next().is_none(), "it is resolved already");
}

#[test]
fn resolve_cancels_a_trigger_that_nobody_has_heard_of() {
    let mut bench = Bench::new();
    let trigger = bench.trigger("pay");
    bench.resolve("pay");
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Cancelled));
    assert!(bench.next().is_none());
    // The same after an attempt that the peer has surely not taken.
    let trigger = bench.trigger("pay");
    bench.begin();
    bench.fail();
    bench.resolve("pay");
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Cancelled));
    bench.wait(SECOND);
    assert!(bench.next().is_none());
}

#[test]
fn resolve_is_sent_if_the_trigger_may_have_arrived() {
    let mut bench = Bench::new();
    let trigger = bench.trigger("pay");
    bench.begin();
    let lost = SendError::retryable("the connection broke").uncertain();
    bench.finish(AttemptEnd::Failed(lost));
    let resolve = bench.resolve("pay");
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Superseded));
    bench.wait(SECOND);
    assert_eq!(bench.deliver_all(), [resolve]);
}

#[test]
fn resolve_during_the_attempt_of_its_trigger_waits_for_what_becomes_of_it() {
    let mut bench = Bench::new();
    let trigger = bench.trigger("pay");
    bench.begin();
    let resolve = bench.resolve("pay");
    assert!(bench.next().is_none(), "one at a time");
    bench.finish(AttemptEnd::Delivered);
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Delivered));
    assert_eq!(bench.deliver_all(), [resolve]);

    let trigger = bench.trigger("pay");
    bench.begin();
    let resolve = bench.resolve("pay");
    bench.fail();
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Cancelled));
    assert_eq!(bench.ended(&resolve), Some(MessageEnd::Cancelled));

    let trigger = bench.trigger("pay");
    bench.begin();
    let resolve = bench.resolve("pay");
    let refused = SendError::permanent("responds 404");
    bench.finish(AttemptEnd::Failed(refused));
    assert_eq!(bench.ended(&trigger), Some(MessageEnd::Dead));
    assert_eq!(bench.ended(&resolve), Some(MessageEnd::Cancelled));
}

#[test]
fn trigger_is_replaced_by_a_newer_one_whose_backoff_goes_on() {
    let mut bench = Bench::new();
    let old = bench.trigger("pay");
    bench.begin();
    bench.fail();
    let new = bench.trigger("pay");
    assert_eq!(bench.ended(&old), Some(MessageEnd::Superseded));
    assert!(bench.next().is_none(), "the peer is still left alone");
    bench.wait(SECOND);
    let queued = bench.next().expect("due");
    assert_eq!((&*queued.id, queued.attempts), (&*new, 2));
}

#[test]
fn alerts_that_flap_while_the_peer_is_down_leave_one_resolve() {
    let mut bench = Bench::new();
    bench.trigger("pay");
    bench.deliver_all();
    let resolve = bench.resolve("pay");
    for _ in 0..20 {
        bench.trigger("pay");
        bench.resolve("pay");
    }
    assert_eq!(bench.outbox.len(), 1);
    assert_eq!(bench.deliver_all(), [resolve]);
    // One that fires again in the end is told, after the resolve.
    bench.trigger("pay");
    bench.deliver_all();
    let (resolve, trigger) = (bench.resolve("pay"), bench.trigger("pay"));
    assert_eq!(bench.deliver_all(), [resolve, trigger]);
}

#[test]
fn message_that_fails_does_not_delay_those_of_other_alerts() {
    let mut bench = Bench::new();
    let (poisoned, event) = (bench.trigger("pay"), bench.event());
    assert_eq!(bench.begin(), poisoned);
    bench.fail();
    let other = bench.trigger("queue");
    assert_eq!(bench.deliver_all(), [event, other]);
    bench.wait(SECOND);
    assert_eq!(bench.deliver_all(), [poisoned]);
}

#[test]
fn retry_after_pauses_the_channel() {
    let mut bench = Bench::new();
    let first = bench.event();
    let second = bench.event();
    bench.begin();
    let error = SendError::retryable("responds 429").with_retry_after(30 * SECOND);
    bench.finish(AttemptEnd::Failed(error));
    bench.wait(29 * SECOND);
    assert!(bench.next().is_none());
    bench.wait(SECOND);
    assert_eq!(bench.deliver_all(), [first, second]);
}

#[test]
fn rejection_by_the_breaker_is_no_attempt() {
    let mut bench = Bench::new();
    bench.event();
    bench.begin();
    bench.finish(AttemptEnd::Rejected(Some(5 * SECOND)));
    bench.wait(4 * SECOND);
    assert!(bench.next().is_none());
    bench.wait(SECOND);
    assert_eq!(bench.next().map(|queued| queued.attempts), Some(1));
}

#[test]
fn message_is_given_up_after_its_time_and_at_once_for_good() {
    let mut bench = Bench::with(|config| config.give_up_after = 10 * SECOND);
    let old = bench.event();
    for _ in 0..9 {
        assert_eq!(bench.begin(), old);
        bench.fail();
        bench.wait(SECOND);
    }
    assert_eq!(bench.ended(&old), None);
    bench.begin();
    bench.fail();
    assert_eq!(
        bench.ended(&old),
        Some(MessageEnd::Dead),
        "the next would be too late"
    );
    // Those that the breaker never admitted, too.
    let old = bench.event();
    bench.wait(10 * SECOND);
    assert!(bench.next().is_none());
    assert_eq!(bench.ended(&old), Some(MessageEnd::Dead));
    let refused = bench.event();
    bench.begin();
    bench.finish(AttemptEnd::Failed(SendError::permanent("responds 400")));
    assert_eq!(bench.ended(&refused), Some(MessageEnd::Dead));
}

#[test]
fn message_is_given_up_in_time_while_the_circuit_is_open() {
    let mut bench = Bench::with(|config| config.give_up_after = 10 * SECOND);
    let given_up_at = bench.now + 10 * SECOND;
    bench.event();
    bench.begin();
    bench.finish(AttemptEnd::Rejected(Some(60 * SECOND)));
    let (next, _) = bench.outbox.next(bench.at(), bench.now);
    assert!(
        matches!(next, NextSend::Wait(Some(until)) if until == given_up_at),
        "{next:?}"
    );
}

#[test]
fn full_queue_drops_the_oldest_that_is_no_resolve() {
    let mut bench = Bench::with(|config| config.max_queued = 2);
    bench.trigger("pay");
    bench.deliver_all();
    let (resolve, old, new) = (bench.resolve("pay"), bench.event(), bench.event());
    assert_eq!(bench.ended(&old), Some(MessageEnd::Dropped));
    assert_eq!(bench.deliver_all(), [resolve, new]);
}

#[test]
fn dead_letter_is_sent_again_if_somebody_wants_so() {
    let mut bench = Bench::new();
    let id = bench.event();
    let queued = bench.next().expect("due");
    bench.finish(AttemptEnd::Failed(SendError::permanent("responds 400")));
    let (at, now) = (bench.at(), bench.now);
    let changes = bench.outbox.retry(queued.id, queued.notification, at, now);
    bench.take(changes);
    assert_eq!(bench.deliver_all(), [id]);
}

#[test]
fn alerts_that_fire_are_sent_again_for_who_forgets_them() {
    let mut bench = Bench::new();
    let config = ChannelConfig::new("alertmanager".into());
    bench.outbox = Outbox::new(&config, Some(60 * SECOND));
    bench.trigger("pay");
    bench.deliver_all();
    for _ in 0..3 {
        bench.wait(59 * SECOND);
        assert!(bench.next().is_none());
        bench.wait(SECOND);
        assert!(bench.next().expect("due").is_resend);
        // Whether it fails or not: the next one comes anyway.
        bench.fail();
    }
    assert_eq!(bench.outbox.len(), 0);
    bench.resolve("pay");
    bench.deliver_all();
    bench.wait(600 * SECOND);
    assert!(bench.next().is_none());
}

#[test]
fn restart_keeps_what_waits_and_what_was_told() {
    let mut before = Bench::new();
    let id = before.trigger("pay");
    let waiting = before.next().expect("due");
    let mut after = Bench::new();
    let (at, now) = (after.at(), after.now);
    after.outbox.restore_queued(waiting, at, now);
    let told = Arc::new(Notification::Alerts(fixtures::group(
        "queue",
        Severity::Critical,
        true,
    )));
    let key = told.key().expect("alerts").to_owned();
    after.outbox.restore_told(key, told, at, now);
    let resolve = after.resolve("queue");
    assert_eq!(after.deliver_all(), [id, resolve]);
    // The attempt before the restart may have arrived: its resolve is sent.
    let mut before = Bench::new();
    before.trigger("pay");
    let waiting = before.next().expect("due");
    let mut after = Bench::new();
    after.outbox.restore_queued(waiting, at, now);
    let resolve = after.resolve("pay");
    assert_eq!(after.deliver_all(), [resolve]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Trigger(u8),
    Resolve(u8),
    Deliver,
    Fail { is_uncertain: bool },
    Refuse,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3u8).prop_map(Step::Trigger),
        (0..3u8).prop_map(Step::Resolve),
        Just(Step::Deliver),
        any::<bool>().prop_map(|is_uncertain| Step::Fail { is_uncertain }),
        Just(Step::Refuse),
        Just(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever comes, and whatever fails: what the receiver has heard last of each group is what is true in the end, unless a
    /// message was refused for good; and a receiver is told of no end whose beginning it cannot have heard.
    #[test]
    fn receiver_knows_the_truth_in_the_end(steps in steps()) {
        let mut bench = Bench::new();
        let mut truth = BTreeMap::new();
        let mut heard: BTreeMap<String, bool> = BTreeMap::new();
        let mut maybe: BTreeMap<String, bool> = BTreeMap::new();
        let mut refused = Vec::new();
        let mut sent: Option<QueuedMessage> = None;
        for step in steps.into_iter().chain([Step::Deliver]) {
            match step {
                Step::Trigger(n) => {
                    truth.insert(n, true);
                    bench.trigger(&n.to_string());
                }
                Step::Resolve(n) => {
                    truth.insert(n, false);
                    bench.resolve(&n.to_string());
                }
                Step::Wait => bench.wait(SECOND),
                Step::Deliver | Step::Fail { .. } | Step::Refuse => {
                    if sent.is_none() {
                        sent = bench.next();
                    }
                    let Some(queued) = sent.take() else { continue };
                    let key = queued.notification.key().expect("alerts").to_owned();
                    let is_firing = !queued.is_resolve();
                    prop_assert!(is_firing || heard.contains_key(&key) || maybe.contains_key(&key));
                    match step {
                        Step::Deliver => {
                            heard.insert(key, is_firing);
                            bench.finish(AttemptEnd::Delivered);
                        }
                        Step::Fail { is_uncertain } => {
                            let error = SendError::retryable("x");
                            if is_uncertain {
                                maybe.insert(key, is_firing);
                                bench.finish(AttemptEnd::Failed(error.uncertain()));
                            } else {
                                bench.finish(AttemptEnd::Failed(error));
                            }
                        }
                        _ => {
                            refused.push(key);
                            bench.finish(AttemptEnd::Failed(SendError::permanent("x")));
                        }
                    }
                }
            }
            prop_assert!(bench.outbox.len() <= 2 * 3 + 1);
        }
        while bench.outbox.len() > 0 {
            bench.wait(SECOND);
            while let Some(queued) = bench.next() {
                let key = queued.notification.key().expect("alerts").to_owned();
                heard.insert(key, !queued.is_resolve());
                bench.finish(AttemptEnd::Delivered);
            }
        }
        for (n, is_firing) in truth {
            let key = format!("orders/{n}");
            let last = heard.get(&key).copied().unwrap_or(false);
            prop_assert!(last == is_firing || refused.contains(&key), "{key}: {is_firing}");
        }
    }
}
