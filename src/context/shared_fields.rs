use std::sync::{Mutex, OnceLock, PoisonError};

use super::CallFields;

/// The fields that the application has added to a call, which all clones of its context share. Nothing is allocated before
/// there is one.
#[derive(Debug, Default)]
pub(super) struct SharedFields(OnceLock<Box<Mutex<CallFields>>>);

impl SharedFields {
    /// Adds a field whose value is formatted already: no code of the application runs under the lock.
    pub(super) fn insert(&self, name: &'static str, value: Box<str>) {
        let fields = self.0.get_or_init(Box::default);
        let mut fields = fields.lock().unwrap_or_else(PoisonError::into_inner);
        fields.insert(name, value);
    }

    pub(super) fn get(&self) -> Option<CallFields> {
        let fields = self.0.get()?;
        let fields = fields.lock().unwrap_or_else(PoisonError::into_inner);
        Some(fields.clone())
    }
}

/// A clone is empty: a context that is derived from another one refers to the fields of that one.
impl Clone for SharedFields {
    fn clone(&self) -> Self {
        SharedFields::default()
    }
}
