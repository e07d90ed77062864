use std::sync::OnceLock;

use super::{error_classifier::ErrorClassifier, injected::PipelineFaults};
use crate::{
    breaker::CircuitBreaker, bulkhead::Bulkhead, call::Label, fallback::Fallback, hedge::Hedge,
    operation::Operation, priority::Prioritizer, rate_limit::RateLimit, retry::Retry,
    throttle::Throttle, timeout::TimeLimit,
};

/// The parts of a pipeline, from the outermost to the innermost.
#[derive(Debug)]
pub(super) struct PipelineShared {
    pub(super) name: Label,
    pub(super) operation: Option<Operation>,
    /// Made by the first failed call that needs it, unless it was configured.
    pub(super) fallback: OnceLock<Fallback>,
    pub(super) total_limit: Option<TimeLimit>,
    pub(super) prioritizer: Option<Prioritizer>,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) retry: Option<Retry>,
    pub(super) hedge: Option<Hedge>,
    pub(super) throttle: Option<Throttle>,
    pub(super) breaker: Option<CircuitBreaker>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) attempt_limit: Option<TimeLimit>,
    pub(super) faults: PipelineFaults,
    pub(super) classify_error: Option<ErrorClassifier>,
}

impl PipelineShared {
    /// Returns the fallback, which is made if necessary.
    pub(super) fn fallback(&self) -> &Fallback {
        self.fallback
            .get_or_init(|| Fallback::new(self.name.clone()))
    }
}
