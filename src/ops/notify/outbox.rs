use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Notification, SendError, channel_config::ChannelConfig, queued::QueuedMessage, told::OpenGroups,
};
use crate::retry::Backoff;

/// The wait after a rejection by the breaker that does not say how long it stays open.
const REJECTED_WAIT: Duration = Duration::from_secs(1);

/// The messages that a channel still has to send: a queue in which messages of one alert group keep their order.
///
/// Of one group, at most a resolve and a trigger wait, in this order: a newer trigger replaces an older one, and a resolve takes
/// the trigger with it that nobody has heard of.
#[derive(Debug)]
pub(super) struct Outbox {
    max_queued: usize,
    give_up_after: Duration,
    backoff: Backoff,
    queue: VecDeque<QueuedMessage>,
    in_flight: Option<QueuedMessage>,
    told: OpenGroups,
    /// The time until which the peer wants to be left alone.
    paused_until: Option<Instant>,
}

/// A change of the outbox that is to be kept, and logged.
#[derive(Clone, Debug)]
pub(super) enum OutboxChange {
    /// The message waits: for its first attempt, or for another one.
    Waits(QueuedMessage),
    /// The message does not wait any more.
    Ended(QueuedMessage, MessageEnd),
    /// The channel was told of a group, whose resolve must go there.
    Told(String, Arc<Notification>),
    /// The channel was told the end of a group, or nobody remembers it.
    Forgotten(String),
}

/// The end of a message in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageEnd {
    Delivered,
    /// The last attempt has failed for good, or it is too old.
    Dead,
    /// A newer one of the same alerts is sent in its place.
    Superseded,
    /// The alerts were resolved before the channel heard of them.
    Cancelled,
    /// The queue was full.
    Dropped,
}

/// The next step of the sender.
#[derive(Debug)]
pub(super) enum NextSend {
    Send(QueuedMessage),
    /// Wait until then, or until there is something new.
    Wait(Option<Instant>),
}

/// The end of an attempt.
#[derive(Debug)]
pub(super) enum AttemptEnd {
    Delivered,
    Failed(SendError),
    /// The breaker did not admit it.
    Rejected(Option<Duration>),
}

impl Outbox {
    pub(super) fn new(config: &ChannelConfig, resend_every: Option<Duration>) -> Self {
        Outbox {
            max_queued: config.max_queued,
            give_up_after: config.give_up_after,
            backoff: config.backoff,
            queue: VecDeque::new(),
            in_flight: None,
            told: OpenGroups::new(resend_every),
            paused_until: None,
        }
    }

    /// Returns the number of messages that wait or are being sent.
    pub(super) fn len(&self) -> usize {
        let in_flight = self.in_flight.as_ref();
        self.queue.len() + usize::from(in_flight.is_some_and(|queued| !queued.is_resend))
    }

    /// Returns the number of alert groups that the channel knows to fire.
    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    /// Returns whether the channel was told of the group, or is about to be.
    pub(super) fn knows(&self, key: &str) -> bool {
        let in_flight = self.in_flight.iter();
        self.told.contains(key)
            || self
                .queue
                .iter()
                .chain(in_flight)
                .any(|each| each.has_key(key))
    }

    /// Returns whether each message was tried at least once, or there is none.
    pub(super) fn is_tried(&self) -> bool {
        self.in_flight.is_none() && self.queue.iter().all(|each| each.attempts > 0)
    }

    /// Takes in a notification.
    pub(super) fn push(
        &mut self,
        notification: Arc<Notification>,
        id: Arc<str>,
        at: SystemTime,
        now: Instant,
    ) -> Vec<OutboxChange> {
        let queued = QueuedMessage {
            id,
            queued_at: at,
            give_up_at: now + self.give_up_after,
            attempts: 0,
            next_at: now,
            is_uncertain: false,
            is_resend: false,
            notification,
        };
        let mut changes = Vec::new();
        match queued.notification.key().map(str::to_owned) {
            None => self.enqueue(queued, &mut changes),
            Some(key) if queued.is_resolve() => self.push_resolve(&key, queued, &mut changes),
            Some(key) => self.push_trigger(&key, queued, &mut changes),
        }
        changes
    }

    fn push_trigger(&mut self, key: &str, queued: QueuedMessage, changes: &mut Vec<OutboxChange>) {
        match self.last_of(key) {
            Some(at) if !self.queue[at].is_resolve() => self.replace(at, queued, changes),
            _ => self.enqueue(queued, changes),
        }
    }

    fn push_resolve(
        &mut self,
        key: &str,
        mut queued: QueuedMessage,
        changes: &mut Vec<OutboxChange>,
    ) {
        let is_in_flight = self.in_flight.iter().any(|each| each.has_key(key));
        match self.last_of(key) {
            Some(at) if self.queue[at].is_resolve() => return self.replace(at, queued, changes),
            Some(at) => {
                let Some(trigger) = self.queue.remove(at) else {
                    return;
                };
                queued.is_uncertain = trigger.is_uncertain;
                let is_ended_already = self.last_of(key).is_some();
                let is_heard = self.told.contains(key) || is_in_flight || trigger.is_uncertain;
                if is_ended_already || !is_heard {
                    return changes.push(OutboxChange::Ended(trigger, MessageEnd::Cancelled));
                }
                changes.push(OutboxChange::Ended(trigger, MessageEnd::Superseded));
            }
            None if self.told.contains(key) || is_in_flight => {}
            // It would be the end of what nobody here has heard of.
            None => return,
        }
        self.enqueue(queued, changes);
    }

    /// Puts a newer message in the place of one of the same group, whose backoff goes on.
    fn replace(&mut self, at: usize, mut queued: QueuedMessage, changes: &mut Vec<OutboxChange>) {
        let old = &self.queue[at];
        queued.attempts = old.attempts;
        queued.next_at = old.next_at;
        queued.is_uncertain = old.is_uncertain;
        let old = std::mem::replace(&mut self.queue[at], queued.clone());
        changes.push(OutboxChange::Ended(old, MessageEnd::Superseded));
        changes.push(OutboxChange::Waits(queued));
    }

    fn enqueue(&mut self, queued: QueuedMessage, changes: &mut Vec<OutboxChange>) {
        if self.queue.len() >= self.max_queued {
            let oldest = self.queue.iter().position(|each| !each.is_resolve());
            if let Some(dropped) = self.queue.remove(oldest.unwrap_or(0)) {
                changes.push(OutboxChange::Ended(dropped, MessageEnd::Dropped));
            }
        }
        self.queue.push_back(queued.clone());
        changes.push(OutboxChange::Waits(queued));
    }

    fn last_of(&self, key: &str) -> Option<usize> {
        self.queue.iter().rposition(|each| each.has_key(key))
    }

    /// Returns what to do now. A message that is returned is in flight until [`finished`](Self::finished).
    pub(super) fn next(&mut self, at: SystemTime, now: Instant) -> (NextSend, Vec<OutboxChange>) {
        let mut changes = Vec::new();
        if self.in_flight.is_some() {
            return (NextSend::Wait(None), changes);
        }
        self.give_up(now, &mut changes);
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            let until = self.next_give_up().map_or(until, |at| at.min(until));
            return (NextSend::Wait(Some(until)), changes);
        }
        self.paused_until = None;
        let found = self.first_due(now);
        let queued = match found {
            Ok(index) => self.queue.remove(index),
            Err(_) => self.resend(at, now),
        };
        let Some(mut queued) = queued else {
            let waits = [found.err().flatten(), self.told.next_at()];
            let until = waits.into_iter().flatten().min();
            return (NextSend::Wait(until), changes);
        };
        queued.attempts += 1;
        self.in_flight = Some(queued.clone());
        (NextSend::Send(queued), changes)
    }

    /// Returns the first message that is due, or else when one is. Messages of a group wait for those before them.
    fn first_due(&self, now: Instant) -> Result<usize, Option<Instant>> {
        let mut next: Option<Instant> = None;
        for (index, queued) in self.queue.iter().enumerate() {
            let is_behind = |key: &str| self.queue.iter().take(index).any(|each| each.has_key(key));
            if queued.notification.key().is_some_and(is_behind) {
                continue;
            }
            if queued.next_at <= now {
                return Ok(index);
            }
            next = Some(next.map_or(queued.next_at, |next| next.min(queued.next_at)));
        }
        Err(next)
    }

    fn resend(&mut self, at: SystemTime, now: Instant) -> Option<QueuedMessage> {
        let notification = self.told.take_due(now)?;
        Some(QueuedMessage {
            id: "resend".into(),
            notification,
            queued_at: at,
            give_up_at: now,
            attempts: 0,
            next_at: now,
            is_uncertain: false,
            is_resend: true,
        })
    }

    fn give_up(&mut self, now: Instant, changes: &mut Vec<OutboxChange>) {
        while let Some(old) = self.queue.iter().position(|each| each.give_up_at <= now) {
            if let Some(queued) = self.queue.remove(old) {
                changes.push(OutboxChange::Ended(queued, MessageEnd::Dead));
            }
        }
    }

    fn next_give_up(&self) -> Option<Instant> {
        self.queue.iter().map(|each| each.give_up_at).min()
    }

    /// Takes in the end of the attempt in flight. The seed is that of its jitter.
    pub(super) fn finished(
        &mut self,
        end: AttemptEnd,
        at: SystemTime,
        now: Instant,
        seed: u64,
    ) -> Vec<OutboxChange> {
        let mut changes = Vec::new();
        let Some(mut queued) = self.in_flight.take() else {
            return changes;
        };
        match end {
            AttemptEnd::Delivered => self.delivered(queued, at, now, &mut changes),
            AttemptEnd::Rejected(wait) => {
                self.paused_until = Some(now + wait.unwrap_or(REJECTED_WAIT));
                queued.attempts -= 1;
                self.wait_again(queued, &mut changes);
            }
            AttemptEnd::Failed(error) => {
                let retry = u32::saturating_sub(queued.attempts, 1);
                let mut delays = self.backoff.delays_with_seed(seed);
                let backoff = delays.nth(retry as usize).unwrap_or_default();
                let wait = error.retry_after().unwrap_or_default();
                if !wait.is_zero() {
                    self.paused_until = Some(now + wait);
                }
                queued.is_uncertain |= error.is_uncertain();
                queued.next_at = now + backoff.max(wait);
                let is_over = !error.is_retryable() || queued.next_at >= queued.give_up_at;
                match is_over && !queued.is_resend {
                    true => self.dead(queued, &mut changes),
                    false => self.wait_again(queued, &mut changes),
                }
            }
        }
        changes
    }

    fn delivered(
        &mut self,
        queued: QueuedMessage,
        at: SystemTime,
        now: Instant,
        changes: &mut Vec<OutboxChange>,
    ) {
        if queued.is_resend {
            return;
        }
        if let Some(key) = queued.notification.key() {
            let notification = queued.notification.clone();
            if queued.is_resolve() {
                if self.told.remove(key) {
                    changes.push(OutboxChange::Forgotten(key.to_owned()));
                }
            } else {
                let forgotten = self.told.insert(key, notification.clone(), at, now);
                changes.push(OutboxChange::Told(key.to_owned(), notification));
                changes.extend(forgotten.map(OutboxChange::Forgotten));
            }
        }
        changes.push(OutboxChange::Ended(queued, MessageEnd::Delivered));
    }

    /// Ends a message for good, with the resolve behind it if nobody has heard of its alerts.
    fn dead(&mut self, queued: QueuedMessage, changes: &mut Vec<OutboxChange>) {
        if let Some(key) = queued.notification.key()
            && !queued.is_resolve()
            && !queued.is_uncertain
            && !self.told.contains(key)
            && let Some(behind) = self.first_of(key)
            && self.queue[behind].is_resolve()
            && let Some(resolve) = self.queue.remove(behind)
        {
            changes.push(OutboxChange::Ended(resolve, MessageEnd::Cancelled));
        }
        changes.push(OutboxChange::Ended(queued, MessageEnd::Dead));
    }

    /// Puts a message back to the front, unless what came meanwhile makes it void.
    fn wait_again(&mut self, queued: QueuedMessage, changes: &mut Vec<OutboxChange>) {
        if queued.is_resend {
            return;
        }
        let behind = queued.notification.key().and_then(|key| self.first_of(key));
        let Some(behind) = behind.filter(|_| !queued.is_resolve()) else {
            self.queue.push_front(queued.clone());
            return changes.push(OutboxChange::Waits(queued));
        };
        let key = queued.notification.key().unwrap_or_default();
        let is_heard = queued.is_uncertain || self.told.contains(key);
        if self.queue[behind].is_resolve() && !is_heard {
            if let Some(resolve) = self.queue.remove(behind) {
                changes.push(OutboxChange::Ended(resolve, MessageEnd::Cancelled));
            }
            return changes.push(OutboxChange::Ended(queued, MessageEnd::Cancelled));
        }
        let newer = &mut self.queue[behind];
        newer.next_at = queued.next_at;
        newer.attempts = queued.attempts;
        newer.is_uncertain |= queued.is_uncertain;
        changes.push(OutboxChange::Waits(newer.clone()));
        changes.push(OutboxChange::Ended(queued, MessageEnd::Superseded));
    }

    fn first_of(&self, key: &str) -> Option<usize> {
        self.queue.iter().position(|each| each.has_key(key))
    }

    /// Puts a dead letter into the queue again, as if it were new.
    pub(super) fn retry(
        &mut self,
        id: Arc<str>,
        notification: Arc<Notification>,
        at: SystemTime,
        now: Instant,
    ) -> Vec<OutboxChange> {
        let mut changes = Vec::new();
        let queued = QueuedMessage {
            id,
            notification,
            queued_at: at,
            give_up_at: now + self.give_up_after,
            attempts: 0,
            next_at: now,
            is_uncertain: true,
            is_resend: false,
        };
        self.paused_until = None;
        self.enqueue(queued, &mut changes);
        changes
    }

    /// Adds a message that waited before a restart. Its last attempt may have succeeded.
    pub(super) fn restore_queued(
        &mut self,
        mut queued: QueuedMessage,
        at: SystemTime,
        now: Instant,
    ) {
        let age = at.duration_since(queued.queued_at).unwrap_or_default();
        queued.give_up_at = now + self.give_up_after.saturating_sub(age);
        queued.next_at = now;
        queued.is_uncertain = true;
        if self.queue.len() < self.max_queued {
            self.queue.push_back(queued);
        }
    }

    /// Adds a group that the channel was told of before a restart.
    pub(super) fn restore_told(
        &mut self,
        key: String,
        notification: Arc<Notification>,
        at: SystemTime,
        now: Instant,
    ) {
        self.told.restore(key, notification, at, now);
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
