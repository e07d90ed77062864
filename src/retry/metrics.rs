use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, Unit};

use super::NotRetried;
use crate::{
    call::Label,
    registry::Stats,
    util::{hook::catch_hook, per_recorder::PerRecorder},
};

const REASON_COUNT: usize = NotRetried::ALL.len();

/// Counts of failed attempts, for metrics and for the registry. Calls that succeed at once touch nothing here.
pub(super) struct RetryMetrics {
    name: Label,
    retries: AtomicU64,
    unsent_retries: AtomicU64,
    recovered: AtomicU64,
    not_retried: [AtomicU64; REASON_COUNT],
    /// Made when the first is needed, so that calls without failures cost no series.
    counters: PerRecorder<RetryCounters>,
}

/// Handles of the metrics, for one recorder.
struct RetryCounters {
    retries: Counter,
    unsent_retries: Counter,
    recovered: Counter,
    not_retried: [Counter; REASON_COUNT],
}

impl RetryMetrics {
    pub(super) fn new(name: Label) -> Self {
        RetryMetrics {
            name,
            retries: AtomicU64::new(0),
            unsent_retries: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            not_retried: [const { AtomicU64::new(0) }; REASON_COUNT],
            counters: PerRecorder::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Logs that an attempt failed and another will follow, unless the call is dropped before that.
    pub(super) fn report_retry(&self, delay: Duration, attempt: u32) {
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                attempt,
                delay_ms = delay.as_secs_f64() * 1e3,
                "attempt failed, retrying"
            );
        });
    }

    /// Counts a retry that begins.
    pub(super) fn count_retry(&self) {
        // The registry's counts first: the recorder may panic.
        increment(&self.retries);
        catch_hook(|| self.with_counters(|counters| counters.retries.increment(1)));
    }

    /// Logs that a request was not sent and will be sent again, unless the call is dropped before that.
    pub(super) fn report_unsent_retry(&self, attempt: u32) {
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                attempt,
                delay_ms = 0.0,
                "request was not sent, sending it again"
            );
        });
    }

    /// Counts an unsent request that is sent again.
    pub(super) fn count_unsent_retry(&self) {
        increment(&self.unsent_retries);
        catch_hook(|| self.with_counters(|counters| counters.unsent_retries.increment(1)));
    }

    /// Counts a call that succeeded after a retry.
    pub(super) fn count_recovered(&self) {
        increment(&self.recovered);
        catch_hook(|| self.with_counters(|counters| counters.recovered.increment(1)));
    }

    /// Counts a call that failed although another attempt might have helped.
    pub(super) fn count_not_retried(&self, reason: NotRetried) {
        increment(&self.not_retried[reason.index()]);
        catch_hook(|| {
            self.with_counters(|counters| counters.not_retried[reason.index()].increment(1));
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                reason = reason.as_str(),
                "attempt failed, not retrying"
            );
        });
    }

    pub(super) fn write_stats(&self, stats: &mut Stats) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.count("retries", count(&self.retries));
        stats.count("unsent_retries", count(&self.unsent_retries));
        stats.count("recovered", count(&self.recovered));
        for (reason, counter) in NotRetried::ALL.iter().zip(&self.not_retried) {
            stats.count(reason.stat_name(), count(counter));
        }
    }

    fn with_counters(&self, record: impl FnOnce(&RetryCounters)) {
        self.counters
            .with(|| RetryCounters::new(&self.name), record);
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl RetryCounters {
    fn new(name: &Label) -> Self {
        describe();
        let name = || name.to_string();
        RetryCounters {
            retries: metrics::counter!("tower_keep_retries_total", "retry" => name()),
            unsent_retries: metrics::counter!("tower_keep_retries_unsent_total", "retry" => name()),
            recovered: metrics::counter!("tower_keep_retries_recovered_total", "retry" => name()),
            not_retried: NotRetried::ALL.map(|reason| {
                metrics::counter!(
                    "tower_keep_not_retried_total",
                    "retry" => name(),
                    "reason" => reason.as_str(),
                )
            }),
        }
    }
}

fn describe() {
    metrics::describe_counter!(
        "tower_keep_retries_total",
        Unit::Count,
        "Attempts beyond the first."
    );
    metrics::describe_counter!(
        "tower_keep_retries_unsent_total",
        Unit::Count,
        "Requests sent again because the peer never began them."
    );
    metrics::describe_counter!(
        "tower_keep_retries_recovered_total",
        Unit::Count,
        "Calls that succeeded after a retry."
    );
    metrics::describe_counter!(
        "tower_keep_not_retried_total",
        Unit::Count,
        "Calls that failed although another attempt might have helped."
    );
}
