use metrics::{Counter, Unit};

use crate::call::{Label, TimeoutKind};

/// The counters of a time limit.
pub(super) struct TimeLimitMetrics {
    pub(super) timeouts: [Counter; TimeoutKind::ALL.len()],
    pub(super) rejections: Counter,
}

impl TimeLimitMetrics {
    pub(super) fn new(name: &Label) -> Self {
        metrics::describe_counter!(
            "tower_keep_timeouts_total",
            Unit::Count,
            "Timeouts, by the kind of limit that elapsed."
        );
        metrics::describe_counter!(
            "tower_keep_expired_total",
            Unit::Count,
            "Work that was rejected, since its deadline had passed."
        );
        let name = || name.to_string();
        TimeLimitMetrics {
            // In the order of the kinds, since they are the indices.
            timeouts: TimeoutKind::ALL.map(|kind| {
                let bound = kind.as_str();
                metrics::counter!("tower_keep_timeouts_total", "limit" => name(), "bound" => bound)
            }),
            rejections: metrics::counter!("tower_keep_expired_total", "limit" => name()),
        }
    }
}
