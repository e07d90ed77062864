use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord as LogMessage, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message;
use tracing::{Level, Metadata};

use super::redaction::{REDACTED_VALUE, looks_like_credential, safe_text};
use crate::context::Traceparent;

/// The fields of the access log that name the span.
const SPAN_FIELDS: [&str; 2] = ["trace_id", "span_id"];

/// An event as it waits for its export.
#[derive(Debug)]
pub(super) struct ExportRecord {
    pub(super) at: SystemTime,
    pub(super) metadata: &'static Metadata<'static>,
    /// The target, where that is not the one of the metadata: events of the `log` crate.
    pub(super) target: Option<Box<str>>,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, LogValue)>,
    /// The number of fields beyond the bound.
    pub(super) dropped_fields: u32,
    pub(super) span: Option<Traceparent>,
    pub(super) request_id: Option<Box<str>>,
    /// `None` if it is the request ID.
    pub(super) correlation_id: Option<Box<str>>,
}

/// The value of a field.
#[derive(Debug)]
pub(super) enum LogValue {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl ExportRecord {
    pub(super) fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| match value {
            LogValue::Text(text) => text.capacity(),
            _ => 0,
        });
        let ids = [&self.target, &self.request_id, &self.correlation_id];
        let ids = ids.into_iter().flatten().map(|id| id.len());
        size_of::<ExportRecord>()
            + self.fields.capacity() * size_of::<(&str, LogValue)>()
            + self.message.capacity()
            + fields.chain(ids).sum::<usize>()
    }

    fn target(&self) -> &str {
        self.target.as_deref().unwrap_or(self.metadata.target())
    }

    /// Returns the message of the protocol, without credentials.
    fn into_message(self, observed: u64) -> LogMessage {
        let level = *self.metadata.level();
        let name = self.metadata.name();
        let has_span = self.span.is_some();
        let mut attributes: Vec<_> = self
            .fields
            .into_iter()
            // The record has them, if not as attributes.
            .filter(|(name, _)| !(has_span && SPAN_FIELDS.contains(name)))
            .map(|(name, value)| attribute(name, safe_value(name, value)))
            .collect();
        let ids = [
            ("request_id", self.request_id),
            ("correlation_id", self.correlation_id),
        ];
        for (name, id) in ids {
            // An event may have its own.
            if let Some(id) = id
                && attributes.iter().all(|attribute| attribute.key != name)
            {
                attributes.push(attribute(name, Value::StringValue(id.into())));
            }
        }
        if let Some(file) = self.metadata.file().filter(|_| self.target.is_none()) {
            attributes.push(attribute(
                "code.file.path",
                Value::StringValue(file.to_owned()),
            ));
        }
        if let Some(line) = self.metadata.line().filter(|_| self.target.is_none()) {
            attributes.push(attribute("code.line.number", Value::IntValue(line.into())));
        }
        LogMessage {
            time_unix_nano: nanos(self.at),
            observed_time_unix_nano: observed,
            severity_number: severity(level).into(),
            severity_text: level.as_str().to_owned(),
            body: Some(any(Value::StringValue(safe_text(self.message)))),
            attributes,
            dropped_attributes_count: self.dropped_fields,
            flags: self.span.map_or(0, |span| span.flags.bits().into()),
            trace_id: self
                .span
                .map_or_else(Vec::new, |span| span.trace_id.to_bytes().to_vec()),
            span_id: self
                .span
                .map_or_else(Vec::new, |span| span.parent_id.to_bytes().to_vec()),
            // The default name is where the event stands, which the attributes have.
            event_name: match name.starts_with("event ") || self.target.is_some() {
                true => String::new(),
                false => name.to_owned(),
            },
        }
    }
}

/// Encodes a batch of events.
pub(super) fn encode(records: Vec<ExportRecord>, resource: &Resource, now: SystemTime) -> Bytes {
    let observed = nanos(now);
    let mut scopes: Vec<ScopeLogs> = Vec::new();
    for record in records {
        let target = record.target();
        let is_same = |scope: &ScopeLogs| {
            scope
                .scope
                .as_ref()
                .is_some_and(|scope| scope.name == target)
        };
        let place = scopes.iter().position(is_same).unwrap_or_else(|| {
            let scope = InstrumentationScope {
                name: target.to_owned(),
                ..InstrumentationScope::default()
            };
            scopes.push(ScopeLogs {
                scope: Some(scope),
                ..ScopeLogs::default()
            });
            scopes.len() - 1
        });
        scopes[place]
            .log_records
            .push(record.into_message(observed));
    }
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource.clone()),
            scope_logs: scopes,
            schema_url: String::new(),
        }],
    };
    request.encode_to_vec().into()
}

fn safe_value(name: &str, value: LogValue) -> Value {
    match value {
        _ if looks_like_credential(name) => Value::StringValue(REDACTED_VALUE.to_owned()),
        LogValue::Bool(value) => Value::BoolValue(value),
        LogValue::Integer(value) => Value::IntValue(value),
        LogValue::Float(value) => Value::DoubleValue(value),
        LogValue::Text(text) => Value::StringValue(safe_text(text)),
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    }
}

pub(super) fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// Returns the time as the protocol has it; 0, which means none, for a clock before 1970.
pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
