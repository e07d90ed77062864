//! What is counted of attempts that failed, for metrics and for the list of guards. Nothing of those that succeed at once.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, Unit};

use super::Refusal;
use crate::{
    call::{Name, quietly},
    registry::Stats,
    util::late::Late,
};

const REASONS: usize = Refusal::ALL.len();

pub(super) struct Counts {
    name: Name,
    retries: AtomicU64,
    free: AtomicU64,
    recovered: AtomicU64,
    refused: [AtomicU64; REASONS],
    meters: Late<Meters>,
}

struct Meters {
    retries: Counter,
    free: Counter,
    recovered: Counter,
    refused: [Counter; REASONS],
}

impl Counts {
    pub(super) fn new(name: Name) -> Self {
        Counts {
            name,
            retries: AtomicU64::new(0),
            free: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; REASONS],
            meters: Late::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// An attempt has failed, and another will follow, unless the call is dropped before that.
    pub(super) fn waits(&self, delay: Duration, attempt: u32) {
        quietly(|| {
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
    pub(super) fn retry(&self) {
        add(&self.retries);
        quietly(|| self.metered(|meters| meters.retries.increment(1)));
    }

    /// Nothing has come of a request, and it will be sent again, unless the call is dropped before that.
    pub(super) fn waits_free(&self, delay: Duration, attempt: u32) {
        quietly(|| {
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
    pub(super) fn free(&self) {
        add(&self.free);
        quietly(|| self.metered(|meters| meters.free.increment(1)));
    }

    /// A call has succeeded, though not at once.
    pub(super) fn recovered(&self) {
        add(&self.recovered);
        quietly(|| self.metered(|meters| meters.recovered.increment(1)));
    }

    /// A call has failed for good.
    pub(super) fn refused(&self, why: Refusal) {
        add(&self.refused[why.index()]);
        quietly(|| {
            self.metered(|meters| meters.refused[why.index()].increment(1));
            tracing::debug!(
                target: "tower_keep::retry",
                retry = self.name(),
                reason = why.as_str(),
                "attempt failed, not trying again"
            );
        });
    }

    pub(super) fn show(&self, stats: &mut Stats) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.count("retries", count(&self.retries));
        stats.count("free", count(&self.free));
        stats.count("recovered", count(&self.recovered));
        for (why, counter) in Refusal::ALL.iter().zip(&self.refused) {
            stats.count(why.figure(), count(counter));
        }
    }

    fn metered(&self, count: impl FnOnce(&Meters)) {
        self.meters.with(|| Meters::new(&self.name), count);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meters {
    fn new(name: &Name) -> Self {
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
        Meters {
            retries: metrics::counter!("tower_keep_retries_total", "retry" => name()),
            free: metrics::counter!("tower_keep_retries_free_total", "retry" => name()),
            recovered: metrics::counter!("tower_keep_retries_recovered_total", "retry" => name()),
            refused: Refusal::ALL.map(|why| {
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
        for (place, why) in Refusal::ALL.iter().enumerate() {
            assert_eq!(why.index(), place);
            assert_eq!(why.figure(), format!("refused_{}", why.as_str()));
        }
    }
}
