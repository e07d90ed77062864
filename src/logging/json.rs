//! One flat JSON object per line.

use std::fmt::Write;

use tracing::Metadata;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime, SystemTime},
};

use super::{
    escape::{Escape, MIN_ROOM, push_escaped, push_pair},
    field_value::{FieldValue, MAX_VALUE},
    line_buffer::{LineBuffer, MAX_TARGET},
    span_fields::SpanField,
};

/// The keys of a line itself. A field with such a name gets the prefix: `field.level`.
const RESERVED: [&str; 5] = ["timestamp", "level", "target", "spans", "dropped_fields"];
/// The prefix of fields with a reserved name.
const FIELD_PREFIX: &str = "field.";

/// Writes the line from its parts.
pub(super) fn write_line(buffer: &mut LineBuffer, metadata: &Metadata<'_>) {
    // Taken out, since the other parts of the buffer are read meanwhile.
    let mut line = std::mem::take(&mut buffer.line);
    line.push_str("{\"timestamp\":\"");
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    line.push_str("\",\"level\":\"");
    line.push_str(metadata.level().as_str());
    line.push_str("\",\"target\":\"");
    push_escaped(&mut line, metadata.target(), MAX_TARGET, Escape::Json);
    line.push('"');
    if !buffer.message.is_empty() {
        line.push_str(",\"message\":\"");
        // Escaped when it was read, as are fields and spans.
        line.push_str(&buffer.message);
        line.push('"');
    }
    push_ids(&mut line, buffer);
    line.push_str(&buffer.fields);
    if buffer.dropped_fields > 0 {
        let _ = write!(line, ",\"dropped_fields\":{}", buffer.dropped_fields);
    }
    for (at, span) in buffer.spans().enumerate() {
        line.push_str(if at == 0 { ",\"spans\":[" } else { "," });
        line.push_str(span);
    }
    line.push_str(if buffer.has_spans() { "]}" } else { "}" });
    buffer.line = line;
}

/// Writes the IDs of the call.
fn push_ids(line: &mut String, buffer: &LineBuffer) {
    for (name, id) in buffer.ids.iter() {
        line.push_str(",\"");
        line.push_str(name);
        line.push_str("\":\"");
        push_escaped(line, id, MAX_TARGET, Escape::Json);
        line.push('"');
    }
}

/// Writes a message without quotes.
pub(super) fn write_message(out: &mut String, text: &str, room: usize) {
    push_escaped(out, text, room, Escape::Json);
}

/// Writes a field of an event. Returns `false` and writes nothing if there is no room.
pub(super) fn write_field(
    out: &mut String,
    name: &str,
    value: FieldValue<'_>,
    room: usize,
) -> bool {
    write_pair(out, name, &RESERVED, value, room)
}

/// Returns whether a key needs the prefix. One that begins with the prefix and a reserved name gets another one, or two
/// fields could have the same key.
fn is_reserved(name: &str, reserved: &[&str]) -> bool {
    let mut bare = name;
    while let Some(inner) = bare.strip_prefix(FIELD_PREFIX) {
        bare = inner;
    }
    reserved.contains(&bare)
}

/// Writes `,"name":value` with the prefix for a reserved name. Returns `false` and writes nothing if there is no room.
fn write_pair(
    out: &mut String,
    name: &str,
    reserved: &[&str],
    value: FieldValue<'_>,
    room: usize,
) -> bool {
    let write_name = |out: &mut String| {
        out.push_str(",\"");
        if is_reserved(name, reserved) {
            out.push_str(FIELD_PREFIX);
        }
        push_escaped(out, name, MAX_TARGET, Escape::Json);
        out.push_str("\":");
    };
    push_pair(out, room, write_name, |out, left| {
        push_value(out, value, left)
    })
}

/// Writes a value, a text in quotes.
fn push_value(out: &mut String, value: FieldValue<'_>, room: usize) {
    match value {
        FieldValue::Text(text) if room >= MIN_ROOM => {
            out.push('"');
            // Two less for the quotes.
            push_escaped(out, text, MAX_VALUE.min(room - 2), Escape::Json);
            out.push('"');
        }
        // JSON has no infinity and no NaN.
        FieldValue::Float(number) if !number.is_finite() => {
            let _ = write!(out, "\"{number}\"");
        }
        value => {
            let _ = write!(out, "{value}");
        }
    }
}

/// Writes `{"name":"load_order","id":7}`, without the fields that there is no room for.
pub(super) fn write_span(
    out: &mut String,
    name: FieldValue<'_>,
    fields: &[SpanField],
    room: usize,
) -> bool {
    // Room for the closing brace and the comma between spans.
    let Some(room) = room.checked_sub(2) else {
        return false;
    };
    let (start, end) = (out.len(), out.len() + room);
    if !write_pair(out, "name", &[], name, room) {
        return false;
    }
    // In place of the comma that every pair begins with.
    out.replace_range(start..=start, "{");
    for (name, value) in fields {
        let room = end - out.len();
        write_pair(out, name, &["name"], value.value(), room);
    }
    out.push('}');
    true
}
