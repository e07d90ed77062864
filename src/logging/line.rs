//! One event, one line: what goes into it, whatever it looks like.

use std::{cell::Cell, ops::Range};

use tracing::{Event, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::{
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    ids::Ids,
    json, pretty,
    values::{Kept, MAX_VALUE, Value, Visitor},
};

// A line is never longer than 64 KiB: these, and 2 KiB for time, target, IDs and punctuation.
const MAX_MESSAGE: usize = MAX_VALUE;
const MAX_FIELDS: usize = 40 << 10;
const MAX_SPANS: usize = 6 << 10;
pub(super) const MAX_TARGET: usize = 256;
/// The target of an operation's span and line.
const OPERATION: &str = "tower_keep::operation";
/// What a thread keeps of its buffers.
const KEEP: usize = 8 << 10;

/// What lines look like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Json,
    Pretty { colours: bool },
}

/// What is remembered of a span.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The name that it gives itself, as `otel.name`.
    pub(super) name: Option<Kept>,
    pub(super) fields: Vec<(&'static str, Kept)>,
}

/// The parts of a line. Made once per thread and used again.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) line: String,
    pub(super) message: String,
    pub(super) fields: String,
    pub(super) ids: Ids,
    /// How many fields found no room.
    pub(super) dropped: usize,
    /// The spans, the innermost first.
    spans: String,
    pieces: Vec<Range<usize>>,
    names: Vec<&'static str>,
    pub(super) scratch: String,
}

thread_local! {
    static PARTS: Cell<Option<Box<Parts>>> = const { Cell::new(None) };
}

/// Uses the thread's parts. A value that logs while it is being logged gets others.
pub(super) fn with_parts<R>(work: impl FnOnce(&mut Parts) -> R) -> R {
    let kept = PARTS.try_with(Cell::take).ok().flatten();
    let mut parts = kept.unwrap_or_default();
    let result = work(&mut parts);
    parts.clear();
    let _ = PARTS.try_with(|slot| slot.set(Some(parts)));
    result
}

impl Parts {
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
            text.shrink_to(KEEP);
        }
        self.ids.clear();
        self.dropped = 0;
        self.pieces.clear();
        self.names.clear();
    }

    /// The spans from the outermost on; of too many, the innermost.
    pub(super) fn spans(&self) -> impl Iterator<Item = &str> {
        let pieces = self.pieces.iter().rev();
        pieces.map(|piece| &self.spans[piece.clone()])
    }

    pub(super) fn has_spans(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Writes the event into `line`.
    pub(super) fn write<S>(&mut self, look: Look, event: &Event<'_>, ctx: &Context<'_, S>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let normal = event.normalized_metadata();
        let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
        self.read(look, event, normal.is_some());
        self.ids.stamp(|| ctx.event_scope(event));
        self.name_spans(look, metadata, event, ctx);
        match look {
            Look::Json => json::line(self, metadata),
            Look::Pretty { colours } => pretty::line(self, metadata, colours),
        }
        self.line.push('\n');
    }

    fn read(&mut self, look: Look, event: &Event<'_>, from_log: bool) {
        let Parts {
            message,
            fields,
            ids,
            dropped,
            names,
            scratch,
            ..
        } = self;
        event.record(&mut Visitor {
            scratch,
            // Where the `log` crate's events hide their metadata.
            wants: |name: &str| !(from_log && name.starts_with("log.")),
            see: |name: &'static str, value: Value<'_>| {
                if name == "message" {
                    message.clear();
                    let push = match look {
                        Look::Json => json::message,
                        Look::Pretty { .. } => pretty::message,
                    };
                    value.with_text(|text| push(message, text, MAX_MESSAGE));
                } else if !ids.take_own(name, value) && !names.contains(&name) {
                    names.push(name);
                    let room = MAX_FIELDS - fields.len();
                    if !look.field(fields, name, value, room) {
                        *dropped += 1;
                    }
                }
            },
        });
    }

    fn name_spans<S>(
        &mut self,
        look: Look,
        metadata: &Metadata<'_>,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let Some(scope) = ctx.event_scope(event) else {
            return;
        };
        // The line of an operation says all that its own span does, where there is one; that of a call is in no span.
        let is_end = metadata.target() == OPERATION;
        let mut scope = scope.peekable();
        if is_end {
            scope.next_if(|span| span.metadata().target() == OPERATION);
        }
        for span in scope {
            let start = self.spans.len();
            if !self.name_span(look, &span, MAX_SPANS - start) {
                self.spans.truncate(start);
                break;
            }
            self.pieces.push(start..self.spans.len());
        }
    }

    fn name_span<'a, S>(&mut self, look: Look, span: &SpanRef<'a, S>, room: usize) -> bool
    where
        S: LookupSpan<'a>,
    {
        let extensions = span.extensions();
        let noted = extensions.get::<Noted>();
        let own_name = noted.and_then(|noted| noted.name.as_ref());
        let name = own_name.map_or(Value::Text(span.name()), Kept::value);
        let fields = noted.map_or(&[][..], |noted| &noted.fields);
        match look {
            Look::Json => json::span(&mut self.spans, name, fields, room),
            Look::Pretty { .. } => pretty::span(&mut self.spans, name, fields, room),
        }
    }
}

impl Look {
    /// Writes a field, or nothing if there is no room for it.
    fn field(self, out: &mut String, name: &str, value: Value<'_>, room: usize) -> bool {
        match self {
            Look::Json => json::field(out, name, value, room),
            Look::Pretty { .. } => pretty::field(out, name, value, room),
        }
    }
}
