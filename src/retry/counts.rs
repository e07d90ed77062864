//! What is counted of attempts that failed, for metrics and for the list of guards. Nothing of those that succeed at once.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, Unit};

use super::NotRetried;
use crate::{
    call::{Label, catch_hook},
    registry::Stats,
    util::per_recorder::PerRecorder,
};

const REASON_COUNT: usize = NotRetried::ALL.len();

pub(super) struct RetryMetrics {
    name: Label,
    retries: AtomicU64,
    unsent_retries: AtomicU64,
    recovered: AtomicU64,
    not_retried: [AtomicU64; REASON_COUNT],
    counters: PerRecorder<RetryCounters>,
}

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

    /// An attempt has failed, and another will follow, unless the call is dropped before that.
    pub(super) fn report_retry(&self, delay: Duration, attempt: u32) {
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                attempt,
                delay_ms = delay.as_secs_f64() * 1e3,
                "attempt failed, trying again"
            );
        });
    }

    /// An attempt beyond the first begins.
    pub(super) fn count_retry(&self) {
        increment(&self.retries);
        catch_hook(|| self.with_counters(|meters| meters.retries.increment(1)));
    }

    /// Nothing has come of a request, and it will be sent again, unless the call is dropped before that.
    pub(super) fn report_unsent_retry(&self, delay: Duration, attempt: u32) {
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                attempt,
                delay_ms = delay.as_secs_f64() * 1e3,
                "request was not sent, sending it again"
            );
        });
    }

    /// An attempt is made again, for free.
    pub(super) fn count_unsent_retry(&self) {
        increment(&self.unsent_retries);
        catch_hook(|| self.with_counters(|meters| meters.unsent_retries.increment(1)));
    }

    /// A call has succeeded, though not at once.
    pub(super) fn count_recovered(&self) {
        increment(&self.recovered);
        catch_hook(|| self.with_counters(|meters| meters.recovered.increment(1)));
    }

    /// A call has failed for good.
    pub(super) fn count_not_retried(&self, why: NotRetried) {
        increment(&self.not_retried[why.index()]);
        catch_hook(|| {
            self.with_counters(|meters| meters.not_retried[why.index()].increment(1));
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                reason = why.as_str(),
                "attempt failed, not trying again"
            );
        });
    }

    pub(super) fn write_stats(&self, stats: &mut Stats) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.count("retries", count(&self.retries));
        stats.count("free", count(&self.unsent_retries));
        stats.count("recovered", count(&self.recovered));
        for (why, counter) in NotRetried::ALL.iter().zip(&self.not_retried) {
            stats.count(why.stat_name(), count(counter));
        }
    }

    fn with_counters(&self, count: impl FnOnce(&RetryCounters)) {
        self.counters.with(|| RetryCounters::new(&self.name), count);
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl RetryCounters {
    fn new(name: &Label) -> Self {
        let name = || name.to_string();
        metrics::describe_counter!(
            "tower_keep_retries_total",
            Unit::Count,
            "Attempts beyond the first."
        );
        metrics::describe_counter!(
            "tower_keep_retries_free_total",
            Unit::Count,
            "Attempts made again because nothing had come of the request."
        );
        metrics::describe_counter!(
            "tower_keep_retries_recovered_total",
            Unit::Count,
            "Calls that succeeded, though not at once."
        );
        metrics::describe_counter!(
            "tower_keep_retries_refused_total",
            Unit::Count,
            "Calls that failed for good although another attempt might have helped."
        );
        RetryCounters {
            retries: metrics::counter!("tower_keep_retries_total", "retry" => name()),
            unsent_retries: metrics::counter!("tower_keep_retries_free_total", "retry" => name()),
            recovered: metrics::counter!("tower_keep_retries_recovered_total", "retry" => name()),
            not_retried: NotRetried::ALL.map(|why| {
                metrics::counter!(
                    "tower_keep_retries_refused_total",
                    "retry" => name(),
                    "reason" => why.as_str(),
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place() {
        for (place, why) in NotRetried::ALL.iter().enumerate() {
            assert_eq!(why.index(), place);
            assert_eq!(why.stat_name(), format!("refused_{}", why.as_str()));
        }
    }
}
