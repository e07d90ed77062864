use super::number::{push_float, push_signed, push_unsigned};

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
            other => {
                let mut text = String::new();
                other.push_to(&mut text);
                write(&text)
            }
        }
    }
    /// Appends the value as text, without escapes.
    pub(super) fn push_to(self, out: &mut String) {
        match self {
            FieldValue::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            FieldValue::Int(value) => push_signed(out, value),
            FieldValue::Unsigned(value) => push_unsigned(out, value),
            FieldValue::Float(value) => push_float(out, value),
            FieldValue::Text(text) => out.push_str(text),
        }
    }
}
