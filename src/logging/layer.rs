use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    fmt::MakeWriter,
    layer::{Context as LayerContext, Layer},
    registry::LookupSpan,
};

use super::{
    ids::{SpanContext, is_id_field},
    line_buffer::{LineFormat, SpanFields, with_line_buffer},
    lost_lines::count_lost_line,
    output::Output,
    values::{FieldValue, FieldVisitor, OwnedValue},
};
use crate::{
    call::{CatchScope, catch_hook},
    context::Context,
};

/// The number of fields that are stored per span, and the bytes of each.
const MAX_SPAN_FIELDS: usize = 32;
const MAX_SPAN_VALUE: usize = 1_024;

/// A `tracing` layer that writes events as lines with the IDs of their call. Created by
/// [`Logging::layer`](super::Logging::layer).
///
/// It does not filter. Add a filter to the registry or to the layer.
#[derive(Clone, Debug)]
pub struct LogLayer<W = Output> {
    look: LineFormat,
    writer: W,
    /// True after the writer failed, perhaps in the middle of a line.
    failed: Arc<AtomicBool>,
}

impl<W> LogLayer<W> {
    pub(super) fn new(look: LineFormat, writer: W) -> Self {
        LogLayer {
            look,
            writer,
            failed: Arc::default(),
        }
    }

    /// Writes the line of an event. A writer that fails or panics loses the line, and does not fail the caller.
    fn write(&self, line: &mut String, metadata: &Metadata<'_>)
    where
        W: for<'writer> MakeWriter<'writer>,
    {
        if self.failed.load(Ordering::Relaxed) && self.failed.swap(false, Ordering::Relaxed) {
            line.insert(0, '\n');
        }
        let write = || {
            let mut writer = self.writer.make_writer_for(metadata);
            writer.write_all(line.as_bytes()).ok()
        };
        if catch_hook(write).flatten().is_none() {
            self.failed.store(true, Ordering::Relaxed);
            count_lost_line();
        }
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let context = Context::current();
        let is_ours = is_own_target(span.metadata().target());
        let noted = capture_fields(is_ours, context.is_some(), |visitor| {
            attributes.record(visitor);
        });
        let mut extensions = span.extensions_mut();
        // Another `LogLayer` of the same registry may have set the extensions already.
        if let Some(context) = context {
            extensions.replace(SpanContext(context));
        }
        if noted.name.is_some() || !noted.fields.is_empty() {
            extensions.replace(noted);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let is_ours = is_own_target(span.metadata().target());
        let in_call = span.extensions().get::<SpanContext>().is_some();
        let new = capture_fields(is_ours, in_call, |visitor| values.record(visitor));
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<SpanFields>() {
            Some(noted) => noted.update(new),
            None => {
                extensions.replace(new);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        let _inside = CatchScope::enter();
        with_line_buffer(|parts| {
            parts.write_line(self.look, event, &ctx);
            self.write(&mut parts.line, event.metadata());
        });
    }
}

/// Returns whether a span is one of this crate, whose fields are in the line of the call already.
fn is_own_target(target: &str) -> bool {
    target.starts_with("tower_keep::")
}

/// Returns the fields of a span that its events show.
fn capture_fields(
    is_ours: bool,
    in_call: bool,
    record: impl FnOnce(&mut dyn tracing::field::Visit),
) -> SpanFields {
    let mut noted = SpanFields::default();
    let _inside = CatchScope::enter();
    with_line_buffer(|parts| {
        record(&mut FieldVisitor {
            scratch: &mut parts.scratch,
            filter: |name: &str| {
                name == "otel.name"
                    || !(is_ours || name.starts_with("otel.") || in_call && is_id_field(name))
            },
            on_field: |name: &'static str, value: FieldValue<'_>| {
                noted.set(name, OwnedValue::new(value, MAX_SPAN_VALUE));
            },
        });
    });
    noted
}

impl SpanFields {
    fn set(&mut self, name: &'static str, value: OwnedValue) {
        if name == "otel.name" {
            self.name = Some(value);
        } else if let Some((_, known)) = self.fields.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.fields.len() < MAX_SPAN_FIELDS {
            self.fields.push((name, value));
        }
    }

    fn update(&mut self, new: SpanFields) {
        if new.name.is_some() {
            self.name = new.name;
        }
        for (name, value) in new.fields {
            self.set(name, value);
        }
    }
}
