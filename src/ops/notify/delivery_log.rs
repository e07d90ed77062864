use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{
    Delivery, DeliveryState, Notification,
    delivery::Attempted,
    outbox::{MessageEnd, OutboxChange},
    queued::QueuedMessage,
};

/// The deliveries in the log, dead letters apart.
const MAX_RECENT: usize = 100;
/// The dead letters that are kept.
const MAX_DEAD: usize = 100;

/// The last deliveries of a channel, and its dead letters, which stay when others push the rest out.
#[derive(Debug, Default)]
pub(super) struct DeliveryLog {
    /// In the order in which they were queued.
    recent: VecDeque<Delivery>,
    dead: VecDeque<Delivery>,
    /// The dead letters that others have pushed out.
    lost: u64,
}

impl DeliveryLog {
    /// Takes in a change of the outbox. Returns the delivery if its last word is spoken.
    pub(super) fn apply(
        &mut self,
        change: &OutboxChange,
        at: SystemTime,
        now: Instant,
    ) -> Option<&Delivery> {
        match change {
            OutboxChange::Waits(queued) => {
                let delivery = self.entry(queued);
                delivery.attempts = queued.attempts;
                delivery.state = match queued.attempts {
                    0 => DeliveryState::Queued,
                    _ => DeliveryState::Retrying,
                };
                let wait = queued.next_at.saturating_duration_since(now);
                delivery.next_at = Some(at + wait);
                None
            }
            OutboxChange::Ended(queued, end) => self.ended(queued, *end),
            OutboxChange::Told(..) | OutboxChange::Forgotten(_) => None,
        }
    }

    fn ended(&mut self, queued: &QueuedMessage, end: MessageEnd) -> Option<&Delivery> {
        if queued.is_resend {
            return None;
        }
        let delivery = self.entry(queued);
        delivery.attempts = queued.attempts;
        delivery.state = end.into();
        delivery.next_at = None;
        if end != MessageEnd::Dead {
            let at = self.recent.iter().position(|each| each.id == queued.id)?;
            return self.recent.get(at);
        }
        delivery.notification = Some(queued.notification.clone());
        let dead = self.take(&queued.id)?;
        self.push_dead(dead);
        self.dead.back()
    }

    pub(super) fn push_dead(&mut self, dead: Delivery) {
        if self.dead.len() == MAX_DEAD {
            self.dead.pop_front();
            self.lost += 1;
        }
        self.dead.push_back(dead);
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        self.recent.push_back(delivery);
        while self.recent.len() > MAX_RECENT {
            // What still waits stays, unless nothing else is there.
            let old = self.recent.iter().position(|each| each.state.is_final());
            self.recent.remove(old.unwrap_or(0));
        }
    }

    fn entry(&mut self, queued: &QueuedMessage) -> &mut Delivery {
        let found = self.recent.iter().rposition(|each| each.id == queued.id);
        let index = found.unwrap_or_else(|| {
            let notification = &queued.notification;
            self.push(Delivery::new(
                queued.id.clone(),
                notification,
                queued.queued_at,
            ));
            self.recent.len() - 1
        });
        &mut self.recent[index]
    }

    /// Takes in an attempt of a message that still waits.
    pub(super) fn tried(&mut self, queued: &QueuedMessage, attempted: Attempted) {
        if !queued.is_resend {
            self.entry(queued).tried(attempted);
        }
    }

    fn take(&mut self, id: &str) -> Option<Delivery> {
        let at = self.recent.iter().rposition(|each| *each.id == *id)?;
        self.recent.remove(at)
    }

    /// Returns a dead letter that can be sent again.
    pub(super) fn dead_letter(&self, id: &str) -> Option<&Arc<Notification>> {
        let found = self.dead.iter().find(|each| *each.id == *id)?;
        found.notification.as_ref()
    }

    /// Takes out a dead letter, which is sent again.
    pub(super) fn revive(&mut self, id: &str) -> Option<Arc<Notification>> {
        let at = self.dead.iter().position(|each| *each.id == *id)?;
        let mut dead = self.dead.remove(at)?;
        let notification = dead.notification.take();
        self.push(dead);
        notification
    }

    /// Marks the dead letters of alerts that are resolved: nobody should hear of them now. Returns their IDs.
    pub(super) fn cancel_dead(&mut self, key: &str) -> Vec<Arc<str>> {
        let is_of = |each: &Delivery| {
            let notification = each.notification.as_deref();
            notification.and_then(Notification::key) == Some(key)
        };
        let mut cancelled = Vec::new();
        while let Some(at) = self.dead.iter().position(is_of) {
            let Some(mut dead) = self.dead.remove(at) else {
                break;
            };
            dead.state = DeliveryState::Cancelled;
            dead.notification = None;
            cancelled.push(dead.id.clone());
            self.push(dead);
        }
        cancelled
    }

    /// Returns the number of dead letters, and of those that were pushed out.
    pub(super) fn dead_counts(&self) -> (usize, u64) {
        (self.dead.len(), self.lost)
    }

    /// Returns the deliveries, the newest first.
    pub(super) fn newest_first(&self) -> Vec<&Delivery> {
        let mut all: Vec<&Delivery> = self.recent.iter().chain(&self.dead).collect();
        all.sort_by_key(|each| std::cmp::Reverse(each.queued_at));
        all
    }

    /// Returns the last attempt of all.
    pub(super) fn last(&self) -> Option<(&Delivery, &Attempted)> {
        let all = self.recent.iter().chain(&self.dead);
        let tried = all.filter_map(|each| Some((each, each.tries.back()?)));
        tried.max_by_key(|(_, attempted)| attempted.at)
    }
}
