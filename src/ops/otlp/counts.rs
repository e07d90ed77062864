use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::Signal;
use crate::{call::catch_hook, util::text::truncate};

/// The longest error that is shown, in bytes.
const MAX_ERROR: usize = 512;

/// Numbers of the items of one signal since the exporter was built: spans, data points or log records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtlpStats {
    /// The number of items that the collector took.
    pub sent: u64,
    /// The number of items that the collector received and did not take.
    pub rejected: u64,
    /// The number of items that could not be sent: the collector did not answer in time, or answered that it never will take them.
    pub failed: u64,
    /// The number of items for which there was no room in the queue, or that came after the shutdown.
    pub dropped: u64,
    /// The number of items that wait.
    pub queued: usize,
    /// The reason why the latest attempt to send failed; `None` after one that succeeded.
    pub error: Option<String>,
}

/// The counters of the items of a signal.
#[derive(Debug)]
pub(super) struct ItemCounts {
    signal: Signal,
    sent: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The numbers that have been added to the metrics already, in the order of [`ItemCounts::now`].
pub(super) type Published = [u64; 4];

const OUTCOMES: [&str; 4] = ["sent", "rejected", "failed", "dropped"];

impl ItemCounts {
    pub(super) fn new(signal: Signal) -> Self {
        ItemCounts {
            signal,
            sent: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            error: Mutex::new(None),
        }
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a batch that was received. Returns whether the one before was not.
    pub(super) fn sent(&self, items: u64, rejected: u64) -> bool {
        let rejected = rejected.min(items);
        self.sent.fetch_add(items - rejected, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.set_error(None).is_some()
    }

    pub(super) fn failed(&self, items: u64) {
        self.failed.fetch_add(items, Ordering::Relaxed);
    }

    /// Sets why an attempt failed. Returns the reason of the one before, if that failed.
    pub(super) fn set_error(&self, error: Option<&str>) -> Option<String> {
        let error = error.map(|error| truncate(error, MAX_ERROR).to_owned());
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, error)
    }

    pub(super) fn stats(&self, queued: usize) -> OtlpStats {
        let [sent, rejected, failed, dropped] = self.now();
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        OtlpStats {
            sent,
            rejected,
            failed,
            dropped,
            queued,
            error: error.clone(),
        }
    }

    fn now(&self) -> Published {
        [&self.sent, &self.rejected, &self.failed, &self.dropped]
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Adds what is new to the metrics.
    pub(super) fn publish(&self, published: &mut Published) {
        let now = self.now();
        for ((outcome, now), before) in OUTCOMES.into_iter().zip(now).zip(published) {
            if now > *before {
                let added = now - std::mem::replace(before, now);
                // Recorders are code of others.
                catch_hook(|| add_to_metrics(self.signal, outcome, added));
            }
        }
    }
}

fn add_to_metrics(signal: Signal, outcome: &'static str, added: u64) {
    const ITEMS: &str = "tower_keep_otlp_items_total";
    let help = "Spans, data points and log records that were exported, by what became of them.";
    metrics::describe_counter!(ITEMS, metrics::Unit::Count, help);
    let labels = [("signal", signal.as_str()), ("outcome", outcome)];
    metrics::counter!(ITEMS, &labels).increment(added);
}
