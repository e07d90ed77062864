use std::sync::Arc;

use super::{
    buffer::Dropped,
    callsite::Callsite,
    packed::{Entries, Part, SpanValue},
    span_record::SpanRecord,
};

/// A part of a kept trace: spans that were decided together. It never changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    /// The Unix time from which its times count, in nanoseconds.
    pub(crate) base: u64,
    pub(crate) spans: Box<[SpanRecord]>,
    pub(super) log: Box<[u8]>,
    pub(crate) callsites: Box<[Arc<Callsite>]>,
    pub(crate) dropped: Dropped,
}

impl Segment {
    /// Returns what spans carry, each with the index of its span.
    pub(crate) fn entries(&self) -> Entries<'_> {
        Entries::new(&self.log)
    }

    /// Calls a closure with each attribute: the index of its span, its name and value. Of several of one name, the last counts.
    pub(crate) fn for_each_attribute<'a>(
        &'a self,
        mut each: impl FnMut(u32, &'a str, SpanValue<'a>),
    ) {
        for (index, part) in self.entries() {
            let Part::Attributes(values) = part else {
                continue;
            };
            let Some(callsite) = self.callsite(index) else {
                continue;
            };
            for (field, value) in values {
                if let Some(name) = callsite.field(field) {
                    each(index, name, value);
                }
            }
        }
    }

    /// Returns where a span is made.
    pub(crate) fn callsite(&self, index: u32) -> Option<&Callsite> {
        let span = self.spans.get(index as usize)?;
        self.callsites
            .get(usize::from(span.callsite))
            .map(|callsite| &**callsite)
    }

    /// Returns a time of the segment as Unix time, in nanoseconds.
    pub(crate) fn unix_nanos(&self, time: u64) -> u64 {
        self.base.saturating_add(time)
    }

    /// Returns the bytes that it takes, without the callsites, which all share.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.spans)
            + self.log.len()
            + size_of_val(&*self.callsites)
            + size_of::<Self>()
    }
}
