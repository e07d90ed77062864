use std::sync::{
    Mutex, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Notify;

use super::raw_record::RawRecord;
use crate::util::{padded::Padded, shards::shard_count, thread_slot::thread_slot};

/// The bytes of events that may wait: those of some 30,000, which is more than a second at full load.
const MAX_WAITING: usize = 8 * 1_024 * 1_024;
/// The bytes from which on events are stored at once: of about a thousand.
const MANY: usize = 256 * 1_024;

/// Events that wait to be stored, in one list for each of several threads.
///
/// A thread that adds one never waits: it takes the first list whose lock is free, and drops the event if there is none.
#[derive(Debug)]
pub(super) struct LogQueue {
    lists: Box<[Padded<Mutex<Vec<RawRecord>>>]>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    is_closed: AtomicBool,
    many: Notify,
}

impl Default for LogQueue {
    fn default() -> Self {
        // Twice as many as there are threads that run at once, so that one is free while another is emptied.
        let lists = 2 * shard_count();
        LogQueue {
            lists: std::iter::repeat_with(Padded::default)
                .take(lists)
                .collect(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            many: Notify::new(),
        }
    }
}

impl LogQueue {
    /// Adds an event, or drops it.
    pub(super) fn push(&self, record: RawRecord) {
        let size = record.size();
        let before = self.waiting.fetch_add(size, Relaxed);
        if before + size > MAX_WAITING || !self.try_push(record) {
            self.waiting.fetch_sub(size, Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        } else if before < MANY && before + size >= MANY {
            self.many.notify_one();
        }
    }

    fn try_push(&self, record: RawRecord) -> bool {
        let first = thread_slot();
        for n in 0..self.lists.len() {
            let list = &self.lists[(first + n) % self.lists.len()];
            let mut list = match list.try_lock() {
                Ok(list) => list,
                Err(TryLockError::Poisoned(list)) => list.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            list.push(record);
            return true;
        }
        false
    }

    /// Takes all that waits, in the order of time.
    pub(super) fn take(&self) -> Vec<RawRecord> {
        let mut all = Vec::new();
        for list in &self.lists {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = std::mem::take(&mut *list);
            drop(list);
            all.extend(taken);
        }
        let size: usize = all.iter().map(RawRecord::size).sum();
        self.waiting.fetch_sub(size, Relaxed);
        // Stable: events of one thread at one time stay in their order.
        all.sort_by_key(|record| record.at);
        all
    }

    /// Waits until so many wait that they should be stored at once. Cancel safe.
    pub(super) async fn many(&self) {
        self.many.notified().await;
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Lets nothing in any more, since nobody would take it.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }
}
