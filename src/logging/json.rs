//! One flat JSON object per line.

use std::{fmt::Write, time::SystemTime};

use tracing::Metadata;

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
    line.push_str(buffer.timestamp.format(SystemTime::now()));
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

/// Writes what stands before the value of an event's field: `,"name":`.
pub(super) fn push_key(out: &mut String, name: &str) {
    push_unreserved_key(out, name, &RESERVED);
}

/// Writes a field of an event. Returns `false` and writes nothing if there is no room.
pub(super) fn write_field(out: &mut String, key: &str, value: FieldValue<'_>, room: usize) -> bool {
    if let FieldValue::Text(text) = value
        && text.len() < MAX_VALUE
        && key.len() + text.len() + MIN_ROOM <= room
        && Escape::Json.is_plain(text)
    {
        // The same as below, which asks more on the way.
        out.reserve(key.len() + text.len() + 2);
        out.push_str(key);
        out.push('"');
        out.push_str(text);
        out.push('"');
        return true;
    }
    write_pair(out, |out| out.push_str(key), value, room)
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

/// Writes `,"name":` with the prefix for a reserved name.
fn push_unreserved_key(out: &mut String, name: &str, reserved: &[&str]) {
    out.push_str(",\"");
    if is_reserved(name, reserved) {
        out.push_str(FIELD_PREFIX);
    }
    push_escaped(out, name, MAX_TARGET, Escape::Json);
    out.push_str("\":");
}

/// Writes a key and its value. Returns `false` and writes nothing if there is no room.
#[inline]
fn write_pair(
    out: &mut String,
    write_key: impl FnOnce(&mut String),
    value: FieldValue<'_>,
    room: usize,
) -> bool {
    push_pair(out, room, write_key, |out, left| {
        push_value(out, value, left)
    })
}

/// Writes a value, a text in quotes.
#[inline]
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
        value => value.push_to(out),
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
    let write_key = |out: &mut String| push_unreserved_key(out, "name", &[]);
    if !write_pair(out, write_key, name, room) {
        return false;
    }
    // In place of the comma that every pair begins with.
    out.replace_range(start..=start, "{");
    for (name, value) in fields {
        let room = end - out.len();
        let write_key = |out: &mut String| push_unreserved_key(out, name, &["name"]);
        write_pair(out, write_key, value.value(), room);
    }
    out.push('}');
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_without_escapes_is_truncated_and_dropped_like_any_other() {
        let long = "x".repeat(MAX_VALUE + 1);
        let texts = [
            "",
            "plain",
            "a\"b",
            &long[..MAX_VALUE - 1],
            &long[..MAX_VALUE],
            &long,
        ];
        for text in texts {
            for room in (0..40).chain(MAX_VALUE + 6..MAX_VALUE + 18) {
                let value = FieldValue::Text(text);
                let (mut field, mut pair) = (String::from("{"), String::from("{"));
                let is_written = write_field(&mut field, ",\"key\":", value, room);
                let write_key = |out: &mut String| out.push_str(",\"key\":");
                assert_eq!(is_written, write_pair(&mut pair, write_key, value, room));
                assert_eq!(field, pair, "room {room}");
                assert!(field.len() <= 1 + room);
            }
        }
    }
}
