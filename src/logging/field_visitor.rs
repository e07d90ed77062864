use std::{error::Error, fmt::Debug};

use tracing::field::{Field, Visit};

use super::field_value::{FieldValue, MAX_VALUE};
use crate::{
    call::catch_hook,
    util::text::{write_bounded, write_error_chain},
};

/// A visitor that calls a closure with each field that is wanted.
pub(super) struct FieldVisitor<'a, Find, OnField> {
    /// A buffer for values that are not text.
    pub(super) scratch: &'a mut String,
    /// Returns what is known of a field, or `None` for a field that is not wanted.
    pub(super) find: Find,
    pub(super) on_field: OnField,
    /// The event is a line of the access log: [`CUSTOM_FIELDS`] are visited in the form that is parsed again.
    pub(super) is_access_line: bool,
}

/// The field of the access log that holds those of the application.
pub(super) const CUSTOM_FIELDS: &str = "fields";

/// Returns the name of a field without the mark of one that is called like a keyword: `r#type = ..`.
pub(super) fn plain_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

impl<Known, Find, OnField> FieldVisitor<'_, Find, OnField>
where
    Find: Fn(&Field) -> Option<Known>,
    OnField: FnMut(Known, FieldValue<'_>),
{
    fn visit(&mut self, field: &Field, value: FieldValue<'_>) {
        if let Some(known) = (self.find)(field) {
            (self.on_field)(known, value);
        }
    }

    fn visit_display(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        // Asked before the value is formatted, which costs most.
        let Some(known) = (self.find)(field) else {
            return;
        };
        // Taken out, because the closure borrows the visitor. Its capacity is kept for the next value.
        let mut text = std::mem::take(self.scratch);
        text.clear();
        // Foreign code may panic. Only the text of this value is lost then.
        if catch_hook(|| write(&mut text)).is_none() {
            text.push_str("<panicked>");
        }
        (self.on_field)(known, FieldValue::Text(&text));
        *self.scratch = text;
    }
}

impl<Known, Find, OnField> Visit for FieldVisitor<'_, Find, OnField>
where
    Find: Fn(&Field) -> Option<Known>,
    OnField: FnMut(Known, FieldValue<'_>),
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
        let is_custom = self.is_access_line && field.name() == CUSTOM_FIELDS;
        self.visit_display(field, |text| match is_custom {
            true => write_bounded(text, MAX_VALUE, format_args!("{value:#?}")),
            false => write_bounded(text, MAX_VALUE, format_args!("{value:?}")),
        });
    }
}
