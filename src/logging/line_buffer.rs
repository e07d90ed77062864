//! The line of an event, whatever its format.

use std::{cell::Cell, ops::Range};

use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    ids::CallIds,
    json, pretty,
    values::{FieldValue, FieldVisitor, MAX_VALUE, OwnedValue},
};

// A line is never longer than 64 KiB: these limits, and 2 KiB for time, target, IDs and punctuation.
const MAX_MESSAGE: usize = MAX_VALUE;
const MAX_FIELDS: usize = 40 << 10;
const MAX_SPANS: usize = 6 << 10;
pub(super) const MAX_TARGET: usize = 256;
/// The target of the span and of the line of an operation.
const OPERATION_TARGET: &str = "tower_keep::operation";
/// The capacity that each buffer of a thread keeps, in bytes.
const MAX_RETAINED: usize = 8 << 10;

/// The format of lines, resolved from settings and environment.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineFormat {
    Json,
    Pretty { colors: bool },
}

/// The fields of a span, stored as one of its extensions.
#[derive(Debug, Default)]
pub(super) struct SpanFields {
    /// The value of its field `otel.name`, which replaces its name.
    pub(super) name: Option<OwnedValue>,
    pub(super) fields: Vec<(&'static str, OwnedValue)>,
}

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
    static PARTS: Cell<Option<Box<LineBuffer>>> = const { Cell::new(None) };
}

/// Runs `work` with the buffer of this thread. A value that logs while it is logged gets another one.
pub(super) fn with_line_buffer<R>(work: impl FnOnce(&mut LineBuffer) -> R) -> R {
    let kept = PARTS.try_with(Cell::take).ok().flatten();
    let mut parts = kept.unwrap_or_default();
    let result = work(&mut parts);
    parts.clear();
    let _ = PARTS.try_with(|slot| slot.set(Some(parts)));
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
        let pieces = self.span_ranges.iter().rev();
        pieces.map(|piece| &self.spans[piece.clone()])
    }

    pub(super) fn has_spans(&self) -> bool {
        !self.span_ranges.is_empty()
    }

    /// Writes the event into `line`.
    pub(super) fn write_line<S>(
        &mut self,
        look: LineFormat,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let normal = event.normalized_metadata();
        let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
        self.read_fields(look, event, normal.is_some());
        self.ids.fill(|| ctx.event_scope(event));
        self.write_spans(look, metadata, event, ctx);
        match look {
            LineFormat::Json => json::write_line(self, metadata),
            LineFormat::Pretty { colors: colours } => pretty::write_line(self, metadata, colours),
        }
        self.line.push('\n');
    }

    fn read_fields(&mut self, look: LineFormat, event: &Event<'_>, from_log: bool) {
        let LineBuffer {
            message,
            fields,
            ids,
            dropped_fields: dropped,
            field_names: names,
            scratch,
            ..
        } = self;
        event.record(&mut FieldVisitor {
            scratch,
            // Events of the `log` crate have their metadata in these fields.
            filter: |name: &str| !(from_log && name.starts_with("log.")),
            on_field: |name: &'static str, value: FieldValue<'_>| {
                if name == "message" {
                    message.clear();
                    let push = match look {
                        LineFormat::Json => json::write_message,
                        LineFormat::Pretty { .. } => pretty::write_message,
                    };
                    value.with_text(|text| push(message, text, MAX_MESSAGE));
                } else if !ids.take_field(name, value) && !names.contains(&name) {
                    names.push(name);
                    let room = MAX_FIELDS - fields.len();
                    if !look.write_field(fields, name, value, room) {
                        *dropped += 1;
                    }
                }
            },
        });
    }

    fn write_spans<S>(
        &mut self,
        look: LineFormat,
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
            if !self.write_span(look, &span, MAX_SPANS - start) {
                self.spans.truncate(start);
                break;
            }
            self.span_ranges.push(start..self.spans.len());
        }
    }

    fn write_span<'a, S>(&mut self, look: LineFormat, span: &SpanRef<'a, S>, room: usize) -> bool
    where
        S: LookupSpan<'a>,
    {
        let extensions = span.extensions();
        let noted = extensions.get::<SpanFields>();
        let own_name = noted.and_then(|noted| noted.name.as_ref());
        let name = own_name.map_or(FieldValue::Text(span.name()), OwnedValue::value);
        let fields = noted.map_or(&[][..], |noted| &noted.fields);
        match look {
            LineFormat::Json => json::write_span(&mut self.spans, name, fields, room),
            LineFormat::Pretty { .. } => pretty::write_span(&mut self.spans, name, fields, room),
        }
    }
}

impl LineFormat {
    /// Writes a field, or nothing if there is no room.
    fn write_field(self, out: &mut String, name: &str, value: FieldValue<'_>, room: usize) -> bool {
        match self {
            LineFormat::Json => json::write_field(out, name, value, room),
            LineFormat::Pretty { .. } => pretty::write_field(out, name, value, room),
        }
    }
}
