use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};

use super::{
    Channel, Delivery, DeliveryState, ErasedChannel, EventNotice, Message, NotResent, Notification,
    Refusal,
    attempt::{self, NoReceipt},
    channel_config::ChannelConfig,
    channel_health::ChannelHealth,
    channel_store::{ChannelStore, StoredChannels},
    delivery::Attempted,
    delivery_log::DeliveryLog,
    message_id::message_id,
    metrics,
    origin::Origin,
    outbox::{AttemptEnd, MessageEnd, NextSend, Outbox, OutboxChange},
    queued::QueuedMessage,
};
use crate::{
    Pipeline,
    breaker::CircuitBreaker,
    call::ConfigError,
    ops::{
        health::CheckResult,
        journal::{EventKind, Severity},
        store::Store,
        time::unix,
    },
};

/// A channel at work: its outbox, its log, and what guards it. The lock is held for no I/O and no code of others.
pub(crate) struct ChannelHandle {
    name: Arc<str>,
    config: ChannelConfig,
    channel: Arc<dyn Channel>,
    breaker: CircuitBreaker,
    pipeline: Pipeline,
    store: ChannelStore,
    origin: Arc<Origin>,
    state: Mutex<State>,
    wake: Notify,
    /// A single permit: tests are not made at the same time.
    tests: Semaphore,
}

struct State {
    outbox: Outbox,
    log: DeliveryLog,
    health: ChannelHealth,
}

impl ChannelHandle {
    pub(super) fn new(
        channel: ErasedChannel,
        origin: Arc<Origin>,
        store: Store,
    ) -> Result<Self, ConfigError> {
        let (channel, config, breaker) = channel.build()?;
        let name: Arc<str> = config.name.as_str().into();
        let state = State {
            outbox: Outbox::new(&config, channel.resend_every()),
            log: DeliveryLog::default(),
            health: ChannelHealth::default(),
        };
        Ok(ChannelHandle {
            pipeline: attempt::pipeline(&breaker, config.attempt_limit)?,
            store: ChannelStore::new(store, name.clone()),
            name,
            config,
            channel,
            breaker,
            origin,
            state: Mutex::new(state),
            wake: Notify::new(),
            tests: Semaphore::new(1),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of its circuit, and of its component of the health.
    pub(super) fn component(&self) -> &str {
        self.breaker.name()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the store has of the channel.
    pub(super) fn restore(&self, stored: &StoredChannels, at: SystemTime, now: Instant) {
        let (queued, told, deliveries) = self.store.restore(stored, now);
        let mut state = self.state();
        for (key, notification, told_at) in told {
            state.outbox.restore_told(key, notification, told_at, now);
        }
        for delivery in deliveries {
            match delivery.state {
                DeliveryState::Dead if delivery.notification.is_some() => {
                    state.log.push_dead(delivery);
                }
                _ => state.log.push(delivery),
            }
        }
        for queued in queued {
            state
                .log
                .apply(&OutboxChange::Waits(queued.clone()), at, now);
            state.outbox.restore_queued(queued, at, now);
        }
    }

    /// Returns why the channel does not tell of the alerts with this key, if it does not.
    pub(crate) fn refusal(&self, key: &str, severity: Severity) -> Option<Refusal> {
        let was_told = self.state().outbox.knows(key);
        self.config.refusal(severity, was_told)
    }

    /// Takes in a notification, if the channel wants it. Returns at once.
    pub(super) fn push(&self, notification: &Arc<Notification>, at: SystemTime, now: Instant) {
        let mut state = self.state();
        let key = notification.key();
        let was_told = key.is_some_and(|key| state.outbox.knows(key));
        if !self.config.wants(notification, was_told) {
            return;
        }
        let resolved = key.filter(|_| notification.is_resolve());
        let cancelled = resolved.map(|key| state.log.cancel_dead(key));
        let changes = state
            .outbox
            .push(notification.clone(), message_id(at), at, now);
        let counts = self.apply(&mut state, &changes, at, now);
        drop(state);
        for id in cancelled.unwrap_or_default() {
            self.store.forget_delivery(&id);
        }
        self.record(&counts);
        self.wake.notify_one();
    }

    /// Returns whether the channel tells events of this kind of the journal.
    pub(super) fn wants_journal(&self, kind: EventKind, severity: Severity) -> bool {
        self.config.wants_journal(kind, severity)
    }

    pub(super) fn follows_journal(&self) -> bool {
        !self.config.journal.is_empty()
    }

    /// Takes in an event that no filter of kinds applies to.
    pub(super) fn push_journal(
        &self,
        notification: Arc<Notification>,
        at: SystemTime,
        now: Instant,
    ) {
        let mut state = self.state();
        let changes = state.outbox.push(notification, message_id(at), at, now);
        let counts = self.apply(&mut state, &changes, at, now);
        drop(state);
        self.record(&counts);
        self.wake.notify_one();
    }

    /// Keeps and logs changes of the outbox. Returns what is to be counted once the lock is free.
    fn apply(
        &self,
        state: &mut State,
        changes: &[OutboxChange],
        at: SystemTime,
        now: Instant,
    ) -> Vec<&'static str> {
        let mut counts = Vec::new();
        for change in changes {
            let ended = state.log.apply(change, at, now);
            self.store.keep(change, ended, at);
            if let OutboxChange::Ended(queued, end) = change
                && !queued.is_resend
            {
                counts.push(DeliveryState::from(*end).as_str());
                if *end == MessageEnd::Dead {
                    state.health.gave_up();
                }
            }
        }
        counts
    }

    fn record(&self, counts: &[&'static str]) {
        for outcome in counts {
            metrics::count(&self.name, outcome, 1);
            if matches!(*outcome, "dead" | "dropped") {
                tracing::warn!(target: "tower_keep::ops", channel = &*self.name, outcome, "notification not delivered");
            }
        }
    }

    /// Sends what comes, until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let (at, now) = (SystemTime::now(), Instant::now());
            match self.next(at, now) {
                NextSend::Send(queued) => self.send(queued).await,
                NextSend::Wait(None) => self.wake.notified().await,
                NextSend::Wait(Some(until)) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    fn next(&self, at: SystemTime, now: Instant) -> NextSend {
        let mut state = self.state();
        let (next, changes) = state.outbox.next(at, now);
        let counts = self.apply(&mut state, &changes, at, now);
        drop(state);
        self.record(&counts);
        next
    }

    async fn send(&self, queued: QueuedMessage) {
        let (begun_at, begin) = (SystemTime::now(), Instant::now());
        let message = self.message(
            queued.id.clone(),
            queued.notification.clone(),
            queued.attempts,
            begun_at,
        );
        let sent = attempt::send(&self.pipeline, &self.channel, message).await;
        let (at, now) = (SystemTime::now(), Instant::now());
        let mut attempted = Attempted {
            at,
            latency: now - begin,
            status: None,
            error: None,
        };
        let mut state = self.state();
        let mut counts = Vec::new();
        let end = match sent {
            Err(NoReceipt::Rejected(wait)) => AttemptEnd::Rejected(wait),
            Ok(receipt) => {
                attempted.status = receipt.status();
                state.health.succeeded();
                state.log.tried(&queued, attempted);
                AttemptEnd::Delivered
            }
            Err(NoReceipt::Failed(error)) => {
                attempted.status = error.status();
                attempted.error = Some(error.to_string());
                state.health.failed(&error.to_string(), at);
                if state.health.failures == 1 {
                    // The first of a row: the health says how it goes on.
                    tracing::warn!(target: "tower_keep::ops", channel = &*self.name, error = %error, "notification channel fails");
                }
                state.log.tried(&queued, attempted);
                counts.push("failed");
                AttemptEnd::Failed(error)
            }
        };
        let changes = state.outbox.finished(end, at, now, fastrand::u64(..));
        counts.extend(self.apply(&mut state, &changes, at, now));
        drop(state);
        self.record(&counts);
        self.wake.notify_one();
    }

    fn message(
        &self,
        id: Arc<str>,
        notification: Arc<Notification>,
        attempt: u32,
        at: SystemTime,
    ) -> Message {
        Message {
            id,
            channel: self.name.clone(),
            notification,
            origin: self.origin.clone(),
            attempt,
            at,
        }
    }

    /// Sends a message that says it is a test, once, past filter, queue and circuit. Returns what became of it, or `None` while
    /// another test runs.
    pub(crate) async fn test(self: Arc<Self>, by: Option<String>) -> Option<Value> {
        let _one = self.tests.try_acquire().ok()?;
        let (at, begin) = (SystemTime::now(), Instant::now());
        let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
        let title = format!("test of the channel {}", self.name);
        let text = format!("Sent{by} from the console. Nothing has happened.");
        let event = EventNotice::new(EventNotice::TEST, Severity::Info, title).with_text(text);
        let notification = Arc::new(Notification::Event(event));
        let id = message_id(at);
        let mut delivery = Delivery::new(id.clone(), &notification, at);
        let message = self.message(id, notification, 1, at);
        let sent = tokio::time::timeout(self.config.attempt_limit, self.channel.send(&message));
        let sent = sent.await;
        let (status, error) = match sent {
            Ok(Ok(receipt)) => (receipt.status(), None),
            Ok(Err(error)) => (error.status(), Some(error.to_string())),
            Err(_) => {
                let limit = self.config.attempt_limit;
                (None, Some(format!("no answer within {limit:?}")))
            }
        };
        delivery.attempts = 1;
        delivery.state = match &error {
            None => DeliveryState::Delivered,
            Some(_) => DeliveryState::Dead,
        };
        delivery.tried(Attempted {
            at: SystemTime::now(),
            latency: begin.elapsed(),
            status,
            error,
        });
        let json = delivery.to_json();
        self.store.keep_delivery(&delivery, at);
        self.state().log.push(delivery);
        Some(json)
    }

    /// Puts a dead letter into the queue again.
    pub(crate) fn retry(&self, id: &str, at: SystemTime, now: Instant) -> Result<(), NotResent> {
        let mut state = self.state();
        let letter = state.log.dead_letter(id).ok_or(NotResent::NoDeadLetter)?;
        let is_outdated = |key: &str| state.outbox.knows(key);
        if !letter.is_resolve() && letter.key().is_some_and(is_outdated) {
            return Err(NotResent::Outdated);
        }
        let notification = state.log.revive(id).ok_or(NotResent::NoDeadLetter)?;
        let changes = state.outbox.retry(id.into(), notification, at, now);
        let counts = self.apply(&mut state, &changes, at, now);
        drop(state);
        self.store.forget_delivery(id);
        self.record(&counts);
        self.wake.notify_one();
        Ok(())
    }

    /// Returns whether each message was tried at least once.
    pub(super) fn is_tried(&self) -> bool {
        self.state().outbox.is_tried()
    }

    /// Returns the health of the channel.
    pub(super) fn health(&self) -> CheckResult {
        let state = self.state();
        state.health.judge(self.breaker.state(), state.outbox.len())
    }

    /// Returns the channel as the API has it.
    pub(crate) fn to_json(&self) -> Value {
        let circuit = self.breaker.state();
        let target = self.channel.target();
        let state = self.state();
        let (dead, lost) = state.log.dead_counts();
        let last = state.log.last().map(|(delivery, attempted)| {
            json!({
                "id": &*delivery.id, "title": delivery.title, "at": unix(attempted.at), "status": attempted.status,
                "seconds": attempted.latency.as_secs_f64(), "error": attempted.error, "state": delivery.state.as_str(),
            })
        });
        let journal = self.config.journal.iter().map(|kind| kind.as_str());
        json!({
            "name": &*self.name, "kind": self.channel.kind(), "target": target,
            "min_severity": self.config.min_severity.as_str(), "alerts": self.config.has_alerts,
            "events": self.config.events, "journal": journal.collect::<Vec<_>>(),
            "circuit": circuit.as_str(), "queued": state.outbox.len(), "firing": state.outbox.told(),
            "dead": dead, "dead_lost": lost, "failures": state.health.failures, "error": state.health.error(),
            "last": last,
        })
    }

    /// Returns the deliveries of a state, or of all, the newest first, and whether there are more.
    pub(crate) fn deliveries(
        &self,
        wanted: Option<DeliveryState>,
        limit: usize,
    ) -> (Vec<Value>, bool) {
        let state = self.state();
        let all = state.log.newest_first().into_iter();
        let mut found = all.filter(|each| wanted.is_none_or(|wanted| each.state == wanted));
        let shown: Vec<Value> = found.by_ref().take(limit).map(Delivery::to_json).collect();
        (shown, found.next().is_some())
    }
}
