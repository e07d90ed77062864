use std::{error::Error, fmt};

use tracing::field::{Field, Visit};

use super::log_record::LogValue;
use crate::util::text::{display_bounded, truncate, write_bounded};

/// The most fields of an event that are exported.
const MAX_FIELDS: usize = 64;
/// The longest text of a field, and of a message, in bytes.
const MAX_TEXT: usize = 4_096;
const MAX_MESSAGE: usize = 16_384;

/// The fields of an event, bounded.
#[derive(Debug, Default)]
pub(super) struct ExportFields {
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, LogValue)>,
    pub(super) dropped: u32,
    /// Of an event of the `log` crate.
    pub(super) target: Option<Box<str>>,
}

impl ExportFields {
    fn add(&mut self, field: &Field, value: impl FnOnce() -> LogValue) {
        match self.fields.len() < MAX_FIELDS {
            true => self.fields.push((field.name(), value())),
            false => self.dropped += 1,
        }
    }

    fn add_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        match field.name() {
            "message" => write_bounded(&mut self.message, MAX_MESSAGE, text),
            "log.target" => self.target = Some(display_bounded(text, MAX_TEXT)),
            // They say the same as the target, and paths of the machine that compiled.
            name if name.starts_with("log.") => {}
            _ => self.add(field, || {
                let mut value = String::new();
                write_bounded(&mut value, MAX_TEXT, text);
                LogValue::Text(value)
            }),
        }
    }
}

impl Visit for ExportFields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, || LogValue::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, || LogValue::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name().starts_with("log.") {
            return;
        }
        // The protocol has signed integers only.
        self.add(field, || match i64::try_from(value) {
            Ok(value) => LogValue::Integer(value),
            Err(_) => LogValue::Text(value.to_string()),
        });
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add_text(field, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add_text(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, || LogValue::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let max = match field.name() {
            "message" => MAX_MESSAGE,
            _ => MAX_TEXT,
        };
        self.add_text(field, format_args!("{}", truncate(value, max)));
    }

    /// Visits an error with its sources as one text.
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = String::new();
        crate::util::text::write_error_chain(&mut text, MAX_TEXT, error);
        self.add(field, || LogValue::Text(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format_args!("{value:?}"));
    }
}
