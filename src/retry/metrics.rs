use std::time::Duration;

use metrics::{Counter, Unit};

use super::NotRetried;
use crate::{
    call::Label,
    registry::Stats,
    util::{
        duration::as_millis_f64, event_counts::EventCounts, hook::catch_hook,
        setting_changes::SettingChanges,
    },
};

const RETRIES: usize = 0;
const UNSENT_RETRIES: usize = 1;
const RECOVERED: usize = 2;
/// The first reason of [`NotRetried`]; the others follow.
const NOT_RETRIED: usize = 3;
const COUNT: usize = NOT_RETRIED + NotRetried::ALL.len();

/// Counts of failed attempts, for metrics and for the registry. Calls that succeed at once touch nothing here.
pub(super) struct RetryMetrics {
    name: Label,
    counts: EventCounts<COUNT>,
}

impl RetryMetrics {
    pub(super) fn new(name: Label) -> Self {
        RetryMetrics {
            name,
            counts: EventCounts::new(),
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
                delay_ms = as_millis_f64(delay),
                "attempt failed, retrying"
            );
        });
    }

    /// Logs which settings were changed, if any were.
    pub(super) fn report_applied(&self, changes: &SettingChanges) {
        if changes.is_empty() {
            return;
        }
        catch_hook(|| {
            tracing::info!(
                target: "tower_keep::retry",
                retry = self.name(),
                changes = &*changes.text(),
                "retry settings applied"
            );
        });
    }

    /// Counts a retry that begins.
    pub(super) fn count_retry(&self) {
        // When it begins: a call that is dropped in its backoff was not retried.
        self.count(RETRIES);
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
        self.count(UNSENT_RETRIES);
    }

    /// Counts a call that succeeded after a retry.
    pub(super) fn count_recovered(&self) {
        self.count(RECOVERED);
    }

    /// Counts a call that failed although another attempt might have helped.
    pub(super) fn count_not_retried(&self, reason: NotRetried) {
        self.count(NOT_RETRIED + reason.index());
        catch_hook(|| {
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                reason = reason.as_str(),
                "attempt failed, not retrying"
            );
        });
    }

    pub(super) fn write_stats(&self, stats: &mut Stats) {
        let count = |index: usize| self.counts.get(index);
        stats.count("retries", count(RETRIES));
        stats.count("unsent_retries", count(UNSENT_RETRIES));
        stats.count("recovered", count(RECOVERED));
        for reason in NotRetried::ALL {
            stats.count(reason.stat_name(), count(NOT_RETRIED + reason.index()));
        }
    }

    fn count(&self, index: usize) {
        self.counts.count(index, || make_counters(&self.name));
    }
}

/// Makes the counters in the order of the counts.
fn make_counters(name: &Label) -> [Counter; COUNT] {
    // For each recorder once, with its first counter.
    describe();
    let name = || name.to_string();
    std::array::from_fn(|index| match index {
        RETRIES => metrics::counter!("tower_keep_retries_total", "retry" => name()),
        UNSENT_RETRIES => metrics::counter!("tower_keep_retries_unsent_total", "retry" => name()),
        RECOVERED => metrics::counter!("tower_keep_retries_recovered_total", "retry" => name()),
        _ => metrics::counter!(
            "tower_keep_not_retried_total",
            "retry" => name(),
            "reason" => NotRetried::ALL[index - NOT_RETRIED].as_str(),
        ),
    })
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
