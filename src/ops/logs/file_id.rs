use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use uuid::Uuid;

/// An ID in the file: a UUID in 16 bytes instead of 36.
#[derive(Debug)]
pub(super) enum IdValue<'a> {
    None,
    Uuid(Uuid),
    Text(&'a str),
    /// The same as the request ID.
    Same,
}

impl<'a> IdValue<'a> {
    pub(super) fn of(id: Option<&'a str>) -> Self {
        match id {
            None => IdValue::None,
            Some(id) => match Uuid::try_parse(id) {
                // There are other ways to write one, which must stay what they are.
                Ok(uuid) if uuid.hyphenated().to_string() == id => IdValue::Uuid(uuid),
                _ => IdValue::Text(id),
            },
        }
    }

    /// Reads the text of an ID, where `same` is the request ID.
    pub(super) fn text(value: ValueRef<'_>, same: Option<&str>) -> Option<Box<str>> {
        match value {
            ValueRef::Blob(bytes) => {
                let uuid = Uuid::from_slice(bytes).ok()?;
                Some(uuid.hyphenated().to_string().into())
            }
            ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into()),
            ValueRef::Integer(_) => same.map(Into::into),
            ValueRef::Null | ValueRef::Real(_) => None,
        }
    }
}

impl ToSql for IdValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            IdValue::None => ToSqlOutput::Owned(Value::Null),
            IdValue::Uuid(uuid) => ToSqlOutput::Borrowed(ValueRef::Blob(uuid.as_bytes())),
            IdValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            IdValue::Same => ToSqlOutput::Owned(Value::Integer(0)),
        })
    }
}
