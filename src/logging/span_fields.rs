use tracing::{
    Metadata,
    field::{Field, Visit},
};

use super::{
    field_value::FieldValue,
    field_visitor::{FieldVisitor, plain_name},
    ids::id_position,
    line_buffer::with_line_buffer,
    owned_value::OwnedValue,
};
use crate::call::CatchScope;

/// The number of fields that are stored per span.
const MAX_SPAN_FIELDS: usize = 32;
/// The longest value of such a field, in bytes.
const MAX_SPAN_VALUE: usize = 1_024;
/// The field that replaces the name of a span.
const NAME_FIELD: &str = "otel.name";

/// A field of a span: its name and its value.
pub(super) type SpanField = (&'static str, OwnedValue);

/// The fields of a span that its events show.
#[derive(Debug, Default)]
pub(super) struct SpanFields {
    /// The value of its field `otel.name`, which replaces its name.
    pub(super) name: Option<OwnedValue>,
    pub(super) fields: Vec<SpanField>,
}

impl SpanFields {
    /// Returns the fields of a span that its events show.
    ///
    /// The line of a call has the fields of its spans from this crate already, and the IDs of a span in a call.
    pub(super) fn capture(
        span: &Metadata<'_>,
        in_call: impl FnOnce() -> bool,
        record: impl FnOnce(&mut dyn Visit),
    ) -> Self {
        let is_own_span = span.target().starts_with("tower_keep::");
        // Asked only where it makes a difference, since it may take a lock.
        let in_call = !is_own_span && in_call();
        let mut fields = SpanFields::default();
        let _scope = CatchScope::enter();
        with_line_buffer(|buffer| {
            record(&mut FieldVisitor {
                scratch: &mut buffer.scratch,
                is_access_line: false,
                find: |field: &Field| {
                    let name = plain_name(field.name());
                    let is_hidden = is_own_span
                        || name.starts_with("otel.")
                        || in_call && id_position(name).is_some();
                    (name == NAME_FIELD || !is_hidden).then_some(name)
                },
                on_field: |name: &'static str, value: FieldValue<'_>| {
                    fields.set(name, OwnedValue::new(value, MAX_SPAN_VALUE));
                },
            });
        });
        fields
    }

    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.fields.is_empty()
    }

    fn set(&mut self, name: &'static str, value: OwnedValue) {
        if name == NAME_FIELD {
            self.name = Some(value);
        } else if let Some((_, known)) = self.fields.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.fields.len() < MAX_SPAN_FIELDS {
            self.fields.push((name, value));
        }
    }

    /// Adds the fields of `new`, which replace those with the same names.
    pub(super) fn update(&mut self, new: SpanFields) {
        if new.name.is_some() {
            self.name = new.name;
        }
        for (name, value) in new.fields {
            self.set(name, value);
        }
    }
}
