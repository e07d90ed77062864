use std::time::Duration;

use tracing::Metadata;

use super::{
    buffer::{BufferLimits, TraceBuffer},
    capture::Captured,
    sampling::TraceSampling,
    span_record::{Parent, SpanRecord},
};
use crate::context::TraceId;

/// The place of a span: its index in the buffer of a generation. The spans of earlier generations are finished, or go on in a later
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanPlace {
    pub(super) generation: u32,
    pub(super) index: u32,
}

/// The reason for which a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Sampled,
    Slow,
    Error,
}

impl Reason {
    #[cfg(feature = "ops-sqlite")]
    pub(super) const ALL: [Reason; 3] = [Reason::Sampled, Reason::Slow, Reason::Error];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Reason::Sampled => "sampled",
            Reason::Slow => "slow",
            Reason::Error => "error",
        }
    }
}

/// The spans of a trace that is not decided, or that go on after it was.
#[derive(Debug)]
pub(super) struct TraceState {
    pub(super) trace_id: TraceId,
    pub(super) buffer: TraceBuffer,
    generation: u32,
    /// Spans without a parent in this trace that are open.
    open_roots: u32,
    open_spans: u32,
    /// The strongest reason until now.
    kept: Option<Reason>,
}

/// A part of a trace that is to be kept or forgotten.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace_id: TraceId,
    pub(super) buffer: TraceBuffer,
    /// `None` if it is to be forgotten.
    pub(super) kept: Option<Reason>,
}

/// The beginning of a span that goes on in a later generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) span: SpanRecord,
    pub(super) metadata: &'static Metadata<'static>,
}

impl TraceState {
    pub(super) fn new(trace_id: TraceId, buffer: TraceBuffer) -> Self {
        TraceState {
            trace_id,
            buffer,
            generation: 0,
            open_roots: 0,
            open_spans: 0,
            kept: None,
        }
    }

    /// Adds a span with its first values; `None` if there is no room. The parent is one of this trace, if it has a place.
    pub(super) fn open(
        &mut self,
        mut beginning: Beginning,
        parent: Option<SpanPlace>,
        captured: &Captured,
        limits: BufferLimits,
    ) -> Option<SpanPlace> {
        if let Some(place) = parent
            && place.generation == self.generation
        {
            beginning.span.parent = Parent::Index(place.index);
        }
        let place = self.push(beginning, limits)?;
        self.open_spans += 1;
        self.open_roots += u32::from(parent.is_none());
        self.buffer.record(place.index, captured);
        Some(place)
    }

    fn push(&mut self, beginning: Beginning, limits: BufferLimits) -> Option<SpanPlace> {
        let Beginning { span, metadata } = beginning;
        let index = self.buffer.open(span, metadata, limits)?;
        Some(SpanPlace {
            generation: self.generation,
            index,
        })
    }

    /// Returns the place of a span that was opened: a new one if what it had is finished.
    pub(super) fn locate(
        &mut self,
        place: SpanPlace,
        beginning: impl FnOnce() -> Beginning,
        limits: BufferLimits,
    ) -> Option<SpanPlace> {
        if place.generation == self.generation {
            return Some(place);
        }
        let mut beginning = beginning();
        beginning.span.is_continued = true;
        self.push(beginning, limits)
    }

    /// Counts a span out that was opened. `lasted` is its time if it has no parent in this trace. Returns what is finished with
    /// it: when the last span without a parent ends, and later with the last one that is open.
    pub(super) fn close(
        &mut self,
        is_root: bool,
        lasted: Duration,
        sampling: TraceSampling,
    ) -> Option<Finished> {
        self.open_spans = self.open_spans.saturating_sub(1);
        if is_root {
            self.open_roots = self.open_roots.saturating_sub(1);
            if sampling.slow.is_some_and(|slow| lasted >= slow) {
                self.kept = self.kept.max(Some(Reason::Slow));
            }
        }
        let is_due = self.open_roots == 0 && (is_root || self.open_spans == 0);
        is_due.then(|| self.finish(sampling)).flatten()
    }

    /// Takes what there is, whether or not spans are open, and decides about it.
    pub(super) fn finish(&mut self, sampling: TraceSampling) -> Option<Finished> {
        if self.buffer.is_empty() {
            return None;
        }
        if sampling.is_sampled(self.trace_id) {
            self.kept = self.kept.max(Some(Reason::Sampled));
        }
        let is_error = |span: &SpanRecord| span.is_error || span.has_error_event;
        if sampling.keeps_errors && self.buffer.spans.iter().any(is_error) {
            self.kept = Some(Reason::Error);
        }
        self.generation = self.generation.wrapping_add(1);
        Some(Finished {
            trace_id: self.trace_id,
            buffer: std::mem::take(&mut self.buffer),
            kept: self.kept,
        })
    }

    /// Gives a span that has just begun the IDs under which it is exported, and its trace, if there is nothing else in it.
    /// Returns the ID that the trace has then.
    pub(super) fn rename(
        &mut self,
        place: SpanPlace,
        trace_id: TraceId,
        id: u64,
        parent: Option<Parent>,
    ) -> TraceId {
        if place.generation != self.generation {
            return self.trace_id;
        }
        let is_alone = self.generation == 0 && self.buffer.spans.len() == 1;
        if is_alone {
            self.trace_id = trace_id;
        }
        if let Some(span) = self.buffer.spans.get_mut(place.index as usize) {
            span.id = id;
            span.parent = parent.filter(|_| is_alone).unwrap_or(span.parent);
        }
        self.trace_id
    }
}
