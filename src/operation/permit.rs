use tracing::Span;

use super::key::OperationKey;
use crate::util::family::InFlightGauge;

/// The state of a run that an [`Operation`](super::Operation) stores.
#[derive(Debug)]
pub struct OperationPermit {
    pub(super) in_flight: InFlightGauge,
    pub(super) key: OperationKey,
    pub(super) span: Span,
    pub(super) output: Option<String>,
}
