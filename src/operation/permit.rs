use tracing::Span;

use super::key::OperationKey;
use crate::{track::WatchedCall, util::family::InFlightGauge};

/// The state of a run that an [`Operation`](super::Operation) stores.
#[derive(Debug)]
pub struct OperationPermit {
    pub(super) in_flight: InFlightGauge,
    /// The place of the run in the table of the process.
    pub(super) watched: WatchedCall,
    pub(super) key: OperationKey,
    pub(super) span: Span,
    pub(super) output: Option<String>,
}
