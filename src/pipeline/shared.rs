use super::error_classifier::ErrorClassifier;
use crate::{
    breaker::CircuitBreaker, call::Label, operation::Operation, retry::Retry, timeout::TimeLimit,
};

/// The parts of a pipeline, from the outermost to the innermost.
#[derive(Debug)]
pub(super) struct PipelineShared {
    pub(super) name: Label,
    pub(super) operation: Option<Operation>,
    pub(super) total_limit: Option<TimeLimit>,
    pub(super) retry: Option<Retry>,
    pub(super) breaker: Option<CircuitBreaker>,
    pub(super) attempt_limit: Option<TimeLimit>,
    pub(super) classify_error: Option<ErrorClassifier>,
}
