//! The IDs of the call that are added to each of its events.

use tracing::Subscriber;
use tracing_subscriber::registry::{LookupSpan, Scope};

use super::{field_value::FieldValue, span_data::SpanData};
use crate::{
    context::{Context, hex_str},
    util::text::write_bounded,
};

const ID_FIELDS: [&str; 4] = ["request_id", "correlation_id", "trace_id", "span_id"];
/// The longest ID of an event's own field, in bytes.
const MAX_ID: usize = 128;

/// The IDs of a line. An unknown ID is empty.
#[derive(Debug, Default)]
pub(super) struct CallIds([String; 4]);

/// Returns the position of a field among the IDs of the call.
pub(super) fn id_position(name: &str) -> Option<usize> {
    ID_FIELDS.iter().position(|known| *known == name)
}

impl CallIds {
    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(String::clear);
    }

    /// Takes the value of an event's own ID field.
    pub(super) fn set(&mut self, position: usize, value: FieldValue<'_>) {
        let text = &mut self.0[position];
        text.clear();
        match value {
            FieldValue::Text(id) if id.len() <= MAX_ID => text.push_str(id),
            value => value.with_text(|id| write_bounded(text, MAX_ID, format_args!("{id}"))),
        }
    }

    /// Fills in the IDs that the event does not have: from the call that this thread works on, or else from the innermost
    /// span that was created in a call.
    pub(super) fn fill<'a, S>(&mut self, scope: impl FnOnce() -> Option<Scope<'a, S>>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        if self.0.iter().all(|text| !text.is_empty()) {
            return;
        }
        let is_current = Context::with_current(|context| match context {
            Some(context) => {
                self.copy_missing(context);
                true
            }
            None => false,
        });
        if is_current {
            return;
        }
        // A task outside of a call has the IDs of the innermost span that was created in one.
        let mut spans = scope().into_iter().flatten();
        spans.any(|span| {
            let extensions = span.extensions();
            let context = extensions
                .get::<SpanData>()
                .and_then(|data| data.context.as_ref());
            context
                .inspect(|context| self.copy_missing(context))
                .is_some()
        });
    }

    /// Copies the IDs that the event does not have.
    fn copy_missing(&mut self, context: &Context) {
        let [request_id, correlation_id, trace_id, span_id] = &mut self.0;
        let copy = |text: &mut String, id: &str| {
            if text.is_empty() {
                text.push_str(id);
            }
        };
        copy(request_id, context.request_id());
        copy(correlation_id, context.correlation_id());
        copy(trace_id, hex_str(&context.trace_id().to_hex()));
        copy(span_id, hex_str(&context.span_id().to_hex()));
    }

    /// Returns the names and texts of the known IDs.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let texts = self.0.iter().map(String::as_str);
        ID_FIELDS
            .into_iter()
            .zip(texts)
            .filter(|(_, text)| !text.is_empty())
    }
}
