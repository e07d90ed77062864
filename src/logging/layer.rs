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
    ids::{InCall, is_id},
    line::{Look, Noted, with_parts},
    lost::count_lost_line,
    output::Output,
    values::{Kept, Value, Visitor},
};
use crate::{
    call::{Inside, quietly},
    context::Context,
};

/// How many fields of a span are kept, and how much of each.
const MAX_SPAN_FIELDS: usize = 32;
const MAX_SPAN_VALUE: usize = 1_024;

/// The layer that writes events as lines, stamped with the IDs of their call. Made by
/// [`Logging::layer`](super::Logging::layer).
///
/// Filters nothing: that is for the registry, or for a filter of its own.
#[derive(Clone, Debug)]
pub struct LogLayer<W = Output> {
    look: Look,
    writer: W,
    /// True after the writer has failed, perhaps in the middle of a line.
    failed: Arc<AtomicBool>,
}

impl<W> LogLayer<W> {
    pub(super) fn new(look: Look, writer: W) -> Self {
        LogLayer {
            look,
            writer,
            failed: Arc::default(),
        }
    }

    /// Writes the line of an event. A log that cannot be written is no reason to fail; nor is a writer that panics.
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
        if quietly(write).flatten().is_none() {
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
        let is_ours = is_ours(span.metadata().target());
        let noted = note(is_ours, context.is_some(), |visitor| {
            attributes.record(visitor);
        });
        let mut extensions = span.extensions_mut();
        // Another layer of ours may have been here before.
        if let Some(context) = context {
            extensions.replace(InCall(context));
        }
        if noted.name.is_some() || !noted.fields.is_empty() {
            extensions.replace(noted);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let is_ours = is_ours(span.metadata().target());
        let in_call = span.extensions().get::<InCall>().is_some();
        let new = note(is_ours, in_call, |visitor| values.record(visitor));
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Noted>() {
            Some(noted) => noted.update(new),
            None => {
                extensions.replace(new);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        let _inside = Inside::other();
        with_parts(|parts| {
            parts.write(self.look, event, &ctx);
            self.write(&mut parts.line, event.metadata());
        });
    }
}

/// Spans of this crate, whose fields the line of the call has anyway.
fn is_ours(target: &str) -> bool {
    target.starts_with("tower_keep::")
}

/// What to remember of a span's fields.
fn note(
    is_ours: bool,
    in_call: bool,
    record: impl FnOnce(&mut dyn tracing::field::Visit),
) -> Noted {
    let mut noted = Noted::default();
    let _inside = Inside::other();
    with_parts(|parts| {
        record(&mut Visitor {
            scratch: &mut parts.scratch,
            wants: |name: &str| {
                name == "otel.name"
                    || !(is_ours || name.starts_with("otel.") || in_call && is_id(name))
            },
            see: |name: &'static str, value: Value<'_>| {
                noted.set(name, Kept::new(value, MAX_SPAN_VALUE));
            },
        });
    });
    noted
}

impl Noted {
    fn set(&mut self, name: &'static str, value: Kept) {
        if name == "otel.name" {
            self.name = Some(value);
        } else if let Some((_, known)) = self.fields.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if self.fields.len() < MAX_SPAN_FIELDS {
            self.fields.push((name, value));
        }
    }

    fn update(&mut self, new: Noted) {
        if new.name.is_some() {
            self.name = new.name;
        }
        for (name, value) in new.fields {
            self.set(name, value);
        }
    }
}
