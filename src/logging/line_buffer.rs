use std::{cell::Cell, ops::Range};

use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    field_value::{FieldValue, MAX_VALUE},
    field_visitor::{CUSTOM_FIELDS, FieldVisitor},
    ids::CallIds,
    line_format::LineFormat,
    owned_value::OwnedValue,
    span_fields::SpanFields,
};
use crate::{context::CallFields, track::ACCESS_TARGET};

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
    field_names: Vec<&'static str>,
    pub(super) scratch: String,
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
        self.field_names.clear();
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
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        self.read_fields(format, event, normalized.is_some());
        // After the fields, since an ID of the event itself comes first.
        self.ids.fill(|| ctx.event_scope(event));
        self.write_spans(format, metadata, event, ctx);
        format.write_line(self, metadata);
        self.line.push('\n');
    }

    /// Writes the message and the fields of the event into their buffers, and takes its IDs.
    fn read_fields(&mut self, format: LineFormat, event: &Event<'_>, from_log: bool) {
        // One by one, since the closure below borrows some of them, and the visitor the scratch.
        let LineBuffer {
            message,
            fields,
            ids,
            dropped_fields,
            field_names,
            scratch,
            ..
        } = self;
        let is_access_line = event.metadata().target() == ACCESS_TARGET;
        event.record(&mut FieldVisitor {
            scratch,
            is_access_line,
            // Events of the `log` crate have their metadata in these fields.
            filter: |name: &str| !(from_log && name.starts_with("log.")),
            on_field: |name: &'static str, value: FieldValue<'_>| {
                if name == "message" {
                    message.clear();
                    value.with_text(|text| format.write_message(message, text, MAX_MESSAGE));
                // The first value of a field counts, so that no key occurs twice.
                } else if !ids.take_field(name, value) && !field_names.contains(&name) {
                    field_names.push(name);
                    let mut write = |name: &str, value| {
                        // Never negative: what does not fit is taken back.
                        let room = MAX_FIELDS - fields.len();
                        if !format.write_field(fields, name, value, room) {
                            *dropped_fields += 1;
                        }
                    };
                    match value {
                        FieldValue::Text(custom) if is_access_line && name == CUSTOM_FIELDS => {
                            for (name, value) in CallFields::parse(custom) {
                                let name = format!("{CUSTOM_FIELDS}.{name}");
                                write(&name, FieldValue::Text(value));
                            }
                        }
                        value => write(name, value),
                    }
                }
            },
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
        let stored = extensions.get::<SpanFields>();
        let own_name = stored.and_then(|stored| stored.name.as_ref());
        let name = own_name.map_or(FieldValue::Text(span.name()), OwnedValue::value);
        let fields = stored.map_or(&[][..], |stored| &stored.fields);
        format.write_span(&mut self.spans, name, fields, room)
    }
}
