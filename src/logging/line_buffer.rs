use std::{cell::Cell, ops::Range};

use tracing::{Event, Metadata, Subscriber, field::Field};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    event_fields::{EventField, EventFields, FieldRole},
    field_value::{FieldValue, MAX_VALUE},
    field_visitor::{CUSTOM_FIELDS, FieldVisitor},
    ids::CallIds,
    line_format::LineFormat,
    owned_value::OwnedValue,
    span_data::SpanData,
    timestamp::Timestamp,
};
use crate::{context::CallFields, track::ACCESS_TARGET, util::callsites::Callsites};

// A line is never longer than 64 KiB: these limits, and 2 KiB for time, target, IDs and punctuation.
const MAX_MESSAGE: usize = MAX_VALUE;
const MAX_FIELDS: usize = 40 << 10;
const MAX_SPANS: usize = 6 << 10;
pub(super) const MAX_TARGET: usize = 256;
/// The target of the span and of the line of an operation.
const OPERATION_TARGET: &str = "tower_keep::operation";
/// The capacity that each buffer of a thread keeps, in bytes.
const MAX_RETAINED: usize = 8 << 10;

/// The parts of a line, allocated once per thread.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    pub(super) line: String,
    pub(super) message: String,
    pub(super) fields: String,
    pub(super) ids: CallIds,
    /// The number of fields that there was no room for.
    pub(super) dropped_fields: usize,
    /// The texts of the spans, the innermost first.
    spans: String,
    span_ranges: Vec<Range<usize>>,
    /// The names of the event's fields of which there are several.
    repeated_names: Vec<&'static str>,
    pub(super) scratch: String,
    /// Kept from line to line.
    pub(super) timestamp: Timestamp,
}

thread_local! {
    static LINE_BUFFER: Cell<Option<Box<LineBuffer>>> = const { Cell::new(None) };
}

/// Runs `work` with the buffer of this thread. A value that logs while it is logged gets another one.
pub(super) fn with_line_buffer<R>(work: impl FnOnce(&mut LineBuffer) -> R) -> R {
    // Taken out while in use: a value that logs finds no buffer.
    let buffer = LINE_BUFFER.try_with(Cell::take).ok().flatten();
    let mut buffer = buffer.unwrap_or_default();
    let result = work(&mut buffer);
    buffer.clear();
    let _ = LINE_BUFFER.try_with(|slot| slot.set(Some(buffer)));
    result
}

impl LineBuffer {
    fn clear(&mut self) {
        let texts = [
            &mut self.line,
            &mut self.message,
            &mut self.fields,
            &mut self.spans,
            &mut self.scratch,
        ];
        for text in texts {
            text.clear();
            text.shrink_to(MAX_RETAINED);
        }
        self.ids.clear();
        self.dropped_fields = 0;
        self.span_ranges.clear();
        self.repeated_names.clear();
    }

    /// Returns the spans, the outermost first. If there is no room for all, the outer ones are missing.
    pub(super) fn spans(&self) -> impl Iterator<Item = &str> {
        let ranges = self.span_ranges.iter().rev();
        ranges.map(|range| &self.spans[range.clone()])
    }

    pub(super) fn has_spans(&self) -> bool {
        !self.span_ranges.is_empty()
    }

    /// Writes the event into `line`.
    pub(super) fn write_line<S>(
        &mut self,
        format: LineFormat,
        known: &Callsites<EventFields>,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let make = || EventFields::new(format, event.metadata(), normalized.is_some());
        known.with(event.metadata(), make, |fields| {
            self.read_fields(format, event, fields)
        });
        // After the fields, since an ID of the event itself comes first.
        self.ids.fill(|| ctx.event_scope(event));
        self.write_spans(format, metadata, event, ctx);
        format.write_line(self, metadata);
        self.line.push('\n');
    }

    /// Writes the message and the fields of the event into their buffers, and takes its IDs.
    fn read_fields(&mut self, format: LineFormat, event: &Event<'_>, known: &EventFields) {
        // One by one, since the closures below borrow some of them, and the visitor the scratch.
        let LineBuffer {
            message,
            fields,
            ids,
            dropped_fields,
            repeated_names,
            scratch,
            ..
        } = self;
        let mut write = |key: &str, value: FieldValue<'_>| {
            // Never negative: what does not fit is taken back.
            let room = MAX_FIELDS - fields.len();
            if !format.write_field(fields, key, value, room) {
                *dropped_fields += 1;
            }
        };
        let on_field = |EventField { role, name, key }: &EventField, value: FieldValue<'_>| {
            match (role, value) {
                (FieldRole::Message, value) => {
                    message.clear();
                    value.with_text(|text| format.write_message(message, text, MAX_MESSAGE));
                }
                (FieldRole::Id(position), value) => ids.set(*position, value),
                (FieldRole::Custom, FieldValue::Text(custom)) => {
                    for (name, value) in CallFields::parse(custom) {
                        let key = format.key(&format!("{CUSTOM_FIELDS}.{name}"));
                        write(&key, FieldValue::Text(value));
                    }
                }
                // The first value of a field counts, so that no key occurs twice.
                (FieldRole::Repeated, _) if repeated_names.contains(name) => {}
                (FieldRole::Repeated, value) => {
                    repeated_names.push(name);
                    write(key, value);
                }
                (FieldRole::Plain | FieldRole::Custom, value) => write(key, value),
            }
        };
        event.record(&mut FieldVisitor {
            scratch,
            is_access_line: event.metadata().target() == ACCESS_TARGET,
            find: |field: &Field| known.get(field),
            on_field,
        });
    }

    /// Writes the spans, the innermost first, as far as there is room.
    fn write_spans<S>(
        &mut self,
        format: LineFormat,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let Some(scope) = ctx.event_scope(event) else {
            return;
        };
        // The line of an operation has all fields of its own span. The line of a call is in no span.
        let is_operation_line = metadata.target() == OPERATION_TARGET;
        let mut scope = scope.peekable();
        if is_operation_line {
            scope.next_if(|span| span.metadata().target() == OPERATION_TARGET);
        }
        for span in scope {
            let start = self.spans.len();
            // The innermost spans are written first, so the outer ones are missing if there is no room.
            if !self.write_span(format, &span, MAX_SPANS - start) {
                self.spans.truncate(start);
                break;
            }
            self.span_ranges.push(start..self.spans.len());
        }
    }

    fn write_span<'a, S>(&mut self, format: LineFormat, span: &SpanRef<'a, S>, room: usize) -> bool
    where
        S: LookupSpan<'a>,
    {
        let extensions = span.extensions();
        let stored = extensions.get::<SpanData>().map(|data| &data.fields);
        let own_name = stored.and_then(|stored| stored.name.as_ref());
        let name = own_name.map_or(FieldValue::Text(span.name()), OwnedValue::value);
        let fields = stored.map_or(&[][..], |stored| &stored.fields);
        format.write_span(&mut self.spans, name, fields, room)
    }
}
