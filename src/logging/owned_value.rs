use super::field_value::FieldValue;
use crate::util::text::{MAX_CHAR_BYTES, truncate};

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
            FieldValue::Text(text) => OwnedValue::Text(truncate(text, max + MAX_CHAR_BYTES).into()),
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
