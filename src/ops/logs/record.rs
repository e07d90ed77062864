use std::{borrow::Cow, fmt::Write};

use serde_json::{Map, Value, json};

use super::{
    field_role::RecordFieldRole,
    level::LogLevel,
    raw_record::{RawRecord, RawValue},
};
use crate::{
    context::{SpanId, TraceId, hex_str},
    ops::redact::redacted_lines,
    util::credentials::REDACTED,
};

/// A record of the log, without credentials.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct LogRecord {
    /// Later records have higher numbers.
    pub(super) id: u64,
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) level: LogLevel,
    pub(super) target: Cow<'static, str>,
    pub(super) message: Box<str>,
    /// The fields as a JSON object; empty if there are none.
    pub(super) fields: Box<str>,
    pub(super) ids: LogIds,
}

/// The IDs of the call that a record belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogIds {
    pub(super) request_id: Option<Box<str>>,
    pub(super) correlation_id: Option<Box<str>>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: Option<SpanId>,
}

impl LogIds {
    /// Returns whether one of them is this text.
    pub(super) fn has(&self, text: &str) -> bool {
        let is_text = |id: &Option<Box<str>>| id.as_deref() == Some(text);
        let is_hex = |hex: &[u8]| hex == text.as_bytes();
        is_text(&self.request_id)
            || is_text(&self.correlation_id)
            || self.trace_id.is_some_and(|id| is_hex(&id.to_hex()))
            || self.span_id.is_some_and(|id| is_hex(&id.to_hex()))
    }
}

impl LogRecord {
    /// Makes a record of an event that was copied.
    pub(super) fn new(id: u64, raw: &RawRecord) -> Self {
        let mut record = LogRecord {
            id,
            at: raw.at / 1_000,
            level: (*raw.metadata.level()).into(),
            target: raw.metadata.target().into(),
            message: Box::default(),
            fields: Box::default(),
            ids: LogIds::default(),
        };
        let mut fields = Fields::default();
        let mut begin = 0;
        for field in &raw.fields {
            let mut text = "";
            if let RawValue::Text(end) = field.value {
                text = raw.text.get(begin..end as usize).unwrap_or_default();
                begin = end as usize;
            }
            if !record.set(field.role, text) {
                fields.push(field.name, field.value, text);
            }
        }
        if raw.dropped_fields > 0 {
            let dropped = RawValue::Unsigned(raw.dropped_fields.into());
            fields.push("dropped_fields", dropped, "");
        }
        record.fields = fields.into_json();
        record
    }

    /// Sets what is no field of a record; false if it is one.
    fn set(&mut self, role: RecordFieldRole, text: &str) -> bool {
        let ids = &mut self.ids;
        match role {
            RecordFieldRole::Message => self.message = redacted_lines(text).into(),
            RecordFieldRole::Target => self.target = text.to_owned().into(),
            RecordFieldRole::RequestId => ids.request_id = Some(text.into()),
            RecordFieldRole::CorrelationId => ids.correlation_id = Some(text.into()),
            RecordFieldRole::TraceId => {
                ids.trace_id = TraceId::from_hex(text.as_bytes());
                return ids.trace_id.is_some();
            }
            RecordFieldRole::SpanId => {
                ids.span_id = SpanId::from_hex(text.as_bytes());
                return ids.span_id.is_some();
            }
            RecordFieldRole::Hidden => {}
            RecordFieldRole::Plain | RecordFieldRole::Secret => return false,
        }
        true
    }

    /// Returns about how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let len = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let ids = len(&self.ids.request_id) + len(&self.ids.correlation_id);
        let target = match &self.target {
            Cow::Borrowed(_) => 0,
            Cow::Owned(target) => target.len(),
        };
        size_of::<LogRecord>() + target + self.message.len() + self.fields.len() + ids
    }

    /// Returns it as the API has it.
    pub(in crate::ops) fn to_json(&self) -> Value {
        let fields = serde_json::from_str::<Map<String, Value>>(&self.fields);
        let ids = &self.ids;
        let trace_id = ids.trace_id.map(TraceId::to_hex);
        let span_id = ids.span_id.map(SpanId::to_hex);
        json!({
            "id": self.id, "at": self.at as f64 / 1e6, "level": self.level.as_str(), "target": self.target,
            "message": self.message, "fields": fields.unwrap_or_default(), "request_id": ids.request_id,
            "correlation_id": ids.correlation_id, "trace_id": trace_id.as_ref().map(|id| hex_str(id)),
            "span_id": span_id.as_ref().map(|id| hex_str(id))
        })
    }
}

/// Fields as a JSON object that is being written.
#[derive(Default)]
struct Fields {
    json: String,
    names: Vec<&'static str>,
}

impl Fields {
    fn push(&mut self, name: &'static str, value: RawValue, text: &str) {
        // As `tracing` has it for keywords: `r#type = ..`.
        let name = name.strip_prefix("r#").unwrap_or(name);
        // Of several fields of one name the first counts.
        if self.names.contains(&name) {
            return;
        }
        self.names.push(name);
        self.json.push(if self.json.is_empty() { '{' } else { ',' });
        self.push_text(name);
        self.json.push(':');
        let json = &mut self.json;
        let _ = match value {
            RawValue::Bool(value) => write!(json, "{value}"),
            RawValue::Int(value) => write!(json, "{value}"),
            RawValue::Unsigned(value) => write!(json, "{value}"),
            // The shortest text that is the same number; JSON has no others.
            RawValue::Float(value) if value.is_finite() => write!(json, "{value:?}"),
            RawValue::Float(value) => write!(json, "\"{value}\""),
            RawValue::Redacted => write!(json, "\"{REDACTED}\""),
            RawValue::Text(_) => {
                self.push_text(&redacted_lines(text));
                Ok(())
            }
        };
    }

    fn push_text(&mut self, text: &str) {
        self.json.push_str(&Value::from(text).to_string());
    }

    fn into_json(mut self) -> Box<str> {
        if !self.json.is_empty() {
            self.json.push('}');
        }
        self.json.into()
    }
}
