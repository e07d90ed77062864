use std::fmt::{self, Debug};

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
    pub(super) fn with_text<R>(self, write: impl FnOnce(&str) -> R) -> R {
        match self {
            FieldValue::Text(text) => write(text),
            other => write(&other.to_string()),
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
