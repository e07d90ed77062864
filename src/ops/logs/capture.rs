//! The part of the thread that logs: it copies an event.

use std::{
    cell::Cell,
    error::Error,
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event,
    field::{Field, Visit},
};

use super::{
    field_role::RecordFieldRole,
    raw_record::{RawField, RawRecord, RawValue},
};
use crate::{
    call::catch_nested_hook,
    context::{Context, hex_str},
    util::text::{ELLIPSIS, MAX_CHAR_BYTES, truncate, write_bounded, write_error_chain},
};

const MAX_FIELDS: usize = 32;
/// The longest message, the longest value of another field, and all texts of an event, in bytes.
const MAX_MESSAGE: usize = 8 * 1_024;
const MAX_VALUE: usize = 4 * 1_024;
const MAX_TEXT: usize = 16 * 1_024;
/// The longest ID.
const MAX_ID: usize = 128;
/// The memory that a thread keeps for its next event.
const KEPT_TEXT: usize = 4 * 1_024;

/// Memory of a thread, so that an event is copied twice and allocates its own size.
#[derive(Default)]
struct Buffers {
    text: String,
    fields: Vec<RawField>,
}

thread_local! {
    static BUFFERS: Cell<Option<Box<Buffers>>> = const { Cell::new(None) };
}

/// Copies an event. On a thread that works on no call, `with_span` passes on the context of the innermost span that was created
/// in one.
pub(super) fn capture(
    event: &Event<'_>,
    roles: &[RecordFieldRole],
    with_span: impl FnOnce(&mut dyn FnMut(&Context)),
) -> RawRecord {
    // Taken: the `Debug` of a value may log as well. Not there once the thread ends.
    let taken = BUFFERS.try_with(Cell::take).ok().flatten();
    let mut buffers = taken.unwrap_or_default();
    let mut visitor = Visitor {
        buffers: &mut buffers,
        roles,
        ids: [false; 4],
        dropped_fields: 0,
    };
    event.record(&mut visitor);
    if visitor.ids.contains(&false) {
        visitor.add_ids(with_span);
    }
    let dropped_fields = visitor.dropped_fields;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let record = RawRecord {
        at: since.map_or(0, |since| since.as_nanos() as u64),
        metadata: event.metadata(),
        text: buffers.text.as_str().into(),
        fields: buffers.fields.as_slice().into(),
        dropped_fields,
    };
    buffers.text.clear();
    buffers.fields.clear();
    if buffers.text.capacity() <= KEPT_TEXT {
        let _ = BUFFERS.try_with(|kept| kept.set(Some(buffers)));
    }
    record
}

struct Visitor<'a> {
    buffers: &'a mut Buffers,
    roles: &'a [RecordFieldRole],
    /// The IDs that the event has as fields.
    ids: [bool; 4],
    dropped_fields: u32,
}

const IDS: [(RecordFieldRole, &str); 4] = [
    (RecordFieldRole::RequestId, "request_id"),
    (RecordFieldRole::CorrelationId, "correlation_id"),
    (RecordFieldRole::TraceId, "trace_id"),
    (RecordFieldRole::SpanId, "span_id"),
];

impl Visitor<'_> {
    /// Returns the role of a field that is kept and has room.
    fn role(&mut self, field: &Field) -> Option<RecordFieldRole> {
        let role = self.roles.get(field.index()).copied();
        match role.unwrap_or(RecordFieldRole::Plain) {
            RecordFieldRole::Hidden => None,
            RecordFieldRole::Secret => {
                self.push(field.name(), RecordFieldRole::Secret, RawValue::Redacted);
                None
            }
            role => Some(role),
        }
    }

    fn push(&mut self, name: &'static str, role: RecordFieldRole, value: RawValue) {
        // The IDs of the call have room whatever the event has.
        if self.buffers.fields.len() >= MAX_FIELDS && role == RecordFieldRole::Plain {
            self.dropped_fields += 1;
            return;
        }
        if let Some(id) = IDS.iter().position(|(each, _)| *each == role) {
            self.ids[id] = true;
        }
        self.buffers.fields.push(RawField { name, role, value });
    }

    fn value(&mut self, field: &Field, value: RawValue, text: &dyn Debug) {
        match self.role(field) {
            Some(RecordFieldRole::Plain) => self.push(field.name(), RecordFieldRole::Plain, value),
            // A message or an ID that is a number.
            Some(_) => self.record_debug(field, text),
            None => {}
        }
    }

    fn text(
        &mut self,
        name: &'static str,
        role: RecordFieldRole,
        write: impl FnOnce(&mut String, usize),
    ) {
        if self.buffers.fields.len() >= MAX_FIELDS && role == RecordFieldRole::Plain {
            self.dropped_fields += 1;
            return;
        }
        let max = match role {
            RecordFieldRole::Message => MAX_MESSAGE,
            RecordFieldRole::Plain => MAX_VALUE,
            _ => MAX_ID,
        };
        let text = &mut self.buffers.text;
        let begin = text.len();
        let end = begin + max.min(MAX_TEXT.saturating_sub(begin));
        // Code of the application. It may log, and take the buffer of this thread: this one is taken.
        if catch_nested_hook(|| write(text, end)).is_none() {
            text.push_str("<panicked>");
        }
        if text.len() > end {
            let kept = truncate(text, end.saturating_sub(ELLIPSIS.len_utf8()).max(begin)).len();
            text.truncate(kept);
            text.push(ELLIPSIS);
        }
        let value = RawValue::Text(text.len() as u32);
        self.push(name, role, value);
    }

    /// Adds the IDs that the event does not have: of the call that this thread works on, or else of a span.
    fn add_ids(&mut self, with_span: impl FnOnce(&mut dyn FnMut(&Context))) {
        let found = Context::peek(|context| context.map(|context| self.add_ids_of(context)));
        if found.is_none() {
            with_span(&mut |context| self.add_ids_of(context));
        }
    }

    fn add_ids_of(&mut self, context: &Context) {
        let (trace_id, span_id) = (context.trace_id().to_hex(), context.span_id().to_hex());
        let ids = [
            context.request_id(),
            context.correlation_id(),
            hex_str(&trace_id),
            hex_str(&span_id),
        ];
        for (((role, name), id), has) in IDS.into_iter().zip(ids).zip(self.ids) {
            if !has {
                self.text(name, role, |text, end| push_bounded(text, end, id));
            }
        }
    }
}

fn push_bounded(text: &mut String, end: usize, value: &str) {
    // One character more than fits tells that it is truncated.
    let room = (end + MAX_CHAR_BYTES).saturating_sub(text.len());
    text.push_str(truncate(value, room));
}

impl Visit for Visitor<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, RawValue::Bool(value), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, RawValue::Int(value), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, RawValue::Unsigned(value), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, RawValue::Float(value), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(role) = self.role(field) {
            self.text(field.name(), role, |text, end| {
                push_bounded(text, end, value)
            });
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if let Some(role) = self.role(field) {
            self.text(field.name(), role, |text, end| {
                write_error_chain(text, end, value)
            });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let Some(role) = self.role(field) {
            self.text(field.name(), role, |text, end| {
                write_bounded(text, end, format_args!("{value:?}"));
            });
        }
    }
}
