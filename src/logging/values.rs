//! The fields of events and spans, in five shapes.

use std::{
    error::Error,
    fmt::{self, Debug},
};

use tracing::field::{Field, Visit};

use crate::{
    call::quietly,
    util::text::{write_error, write_up_to},
};

/// How much of one value is looked at, in bytes.
pub(super) const MAX_VALUE: usize = 16 << 10;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

impl Value<'_> {
    /// As text, without escapes.
    pub(super) fn with_text<R>(self, look: impl FnOnce(&str) -> R) -> R {
        match self {
            Value::Text(text) => look(text),
            other => look(&other.to_string()),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => fmt::Display::fmt(value, f),
            Value::Int(value) => fmt::Display::fmt(value, f),
            Value::Unsigned(value) => fmt::Display::fmt(value, f),
            // `Debug` has exponents; `Display` writes out 300 digits.
            Value::Float(value) => Debug::fmt(value, f),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// A value that outlives its event.
#[derive(Debug)]
pub(super) enum Kept {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
}

impl Kept {
    /// Keeps at most `most` bytes of a text, and one character more, by which it is seen to be cut.
    pub(super) fn new(value: Value<'_>, most: usize) -> Self {
        match value {
            Value::Bool(value) => Kept::Bool(value),
            Value::Int(value) => Kept::Int(value),
            Value::Unsigned(value) => Kept::Unsigned(value),
            Value::Float(value) => Kept::Float(value),
            Value::Text(text) => {
                let mut kept = String::new();
                write_up_to(&mut kept, most, format_args!("{text}"));
                Kept::Text(kept.into())
            }
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Kept::Bool(value) => Value::Bool(*value),
            Kept::Int(value) => Value::Int(*value),
            Kept::Unsigned(value) => Value::Unsigned(*value),
            Kept::Float(value) => Value::Float(*value),
            Kept::Text(text) => Value::Text(text),
        }
    }
}

/// Shows each field that is wanted to a closure.
pub(super) struct Visitor<'a, Wants, See> {
    /// For values that are not text yet.
    pub(super) scratch: &'a mut String,
    pub(super) wants: Wants,
    pub(super) see: See,
}

impl<Wants, See> Visitor<'_, Wants, See>
where
    Wants: Fn(&str) -> bool,
    See: FnMut(&'static str, Value<'_>),
{
    fn see(&mut self, field: &Field, value: Value<'_>) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        if (self.wants)(name) {
            (self.see)(name, value);
        }
    }

    fn see_written(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        if !(self.wants)(field.name()) {
            return;
        }
        let mut text = std::mem::take(self.scratch);
        text.clear();
        // Foreign code: a value that panics costs its own text, not the event, let alone the call.
        if quietly(|| write(&mut text)).is_none() {
            text.push_str("<panicked>");
        }
        self.see(field, Value::Text(&text));
        *self.scratch = text;
    }
}

impl<Wants, See> Visit for Visitor<'_, Wants, See>
where
    Wants: Fn(&str) -> bool,
    See: FnMut(&'static str, Value<'_>),
{
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.see(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.see(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.see(field, Value::Unsigned(value));
    }

    // What has no room in 64 bits is no number to most who read JSON.
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
        self.see(field, Value::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.see(field, Value::Text(value));
    }

    /// The error and its sources in one text: `cannot load the order: connection reset`.
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.see_written(field, |text| write_error(text, MAX_VALUE, error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.see_written(field, |text| {
            write_up_to(text, MAX_VALUE, format_args!("{value:?}"));
        });
    }
}
