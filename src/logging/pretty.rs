//! The readable format, for terminals.

use std::{fmt::Write, time::SystemTime};

use tracing::{Level, Metadata};

use super::{
    escape::{Escape, MIN_ROOM, push_escaped, push_pair},
    field_value::{FieldValue, MAX_VALUE},
    line_buffer::{LineBuffer, MAX_TARGET},
    span_fields::SpanField,
    timestamp::Timestamp,
};
use crate::util::text::ELLIPSIS;

/// The number of characters of an ID that are shown: the last ones, because a UUIDv7 begins with a timestamp.
const SHORT_ID_CHARS: usize = 8;

const DIM: &str = "\u{1b}[2m";
const RESET: &str = "\u{1b}[0m";

/// Returns the escape sequence for the color of a level.
fn level_color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

/// Writes the line from its parts.
pub(super) fn write_line(buffer: &mut LineBuffer, metadata: &Metadata<'_>, colors: bool) {
    // Taken out, since the other parts of the buffer are read meanwhile.
    let mut line = std::mem::take(&mut buffer.line);
    let paint = |line: &mut String, color: &str| {
        if colors {
            line.push_str(color);
        }
    };
    push_prefix(&mut line, &mut buffer.timestamp, metadata, paint);
    if !buffer.message.is_empty() {
        line.push(' ');
        line.push_str(&buffer.message);
    }
    line.push_str(&buffer.fields);
    if buffer.dropped_fields > 0 {
        let _ = write!(line, " dropped_fields={}", buffer.dropped_fields);
    }
    paint(&mut line, DIM);
    for (at, span) in buffer.spans().enumerate() {
        line.push_str(if at == 0 { " in " } else { " > " });
        line.push_str(span);
    }
    push_ids(&mut line, buffer);
    paint(&mut line, RESET);
    buffer.line = line;
}

/// Writes time, level and target.
fn push_prefix(
    line: &mut String,
    timestamp: &mut Timestamp,
    metadata: &Metadata<'_>,
    paint: impl Fn(&mut String, &str),
) {
    paint(line, DIM);
    line.push_str(timestamp.format_time(SystemTime::now()));
    line.push('Z');
    paint(line, RESET);
    line.push(' ');
    paint(line, level_color(*metadata.level()));
    let _ = write!(line, "{:>5}", metadata.level().as_str());
    paint(line, RESET);
    line.push(' ');
    paint(line, DIM);
    push_escaped(line, metadata.target(), MAX_TARGET, Escape::Bare);
    line.push(':');
    paint(line, RESET);
}

/// Writes ` req=…1a2b3c4d cor=demo-1 trace=…5e6f7a8b`, by which other lines of the same call can be found.
fn push_ids(line: &mut String, buffer: &LineBuffer) {
    let mut request_id = "";
    for (name, id) in buffer.ids.iter() {
        let label = match name {
            "request_id" => "req",
            // The request chain begins with this call.
            "correlation_id" if id == request_id => continue,
            "correlation_id" => "cor",
            "trace_id" => "trace",
            _ => continue,
        };
        if name == "request_id" {
            request_id = id;
        }
        let _ = write!(line, " {label}=");
        let short = id.char_indices().rev().nth(SHORT_ID_CHARS - 1);
        match short {
            // An ID that is hardly longer is shown whole, so that a search finds it.
            Some((at, _)) if at > SHORT_ID_CHARS => {
                line.push(ELLIPSIS);
                push_escaped(line, &id[at..], MAX_TARGET, Escape::Bare);
            }
            _ => push_escaped(line, id, MAX_TARGET, Escape::Bare),
        }
    }
}

/// Writes a message.
pub(super) fn write_message(out: &mut String, text: &str, room: usize) {
    push_escaped(out, text, room, Escape::Bare);
}

/// Writes what stands before the value of a field: ` name=`.
pub(super) fn push_key(out: &mut String, name: &str) {
    out.push(' ');
    push_escaped(out, name, MAX_TARGET, Escape::Bare);
    out.push('=');
}

/// Writes a key and its value, or returns `false` and writes nothing if there is no room.
pub(super) fn write_field(out: &mut String, key: &str, value: FieldValue<'_>, room: usize) -> bool {
    write_pair(out, |out| out.push_str(key), value, room)
}

fn write_pair(
    out: &mut String,
    write_key: impl FnOnce(&mut String),
    value: FieldValue<'_>,
    room: usize,
) -> bool {
    push_pair(out, room, write_key, |out, left| match value {
        FieldValue::Text(text) if left >= MIN_ROOM => push_value(out, text, MAX_VALUE.min(left)),
        value => value.push_to(out),
    })
}

/// Writes a word verbatim, and any other text in quotes.
fn push_value(out: &mut String, text: &str, room: usize) {
    let is_word = |byte: u8| byte.is_ascii_graphic() && !b"\"\\=".contains(&byte);
    if !text.is_empty() && text.len() <= room && text.bytes().all(is_word) {
        return out.push_str(text);
    }
    out.push('"');
    push_escaped(out, text, room - 2, Escape::Quoted);
    out.push('"');
}

/// Writes `load_order{id=7 kind=big}`, without the fields that there is no room for.
pub(super) fn write_span(
    out: &mut String,
    name: FieldValue<'_>,
    fields: &[SpanField],
    room: usize,
) -> bool {
    let start = out.len();
    // Room for the braces and the separator between spans.
    let Some(room) = room.checked_sub(5).filter(|room| *room >= MIN_ROOM) else {
        return false;
    };
    let end = start + room;
    name.with_text(|text| push_escaped(out, text, room, Escape::Bare));
    let open = out.len();
    for (name, value) in fields {
        let room = end.saturating_sub(out.len());
        write_pair(out, |out| push_key(out, name), value.value(), room);
    }
    if out.len() > open {
        // In place of the space that every field begins with.
        out.replace_range(open..=open, "{");
        out.push('}');
    }
    true
}
