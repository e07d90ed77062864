use std::{cell::Cell, error::Error, fmt::Debug};

use tracing::field::{Field, Visit};

use super::{
    callsite_fields::{CallsiteFields, SpanFieldRole},
    packed::{SpanValue, push_value},
    span_record::SpanKind,
};
use crate::{
    call::{Outcome, catch_hook},
    context::{SpanId, TraceId},
    ops::redact::redacted,
    util::{
        credentials::REDACTED,
        text::{MAX_CHAR_BYTES, truncate, write_bounded, write_error_chain},
    },
};

/// The most values of a span or an event that are taken at once.
const MAX_VALUES: u8 = 32;
/// The longest text, in bytes.
pub(super) const MAX_TEXT: usize = 1_024;

/// The values of a span or an event, packed, and what they say about the span.
#[derive(Debug, Default)]
pub(super) struct Captured {
    pub(super) values: Vec<u8>,
    pub(super) count: u8,
    /// Values for which there was no room.
    pub(super) dropped: u32,
    pub(super) facts: Facts,
    /// The text of a value that is not one.
    scratch: String,
}

/// The facts that the values say about the span.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) kind: Option<SpanKind>,
    pub(super) outcome: Option<Outcome>,
    pub(super) is_error: bool,
    pub(super) trace_id: Option<TraceId>,
    pub(super) span_id: Option<SpanId>,
}

thread_local! {
    /// Taken while it is used: a value that emits an event while it is formatted gets another one.
    static SPARE: Cell<Option<Box<Captured>>> = const { Cell::new(None) };
}

impl Captured {
    /// Calls a closure with the values that `record` visits. No lock is held while they are formatted.
    pub(super) fn with<R>(
        fields: &CallsiteFields,
        record: impl FnOnce(&mut dyn Visit),
        work: impl FnOnce(&Captured) -> R,
    ) -> R {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut captured = spare.unwrap_or_default();
        captured.values.clear();
        (captured.count, captured.dropped, captured.facts) = (0, 0, Facts::default());
        record(&mut Visitor {
            captured: &mut captured,
            fields,
        });
        let result = work(&captured);
        let _ = SPARE.try_with(|spare| spare.set(Some(captured)));
        result
    }
}

struct Visitor<'a> {
    captured: &'a mut Captured,
    fields: &'a CallsiteFields,
}

impl Visitor<'_> {
    /// Adds a value that is no text, or a text that is safe and short.
    #[inline]
    fn push(&mut self, field: &Field, value: SpanValue<'_>) {
        let captured = &mut *self.captured;
        match u8::try_from(field.index()) {
            Ok(index) if captured.count < MAX_VALUES => {
                push_value(&mut captured.values, index, value);
                captured.count += 1;
            }
            _ => captured.dropped += 1,
        }
    }

    fn push_plain(&mut self, field: &Field, value: SpanValue<'_>) {
        match self.fields.role(field) {
            SpanFieldRole::Secret => self.push(field, SpanValue::Text(REDACTED)),
            SpanFieldRole::Skipped => {}
            _ => self.push(field, value),
        }
    }

    fn push_text(&mut self, field: &Field, text: &str) {
        let role = self.fields.role(field);
        self.note(role, text);
        match role {
            SpanFieldRole::Secret => self.push(field, SpanValue::Text(REDACTED)),
            SpanFieldRole::Skipped | SpanFieldRole::TraceId | SpanFieldRole::SpanId => {}
            // Words of this crate.
            SpanFieldRole::Kind | SpanFieldRole::Outcome | SpanFieldRole::StatusCode => {
                self.push(field, SpanValue::Text(truncate(text, MAX_TEXT)));
            }
            _ if may_have_credentials(text) => {
                let text = redacted(truncate(text, MAX_TEXT + MAX_CHAR_BYTES));
                self.push(field, SpanValue::Text(truncate(&text, MAX_TEXT)));
            }
            _ => self.push(field, SpanValue::Text(truncate(text, MAX_TEXT))),
        }
    }

    /// Takes what a value says about the span.
    #[inline]
    fn note(&mut self, role: SpanFieldRole, text: &str) {
        let facts = &mut self.captured.facts;
        match role {
            SpanFieldRole::Kind => facts.kind = SpanKind::parse(text),
            SpanFieldRole::Outcome => {
                let mut all = Outcome::ALL.into_iter();
                facts.outcome = all.find(|outcome| outcome.as_str() == text);
                facts.is_error |= facts.outcome.is_some_and(is_failed);
            }
            SpanFieldRole::StatusCode => facts.is_error |= text.eq_ignore_ascii_case("error"),
            SpanFieldRole::TraceId => facts.trace_id = TraceId::from_hex(text.as_bytes()),
            SpanFieldRole::SpanId => facts.span_id = SpanId::from_hex(text.as_bytes()),
            _ => {}
        }
    }

    fn push_display(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        if self.fields.role(field) == SpanFieldRole::Skipped {
            return;
        }
        // Taken out, because the value may emit an event. Its capacity is kept for the next value.
        let mut text = std::mem::take(&mut self.captured.scratch);
        text.clear();
        // Foreign code may panic. Only the text of this value is lost then.
        if catch_hook(|| write(&mut text)).is_none() {
            text.push_str("<panicked>");
        }
        self.push_text(field, &text);
        self.captured.scratch = text;
    }
}

/// Returns whether an outcome is an error, as the console counts them.
fn is_failed(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Success | Outcome::ClientError | Outcome::Cancelled
    )
}

/// Returns whether [`redacted`] could find something: a pair, a URL, or what follows the scheme of an `Authorization` header.
fn may_have_credentials(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_scheme = |from: &[u8], scheme: &[u8]| {
        let begin = from.get(..scheme.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    (0..bytes.len()).any(|at| match bytes[at] {
        b'=' | b':' => true,
        b'b' | b'B' => is_scheme(&bytes[at..], b"bearer") || is_scheme(&bytes[at..], b"basic"),
        _ => false,
    })
}

impl Visit for Visitor<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_plain(field, SpanValue::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_plain(field, SpanValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_plain(field, SpanValue::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push_plain(field, SpanValue::Float(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value);
    }

    /// Takes an error with its sources as one text.
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.push_display(field, |text| write_error_chain(text, MAX_TEXT, error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push_display(field, |text| {
            write_bounded(text, MAX_TEXT, format_args!("{value:?}"));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_have_credentials_is_looked_at() {
        for text in [
            "Bearer abc",
            "sent BASIC abc",
            "password=x",
            "http://a:b@c",
            "token: x",
        ] {
            assert!(may_have_credentials(text), "{text}");
        }
        for text in ["", "select * from orders", "/orders/7", "base", "b"] {
            assert!(!may_have_credentials(text), "{text}");
            assert_eq!(redacted(text), text);
        }
    }
}
