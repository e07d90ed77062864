use tracing::Metadata;

use super::field_role::RecordFieldRole;

/// An event as the thread that logged it has copied it.
#[derive(Debug)]
pub(super) struct RawRecord {
    /// Nanoseconds since 1970.
    pub(super) at: u64,
    pub(super) metadata: &'static Metadata<'static>,
    /// The texts of the fields, one after the other.
    pub(super) text: Box<str>,
    pub(super) fields: Box<[RawField]>,
    /// The fields that there was no room for.
    pub(super) dropped_fields: u32,
}

/// A field of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawField {
    pub(super) name: &'static str,
    pub(super) role: RecordFieldRole,
    pub(super) value: RawValue,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RawValue {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    /// The end of it in the text; it begins where the text before ends.
    Text(u32),
    /// The value of a credential.
    Redacted,
}

impl RawRecord {
    /// Returns about how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<RawRecord>() + self.text.len() + size_of_val(&*self.fields)
    }
}
