use std::sync::OnceLock;

use super::{error_classifier::ErrorClassifier, injected::PipelineFaults};
use crate::{
    breaker::CircuitBreaker, bulkhead::Bulkhead, call::Label, fallback::Fallback,
    operation::Operation, retry::Retry, timeout::TimeLimit,
};

/// The parts of a pipeline, from the outermost to the innermost.
#[derive(Debug)]
pub(super) struct PipelineShared {
    pub(super) name: Label,
    pub(super) operation: Option<Operation>,
    /// Made by the first failed call that needs it, unless it was configured.
    pub(super) fallback: OnceLock<Fallback>,
    pub(super) total_limit: Option<TimeLimit>,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) retry: Option<Retry>,
    pub(super) breaker: Option<CircuitBreaker>,
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
