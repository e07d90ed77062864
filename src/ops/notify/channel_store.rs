use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Delivery, Notification,
    outbox::OutboxChange,
    persisted::{
        delivery_from_json, delivery_to_json, notification_from_json, notification_to_json, text,
        time,
    },
    queued::QueuedMessage,
};
use crate::ops::{
    store::{Collection, Document, Store},
    time::unix,
};

/// The documents that are read at the start, of all channels together.
const MAX_LOADED: usize = 20_000;

/// The part of the store that belongs to a channel: what waits, what was told, what was delivered.
#[derive(Debug)]
pub(super) struct ChannelStore {
    store: Store,
    channel: Arc<str>,
}

/// A group that was told: key, last notification, time.
type ToldBefore = (String, Arc<Notification>, SystemTime);

impl ChannelStore {
    pub(super) fn new(store: Store, channel: Arc<str>) -> Self {
        ChannelStore { store, channel }
    }

    /// Keeps a change of the outbox, with the delivery that has ended by it.
    pub(super) fn keep(&self, change: &OutboxChange, ended: Option<&Delivery>, at: SystemTime) {
        match change {
            OutboxChange::Waits(queued) => self.put_queued(queued),
            OutboxChange::Ended(queued, _) => {
                let key = self.queued_key(&queued.id);
                self.store.delete(Collection::Outbox, &key);
            }
            OutboxChange::Told(key, notification) => self.put_told(key, notification, at),
            OutboxChange::Forgotten(key) => {
                let key = self.told_key(key);
                self.store.delete(Collection::Told, &key);
            }
        }
        if let Some(delivery) = ended {
            self.keep_delivery(delivery, at);
        }
    }

    pub(super) fn keep_delivery(&self, delivery: &Delivery, at: SystemTime) {
        let document = Document {
            key: format!("{}/{}", self.channel, delivery.id),
            at,
            json: delivery_to_json(delivery).to_string(),
        };
        self.store.put(Collection::Deliveries, document);
    }

    pub(super) fn forget_delivery(&self, id: &str) {
        let key = format!("{}/{id}", self.channel);
        self.store.delete(Collection::Deliveries, &key);
    }

    fn put_queued(&self, queued: &QueuedMessage) {
        let json = json!({
            "id": &*queued.id, "queued_at": unix(queued.queued_at), "attempts": queued.attempts,
            "notification": notification_to_json(&queued.notification),
        });
        let document = Document {
            key: self.queued_key(&queued.id),
            at: queued.queued_at,
            json: json.to_string(),
        };
        self.store.put(Collection::Outbox, document);
    }

    fn put_told(&self, key: &str, notification: &Notification, at: SystemTime) {
        let notification = notification_to_json(notification);
        let json = json!({"key": key, "at": unix(at), "notification": notification});
        let document = Document {
            key: self.told_key(key),
            at,
            json: json.to_string(),
        };
        self.store.put(Collection::Told, document);
    }

    fn queued_key(&self, id: &str) -> String {
        format!("{}/queued/{id}", self.channel)
    }

    fn told_key(&self, key: &str) -> String {
        format!("{}/told/{key}", self.channel)
    }

    /// Returns what is there of the channel, in the order in which it came.
    pub(super) fn restore(
        &self,
        stored: &StoredChannels,
        now: Instant,
    ) -> (Vec<QueuedMessage>, Vec<ToldBefore>, Vec<Delivery>) {
        let values = |documents: &[Document], part: &str| -> Vec<Value> {
            let prefix = format!("{}/{part}", self.channel);
            // Newest first, as the store has them.
            let own = documents.iter().rev();
            let own = own.filter(|each| each.key.starts_with(&prefix));
            own.filter_map(|each| serde_json::from_str(&each.json).ok())
                .collect()
        };
        let queued = values(&stored.outbox, "queued/");
        let queued = queued
            .iter()
            .filter_map(|value| queued_from_json(value, now));
        let mut queued: Vec<QueuedMessage> = queued.collect();
        // The IDs sort by time.
        queued.sort_by(|a, b| a.id.cmp(&b.id));
        let told = values(&stored.told, "told/");
        let told = told.iter().filter_map(told_from_json).collect();
        let deliveries = values(&stored.deliveries, "");
        let deliveries = deliveries.iter().filter_map(delivery_from_json).collect();
        (queued, told, deliveries)
    }
}

/// The documents of all channels.
#[derive(Debug)]
pub(super) struct StoredChannels {
    outbox: Vec<Document>,
    told: Vec<Document>,
    deliveries: Vec<Document>,
}

impl StoredChannels {
    /// Reads them. Blocks.
    pub(super) fn load(store: &Store) -> Self {
        StoredChannels {
            outbox: store.load(Collection::Outbox, MAX_LOADED),
            told: store.load(Collection::Told, MAX_LOADED),
            deliveries: store.load(Collection::Deliveries, MAX_LOADED),
        }
    }
}

fn queued_from_json(value: &Value, now: Instant) -> Option<QueuedMessage> {
    Some(QueuedMessage {
        id: text(value, "id")?.into(),
        notification: Arc::new(notification_from_json(&value["notification"])?),
        queued_at: time(&value["queued_at"])?,
        give_up_at: now,
        attempts: u32::try_from(value["attempts"].as_u64()?).ok()?,
        next_at: now,
        is_uncertain: true,
        is_resend: false,
    })
}

fn told_from_json(value: &Value) -> Option<ToldBefore> {
    let notification = Arc::new(notification_from_json(&value["notification"])?);
    Some((text(value, "key")?, notification, time(&value["at"])?))
}

#[cfg(all(test, feature = "ops-sqlite"))]
mod tests {
    use super::*;
    use crate::ops::{journal::Severity, notify::fixtures, store::StoreFile};

    #[test]
    fn group_that_was_told_is_apart_from_what_waits_and_restored() {
        let folder = std::env::temp_dir().join(format!("keep-told-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let store = Store::open(StoreFile::new(folder.join("ops.db")));
        let channel = ChannelStore::new(store.clone(), "slack".into());
        let group = fixtures::group("pay", Severity::Critical, true);
        let told = OutboxChange::Told("pay".to_owned(), Arc::new(Notification::Alerts(group)));
        channel.keep(&told, None, SystemTime::now());
        let count = |collection| store.load(collection, 9).len();
        assert_eq!((count(Collection::Told), count(Collection::Outbox)), (1, 0));
        let (queued, told, _) = channel.restore(&StoredChannels::load(&store), Instant::now());
        assert_eq!((queued.len(), &*told[0].0), (0, "pay"));
        let forgotten = OutboxChange::Forgotten("pay".to_owned());
        channel.keep(&forgotten, None, SystemTime::now());
        assert_eq!(count(Collection::Told), 0);
        store.close();
        let _ = std::fs::remove_dir_all(&folder);
    }
}
