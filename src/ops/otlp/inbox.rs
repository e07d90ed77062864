use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use super::{config::BatchConfig, counts::ItemCounts, queue::Queue};

/// The bytes that wait for one signal; beyond, items are dropped.
const MAX_BYTES: usize = 8 * 1_024 * 1_024;
/// The bytes of one batch, below the 4 MiB that gRPC servers take.
const MAX_BATCH_BYTES: usize = 2 * 1_024 * 1_024;

/// The queue between the threads of the application and the exporter's.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    max_batch: usize,
    full_batch: Notify,
    is_closed: AtomicBool,
    counts: Arc<ItemCounts>,
}

impl<T> Inbox<T> {
    pub(super) fn new(config: &BatchConfig, counts: Arc<ItemCounts>) -> Self {
        Inbox {
            queue: Mutex::new(Queue::new(config.max_queue, MAX_BYTES)),
            max_batch: config.max_batch,
            full_batch: Notify::new(),
            is_closed: AtomicBool::new(false),
            counts,
        }
    }

    /// Adds an item, or drops and counts it if there is no room. Never waits, but for a lock that is held for a move.
    pub(super) fn push(&self, item: T, bytes: usize) {
        if self.is_closed.load(Ordering::Relaxed) {
            return self.counts.dropped();
        }
        let mut queue = self.queue();
        let pushed = queue.push(item, bytes);
        let is_full_batch = pushed.is_ok() && queue.len() == self.max_batch;
        drop(queue);
        if is_full_batch {
            self.full_batch.notify_one();
        }
        if let Err(item) = pushed {
            self.counts.dropped();
            // Outside of the lock.
            drop(item);
        }
    }

    /// Waits until a batch is full.
    pub(super) async fn full_batch(&self) {
        self.full_batch.notified().await;
    }

    /// Takes the next batch.
    pub(super) fn take(&self) -> Vec<T> {
        self.queue().take(self.max_batch, MAX_BATCH_BYTES)
    }

    pub(super) fn len(&self) -> usize {
        self.queue().len()
    }

    /// Takes no further items.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
