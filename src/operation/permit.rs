use tracing::Span;

use super::key::OperationKey;
use crate::util::family::InFlightGauge;

/// What an [`Operation`](super::Operation) stores of a run.
#[derive(Debug)]
pub struct OperationPermit {
    pub(super) in_flight: InFlightGauge,
    pub(super) key: OperationKey,
    pub(super) span: Span,
    pub(super) output: Option<String>,
}
