use std::sync::Arc;

use super::{segment::Segment, summary::TraceSummary, trace_state::Reason};
use crate::context::TraceId;

/// A trace that is kept. It never changes: a part that comes later makes a new one.
#[derive(Clone, Debug)]
pub(crate) struct KeptTrace {
    /// The number in the store, from 1. It grows with each part that comes.
    pub(crate) seq: u64,
    pub(crate) trace_id: TraceId,
    pub(crate) reason: Reason,
    pub(crate) summary: TraceSummary,
    pub(crate) segments: Vec<Arc<Segment>>,
}

impl KeptTrace {
    pub(super) fn new(
        seq: u64,
        trace_id: TraceId,
        reason: Reason,
        segments: Vec<Arc<Segment>>,
    ) -> Self {
        KeptTrace {
            seq,
            trace_id,
            reason,
            summary: TraceSummary::new(&segments),
            segments,
        }
    }

    /// Returns the bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let segments = self.segments.iter().map(|segment| segment.bytes());
        segments.sum::<usize>() + self.summary.bytes() + size_of::<Self>()
    }
}
