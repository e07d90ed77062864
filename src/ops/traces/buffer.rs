use tracing::Metadata;

use super::{
    capture::Captured,
    packed::{push_attributes, push_event, push_link},
    span_record::SpanRecord,
};

/// The most values of a span, of which 32 at once: a value that is recorded again takes the place of the earlier one for whoever
/// reads.
const MAX_VALUES: u8 = 64;
const MAX_LINKS: u8 = 16;
/// The most bytes that the spans of one trace carry.
const MAX_LOG: usize = 8 * 1_024 * 1_024;
/// The most callsites of one trace.
const MAX_CALLSITES: usize = 4_096;

/// The most spans of one trace and events of one span.
#[derive(Clone, Copy, Debug)]
pub(super) struct BufferLimits {
    pub(super) spans: usize,
    pub(super) events: u8,
}

/// The numbers of what did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) spans: u64,
    pub(crate) values: u64,
    pub(crate) events: u64,
}

/// The spans of a trace while they run: records of a fixed size, and a log of what they carry, in the order in which it came.
#[derive(Debug, Default)]
pub(super) struct TraceBuffer {
    pub(super) spans: Vec<SpanRecord>,
    pub(super) log: Vec<u8>,
    pub(super) callsites: Vec<&'static Metadata<'static>>,
    pub(super) dropped: Dropped,
}

impl TraceBuffer {
    /// Adds a span, and returns its index; `None` if there is no room.
    pub(super) fn open(
        &mut self,
        mut span: SpanRecord,
        metadata: &'static Metadata<'static>,
        limits: BufferLimits,
    ) -> Option<u32> {
        let index = self.spans.len();
        let callsite = self.callsite(metadata);
        let (Some(callsite), true) = (callsite, index < limits.spans) else {
            self.dropped.spans += 1;
            return None;
        };
        span.callsite = callsite;
        self.spans.push(span);
        u32::try_from(index).ok()
    }

    /// Adds values to a span.
    #[inline]
    pub(super) fn record(&mut self, index: u32, captured: &Captured) {
        let Some(span) = self.spans.get_mut(index as usize) else {
            return;
        };
        span.is_error |= captured.facts.is_error;
        span.outcome = captured.facts.outcome.or(span.outcome);
        self.dropped.values += u64::from(captured.dropped);
        if captured.count == 0 {
            return;
        }
        let values = span.values.saturating_add(captured.count);
        if values > MAX_VALUES || self.log.len() + captured.values.len() > MAX_LOG {
            self.dropped.values += u64::from(captured.count);
            return;
        }
        span.values = values;
        push_attributes(&mut self.log, index, &captured.values);
    }

    /// Adds an event to a span.
    pub(super) fn event(
        &mut self,
        index: u32,
        at: u64,
        metadata: &'static Metadata<'static>,
        captured: &Captured,
        limits: BufferLimits,
    ) {
        let callsite = self.callsite(metadata);
        let has_room = self.log.len() + captured.values.len() <= MAX_LOG;
        let span = self.spans.get_mut(index as usize);
        let (Some(span), Some(callsite), true) = (span, callsite, has_room) else {
            self.dropped.events += 1;
            return;
        };
        if *metadata.level() == tracing::Level::ERROR {
            span.has_error_event = true;
            span.is_error |= !span.is_own;
        }
        if span.events >= limits.events {
            self.dropped.events += 1;
            return;
        }
        span.events += 1;
        self.dropped.values += u64::from(captured.dropped);
        push_event(&mut self.log, index, at, callsite, &captured.values);
    }

    /// Adds a link to a span.
    pub(super) fn link(&mut self, index: u32, trace_id: u128, span_id: u64) {
        if let Some(span) = self.spans.get_mut(index as usize)
            && span.links < MAX_LINKS
        {
            span.links += 1;
            push_link(&mut self.log, index, trace_id, span_id);
        }
    }

    /// Ends a span.
    #[inline]
    pub(super) fn close(&mut self, index: u32, end: u64, busy: u64) {
        if let Some(span) = self.spans.get_mut(index as usize) {
            span.end = Some(end.max(span.start));
            span.busy = busy;
        }
    }

    /// Returns the bytes that it takes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<SpanRecord>()
            + self.log.capacity()
            + self.callsites.capacity() * size_of::<&Metadata<'_>>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.dropped == Dropped::default()
    }

    /// Forgets everything, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.log.clear();
        self.callsites.clear();
        self.dropped = Dropped::default();
    }

    fn callsite(&mut self, metadata: &'static Metadata<'static>) -> Option<u16> {
        let mut known = self.callsites.iter().rev();
        let from_end = known.position(|each| std::ptr::eq::<Metadata<'_>>(*each, metadata));
        let index = match from_end {
            Some(from_end) => self.callsites.len() - 1 - from_end,
            None if self.callsites.len() < MAX_CALLSITES => {
                self.callsites.push(metadata);
                self.callsites.len() - 1
            }
            None => return None,
        };
        u16::try_from(index).ok()
    }
}
