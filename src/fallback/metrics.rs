use metrics::{Counter, Unit};

use super::error::FallbackError;
use crate::call::{Label, Outcome};

/// The counters of a fallback.
pub(super) struct FallbackMetrics {
    served: [Counter; Outcome::ALL.len()],
    failed: [Counter; FallbackError::ALL.len()],
}

impl FallbackMetrics {
    pub(super) fn new(name: &Label) -> Self {
        const SERVED: &str = "tower_keep_fallbacks_total";
        const FAILED: &str = "tower_keep_fallbacks_failed_total";
        let name = || name.to_string();
        metrics::describe_counter!(
            SERVED,
            Unit::Count,
            "Responses of a fallback, by the outcome of the call that they replace."
        );
        metrics::describe_counter!(
            FAILED,
            Unit::Count,
            "Failed calls whose fallback failed as well."
        );
        FallbackMetrics {
            served: Outcome::ALL.map(|outcome| {
                metrics::counter!(SERVED, "fallback" => name(), "outcome" => outcome.as_str())
            }),
            // In the order of the reasons, since they are the indices.
            failed: FallbackError::ALL.map(|error| {
                metrics::counter!(FAILED, "fallback" => name(), "reason" => error.as_str())
            }),
        }
    }

    pub(super) fn count_served(&self, outcome: Outcome) {
        self.served[outcome.index()].increment(1);
    }

    pub(super) fn count_failed(&self, error: FallbackError) {
        self.failed[error as usize].increment(1);
    }
}
