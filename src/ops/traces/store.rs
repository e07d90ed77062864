use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tracing::Metadata;

use super::{
    active_trace::FinishedPart, callsite::Callsite, kept_trace::KeptTrace, segment::Segment,
    shared::Shared, trace_state::Reason,
};
use crate::context::TraceId;

/// The share of the bytes that traces keep which are only sampled, however many are slow or have errors: to compare with.
const SAMPLED_SHARE: usize = 4;
/// The most parts of one trace: a stranger may send the same trace ID forever.
const MAX_SEGMENTS: usize = 256;

/// The traces that are kept, bounded by the bytes that they take.
///
/// The oldest trace goes first if there is no room: of those that are only sampled while these take more than a quarter, and else of
/// those that are slow or have errors.
#[derive(Debug)]
pub(super) struct TraceStore {
    max_spans: usize,
    traces: HashMap<TraceId, Arc<KeptTrace>>,
    /// The traces by their numbers: those that are only sampled, and the others.
    sampled: Order,
    important: Order,
    /// The number of the last one.
    last: u64,
    evicted: u64,
    /// The spans of parts that did not fit into their traces.
    not_fitting: u64,
    /// The callsites by the addresses of their metadata, which are never freed.
    callsites: HashMap<usize, Arc<Callsite>>,
}

/// Traces of one rank, the oldest first.
#[derive(Debug, Default)]
struct Order {
    by_seq: BTreeMap<u64, TraceId>,
    bytes: usize,
}

impl TraceStore {
    pub(super) fn new(max_spans: usize) -> Self {
        TraceStore {
            max_spans,
            traces: HashMap::new(),
            sampled: Order::default(),
            important: Order::default(),
            last: 0,
            evicted: 0,
            not_fitting: 0,
            callsites: HashMap::new(),
        }
    }

    /// Adds a part of a trace: of a new one, or of one that is there. Returns the trace, unless it had no room for the part.
    pub(super) fn insert(&mut self, finished: FinishedPart) -> Option<Arc<KeptTrace>> {
        let FinishedPart { part, base_at, .. } = finished;
        let buffer = part.buffer;
        let callsites = buffer.callsites.iter();
        let callsites = callsites.map(|metadata| self.callsite(metadata)).collect();
        let segment = Segment {
            base: Shared::wall_clock(base_at),
            spans: buffer.spans.into(),
            log: buffer.log.into(),
            callsites,
            dropped: buffer.dropped,
        };
        self.insert_segment(
            part.trace_id,
            part.kept.unwrap_or(Reason::Sampled),
            Arc::new(segment),
        )
    }

    /// Adds a segment. Of one that does not fit into its trace, only the number of its spans is kept.
    pub(super) fn insert_segment(
        &mut self,
        trace_id: TraceId,
        reason: Reason,
        segment: Arc<Segment>,
    ) -> Option<Arc<KeptTrace>> {
        if let Some(known) = self.traces.get_mut(&trace_id)
            && (known.segments.len() >= MAX_SEGMENTS
                || known.summary.spans + segment.spans.len() > self.max_spans)
        {
            let spans = segment.spans.len() as u64;
            self.not_fitting += spans;
            let lost = spans + segment.dropped.spans;
            Arc::make_mut(known).summary.truncated += lost;
            return None;
        }
        let known = self.remove(trace_id);
        let reason = known
            .as_ref()
            .map_or(reason, |known| known.reason.max(reason));
        // Of parts that did not fit, which are in no segment.
        let lost = known.as_ref().map_or(0, |known| {
            let counted = known.segments.iter().map(|segment| segment.dropped.spans);
            known.summary.truncated.saturating_sub(counted.sum())
        });
        let mut segments = known.map_or_else(Vec::new, |known| known.segments.clone());
        segments.push(segment);
        self.last += 1;
        let mut trace = KeptTrace::new(self.last, trace_id, reason, segments);
        trace.summary.truncated += lost;
        let order = self.order(reason);
        order.by_seq.insert(trace.seq, trace_id);
        order.bytes += trace.bytes();
        let trace = Arc::new(trace);
        self.traces.insert(trace_id, trace.clone());
        Some(trace)
    }

    /// Lets numbers begin after those of an earlier process.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn start_after(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    fn remove(&mut self, trace_id: TraceId) -> Option<Arc<KeptTrace>> {
        let trace = self.traces.remove(&trace_id)?;
        let order = self.order(trace.reason);
        order.by_seq.remove(&trace.seq);
        order.bytes -= trace.bytes();
        Some(trace)
    }

    fn order(&mut self, reason: Reason) -> &mut Order {
        match reason {
            Reason::Sampled => &mut self.sampled,
            Reason::Slow | Reason::Error => &mut self.important,
        }
    }

    /// Evicts traces until those that are left take no more than this.
    pub(super) fn trim(&mut self, max_bytes: usize) {
        while self.bytes() > max_bytes {
            let is_sampled =
                self.sampled.bytes > max_bytes / SAMPLED_SHARE || self.important.by_seq.is_empty();
            let order = if is_sampled {
                &self.sampled
            } else {
                &self.important
            };
            let Some(id) = order.by_seq.values().next().copied() else {
                return;
            };
            self.remove(id);
            self.evicted += 1;
        }
    }

    fn callsite(&mut self, metadata: &'static Metadata<'static>) -> Arc<Callsite> {
        let address = std::ptr::from_ref(metadata).addr();
        let known = self.callsites.entry(address);
        known.or_insert_with(|| Callsite::new(metadata)).clone()
    }

    pub(super) fn get(&self, trace_id: TraceId) -> Option<&Arc<KeptTrace>> {
        self.traces.get(&trace_id)
    }

    /// Returns the traces whose numbers are lower than `before`, the newest first.
    pub(super) fn newest(&self, before: u64) -> Vec<Arc<KeptTrace>> {
        let mut found: Vec<_> = self.traces.values().collect();
        found.retain(|trace| trace.seq < before);
        found.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.seq));
        found.into_iter().cloned().collect()
    }

    /// Returns the bytes that the traces take.
    pub(super) fn bytes(&self) -> usize {
        self.sampled.bytes + self.important.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// Returns the number of the trace that came last.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns how many spans did not fit into their traces, those apart that did not fit into their parts.
    pub(super) fn not_fitting(&self) -> u64 {
        self.not_fitting
    }
}
