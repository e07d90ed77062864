use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    active_trace::ActiveTrace, callsite_fields::SpanSource, span_record::SpanKind,
    trace_state::SpanPlace,
};
use crate::context::TraceId;

/// The mark of a span that is not kept whatever happens, nor are the spans in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkippedSpan;

/// A span of a trace in flight, in the extensions of the subscriber's.
#[derive(Debug)]
pub(super) struct SpanHandle {
    pub(super) trace: Arc<ActiveTrace>,
    pub(super) trace_id: TraceId,
    pub(super) id: u64,
    /// The ID of the innermost call around it, its own included.
    pub(super) call_id: u64,
    pub(super) source: SpanSource,
    pub(super) kind: SpanKind,
    /// True if it has no parent in its trace.
    pub(super) is_root: bool,
    /// Nanoseconds since the base of the trace, as are those below.
    pub(super) start: u64,
    place: AtomicU64,
    is_complete: AtomicBool,
    /// True if it was asked for the IDs under which it is exported.
    #[cfg(feature = "opentelemetry")]
    is_identified: AtomicBool,
    /// The number of threads that are in it.
    entries: AtomicU32,
    entered_at: AtomicU64,
    exited_at: AtomicU64,
    busy: AtomicU64,
}

/// The identity of a new span.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanIdentity {
    pub(super) trace_id: TraceId,
    pub(super) id: u64,
    pub(super) call_id: u64,
    pub(super) source: SpanSource,
    pub(super) kind: SpanKind,
    pub(super) is_root: bool,
}

impl SpanHandle {
    pub(super) fn new(
        trace: Arc<ActiveTrace>,
        identity: SpanIdentity,
        start: u64,
        place: SpanPlace,
    ) -> Self {
        let handle = SpanHandle {
            trace,
            trace_id: identity.trace_id,
            id: identity.id,
            call_id: identity.call_id,
            source: identity.source,
            kind: identity.kind,
            is_root: identity.is_root,
            start,
            place: AtomicU64::new(0),
            is_complete: AtomicBool::new(false),
            #[cfg(feature = "opentelemetry")]
            is_identified: AtomicBool::new(false),
            entries: AtomicU32::new(0),
            entered_at: AtomicU64::new(0),
            exited_at: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        };
        handle.set_place(place);
        handle
    }

    /// Returns the same span under the IDs by which it is exported.
    pub(super) fn with_ids(&self, trace_id: TraceId, id: u64) -> Self {
        let is_call = self.source == SpanSource::Call;
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(Relaxed));
        SpanHandle {
            trace: self.trace.clone(),
            trace_id,
            id,
            call_id: if is_call { id } else { self.call_id },
            place: copy(&self.place),
            is_complete: AtomicBool::new(self.is_complete()),
            #[cfg(feature = "opentelemetry")]
            is_identified: AtomicBool::new(true),
            entries: AtomicU32::new(self.entries.load(Relaxed)),
            entered_at: copy(&self.entered_at),
            exited_at: copy(&self.exited_at),
            busy: copy(&self.busy),
            ..*self
        }
    }

    /// Returns true for who asks first for the IDs under which the span is exported. Those of calls are recorded in them.
    #[cfg(feature = "opentelemetry")]
    pub(super) fn identify(&self) -> bool {
        self.source != SpanSource::Call && !self.is_identified.swap(true, Relaxed)
    }

    /// Returns the place, which changes only under the lock of the trace.
    #[inline]
    pub(super) fn place(&self) -> SpanPlace {
        let word = self.place.load(Relaxed);
        SpanPlace {
            generation: (word >> 32) as u32,
            index: word as u32,
        }
    }

    pub(super) fn set_place(&self, place: SpanPlace) {
        let word = u64::from(place.generation) << 32 | u64::from(place.index);
        self.place.store(word, Relaxed);
    }

    /// Returns true once.
    #[inline]
    pub(super) fn complete(&self) -> bool {
        !self.is_complete.swap(true, Relaxed)
    }

    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Relaxed)
    }

    #[inline]
    pub(super) fn enter(&self, at: u64) {
        if self.entries.fetch_add(1, Relaxed) == 0 {
            self.entered_at.store(at, Relaxed);
        }
    }

    #[inline]
    pub(super) fn exit(&self, at: u64) {
        if self.entries.fetch_sub(1, Relaxed) == 1 {
            let entered_at = self.entered_at.load(Relaxed);
            self.busy.fetch_add(at.saturating_sub(entered_at), Relaxed);
            self.exited_at.store(at, Relaxed);
        }
    }

    /// Returns the time in which code ran in the span, until a time.
    pub(super) fn busy(&self, until: u64) -> u64 {
        let busy = self.busy.load(Relaxed);
        match self.entries.load(Relaxed) {
            0 => busy,
            _ => busy + until.saturating_sub(self.entered_at.load(Relaxed)),
        }
    }

    /// Returns when code ran in the span for the last time, if it did.
    pub(super) fn last_exit(&self) -> Option<u64> {
        Some(self.exited_at.load(Relaxed)).filter(|at| *at > 0)
    }
}

thread_local! {
    /// The parent of the span that was closed last on this thread.
    static CLOSED_IN: Cell<u64> = const { Cell::new(0) };
}

/// Notes that a span was closed. Its parent may be closed by that: a subscriber keeps parents open for as long as their children.
pub(super) fn note_closed(parent: Option<u64>) {
    let _ = CLOSED_IN.try_with(|last| last.set(parent.unwrap_or(0)));
}

/// Returns whether the span that was closed last on this thread was a child of this one.
pub(super) fn is_closed_by_child(span: u64) -> bool {
    let last = CLOSED_IN.try_with(Cell::take);
    last.is_ok_and(|last| last == span)
}
