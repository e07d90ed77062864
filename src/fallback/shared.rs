use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::{HeaderName, HeaderValue};

use super::{FailedCall, FallbackInfo, error::FallbackError, metrics::FallbackMetrics};
use crate::{
    call::{Elapsed, Label, Outcome, TimeoutKind, catch_hook},
    registry,
    util::per_recorder::PerRecorder,
};

/// A user's closure that chooses the failed calls to respond to.
pub(super) type WhenFn = dyn Fn(&FailedCall<'_>) -> bool + Send + Sync;

/// State that clones of a [`Fallback`](super::Fallback) share.
pub(crate) struct FallbackShared {
    pub(super) name: Label,
    when: Option<Box<WhenFn>>,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    pub(super) served: AtomicU64,
    pub(super) failed: AtomicU64,
    metrics: PerRecorder<FallbackMetrics>,
}

impl FallbackShared {
    pub(super) fn new(
        name: Label,
        when: Option<Box<WhenFn>>,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Arc<Self> {
        let shared = Arc::new(FallbackShared {
            name,
            when,
            header,
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            metrics: PerRecorder::new(),
        });
        registry::register(&shared);
        shared
    }

    /// Returns whether the fallback responds to this call.
    pub(crate) fn applies_to(&self, failed: &FailedCall<'_>) -> bool {
        match &self.when {
            // A closure that panics leaves the failure as it is.
            Some(when) => catch_hook(|| when(failed)).unwrap_or(false),
            None => is_failure_by_default(failed.outcome()),
        }
    }

    pub(super) fn info(&self, outcome: Outcome) -> FallbackInfo {
        FallbackInfo {
            name: self.name.clone(),
            outcome,
        }
    }

    /// Reports that the caller's deadline passed before the fallback service responded, and returns the timeout.
    pub(crate) fn record_elapsed(&self, outcome: Outcome) -> Elapsed {
        self.report_failed(outcome, FallbackError::Deadline);
        Elapsed::new(self.name.clone(), TimeoutKind::Deadline, None)
    }

    /// Reports that the fallback responded. `error` is the text of the error that it replaces, where no other event has it.
    pub(crate) fn report_served(&self, outcome: Outcome, error: Option<&str>) {
        // The registry's count first: the recorder and the subscriber may panic.
        self.served.fetch_add(1, Relaxed);
        catch_hook(|| {
            self.with_metrics(|metrics| metrics.count_served(outcome));
            tracing::debug!(
                target: "tower_keep::fallback",
                fallback = self.name.as_str(),
                outcome = outcome.as_str(),
                error,
                "call failed, fallback served"
            );
        });
    }

    pub(crate) fn report_failed(&self, outcome: Outcome, error: FallbackError) {
        self.failed.fetch_add(1, Relaxed);
        catch_hook(|| {
            self.with_metrics(|metrics| metrics.count_failed(error));
            tracing::debug!(
                target: "tower_keep::fallback",
                fallback = self.name.as_str(),
                outcome = outcome.as_str(),
                reason = error.as_str(),
                "call failed, and so did its fallback"
            );
        });
    }

    fn with_metrics(&self, count: impl FnOnce(&FallbackMetrics)) {
        self.metrics
            .with(|| FallbackMetrics::new(&self.name), count);
    }
}

/// Returns whether a fallback responds to this outcome by default. A caller's error keeps its own response.
pub(crate) fn is_failure_by_default(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Failure
        | Outcome::Overload
        | Outcome::TimedOut
        | Outcome::Rejected
        | Outcome::Panicked => true,
        // Nobody waits for the response to a call that was cancelled.
        Outcome::Success | Outcome::ClientError | Outcome::Cancelled => false,
    }
}
