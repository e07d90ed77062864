//! The values of fields of events and spans.

use std::{
    error::Error,
    fmt::{self, Debug},
};

use tracing::field::{Field, Visit};

use crate::{
    call::catch_hook,
    util::text::{write_bounded, write_error_chain},
};

/// The longest value, in bytes.
pub(super) const MAX_VALUE: usize = 16 << 10;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FieldValue<'a> {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

impl FieldValue<'_> {
    /// Passes the value as text, without escapes, to a closure.
    pub(super) fn with_text<R>(self, look: impl FnOnce(&str) -> R) -> R {
        match self {
            FieldValue::Text(text) => look(text),
            other => look(&other.to_string()),
        }
    }
}

impl fmt::Display for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Bool(value) => fmt::Display::fmt(value, f),
            FieldValue::Int(value) => fmt::Display::fmt(value, f),
            FieldValue::Unsigned(value) => fmt::Display::fmt(value, f),
            // `Debug` uses exponents. `Display` writes up to 300 digits.
            FieldValue::Float(value) => Debug::fmt(value, f),
            FieldValue::Text(text) => f.write_str(text),
        }
    }
}

/// A value that outlives its event.
#[derive(Debug)]
pub(super) enum OwnedValue {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
}

impl OwnedValue {
    /// Copies a value; of a text at most `max` bytes and one more character, so that it is truncated with a mark later.
    pub(super) fn new(value: FieldValue<'_>, max: usize) -> Self {
        match value {
            FieldValue::Bool(value) => OwnedValue::Bool(value),
            FieldValue::Int(value) => OwnedValue::Int(value),
            FieldValue::Unsigned(value) => OwnedValue::Unsigned(value),
            FieldValue::Float(value) => OwnedValue::Float(value),
            FieldValue::Text(text) => {
                let mut kept = String::new();
                write_bounded(&mut kept, max, format_args!("{text}"));
                OwnedValue::Text(kept.into())
            }
        }
    }

    pub(super) fn value(&self) -> FieldValue<'_> {
        match self {
            OwnedValue::Bool(value) => FieldValue::Bool(*value),
            OwnedValue::Int(value) => FieldValue::Int(*value),
            OwnedValue::Unsigned(value) => FieldValue::Unsigned(*value),
            OwnedValue::Float(value) => FieldValue::Float(*value),
            OwnedValue::Text(text) => FieldValue::Text(text),
        }
    }
}

/// A visitor that passes each field that passes a filter to a closure.
pub(super) struct FieldVisitor<'a, Wants, See> {
    /// A buffer for values that are not text.
    pub(super) scratch: &'a mut String,
    pub(super) filter: Wants,
    pub(super) on_field: See,
}

impl<Wants, See> FieldVisitor<'_, Wants, See>
where
    Wants: Fn(&str) -> bool,
    See: FnMut(&'static str, FieldValue<'_>),
{
    fn visit(&mut self, field: &Field, value: FieldValue<'_>) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        if (self.filter)(name) {
            (self.on_field)(name, value);
        }
    }

    fn visit_display(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        if !(self.filter)(field.name()) {
            return;
        }
        let mut text = std::mem::take(self.scratch);
        text.clear();
        // Foreign code may panic. Only the text of this value is lost then.
        if catch_hook(|| write(&mut text)).is_none() {
            text.push_str("<panicked>");
        }
        self.visit(field, FieldValue::Text(&text));
        *self.scratch = text;
    }
}

impl<Wants, See> Visit for FieldVisitor<'_, Wants, See>
where
    Wants: Fn(&str) -> bool,
    See: FnMut(&'static str, FieldValue<'_>),
{
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.visit(field, FieldValue::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.visit(field, FieldValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.visit(field, FieldValue::Unsigned(value));
    }

    // Most JSON parsers have no numbers beyond 64 bits, so these are text.
    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.visit(field, FieldValue::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.visit(field, FieldValue::Text(value));
    }

    /// Visits an error with its sources as one text: `cannot load the order: connection reset`.
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.visit_display(field, |text| write_error_chain(text, MAX_VALUE, error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.visit_display(field, |text| {
            write_bounded(text, MAX_VALUE, format_args!("{value:?}"));
        });
    }
}
