use tracing::Metadata;

use super::{
    field_value::FieldValue, json, line_buffer::LineBuffer, pretty, span_fields::SpanField,
};

/// The format of lines, resolved from settings and environment.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineFormat {
    Json,
    Pretty { colors: bool },
}

impl LineFormat {
    /// Writes the line from its parts.
    pub(super) fn write_line(self, buffer: &mut LineBuffer, metadata: &Metadata<'_>) {
        match self {
            LineFormat::Json => json::write_line(buffer, metadata),
            LineFormat::Pretty { colors } => pretty::write_line(buffer, metadata, colors),
        }
    }

    /// Writes the message in at most `room` bytes.
    pub(super) fn write_message(self, out: &mut String, text: &str, room: usize) {
        match self {
            LineFormat::Json => json::write_message(out, text, room),
            LineFormat::Pretty { .. } => pretty::write_message(out, text, room),
        }
    }

    /// Returns what stands before the value of a field, its name included.
    pub(super) fn key(self, name: &str) -> String {
        let mut key = String::new();
        match self {
            LineFormat::Json => json::push_key(&mut key, name),
            LineFormat::Pretty { .. } => pretty::push_key(&mut key, name),
        }
        key
    }

    /// Writes a field behind its [key](LineFormat::key). Returns `false` and writes nothing if there is no room.
    pub(super) fn write_field(
        self,
        out: &mut String,
        key: &str,
        value: FieldValue<'_>,
        room: usize,
    ) -> bool {
        match self {
            LineFormat::Json => json::write_field(out, key, value, room),
            LineFormat::Pretty { .. } => pretty::write_field(out, key, value, room),
        }
    }

    /// Writes a span with its fields. Returns `false` if there is no room.
    pub(super) fn write_span(
        self,
        out: &mut String,
        name: FieldValue<'_>,
        fields: &[SpanField],
        room: usize,
    ) -> bool {
        match self {
            LineFormat::Json => json::write_span(out, name, fields, room),
            LineFormat::Pretty { .. } => pretty::write_span(out, name, fields, room),
        }
    }
}
