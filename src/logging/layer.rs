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
    event_fields::EventFields, line_buffer::with_line_buffer, line_format::LineFormat,
    lost_lines::count_lost_line, output::Output, span_data::SpanData, span_fields::SpanFields,
};
use crate::{
    call::{CatchScope, catch_hook},
    context::Context,
    util::callsites::Callsites,
};

/// A `tracing` layer that writes events as lines with the IDs of their call. Created by
/// [`Logging::layer`](super::Logging::layer).
///
/// It does not filter. Add a filter to the registry or to the layer.
#[derive(Clone, Debug)]
pub struct LogLayer<W = Output> {
    format: LineFormat,
    writer: W,
    /// True after the writer failed, perhaps in the middle of a line.
    failed: Arc<AtomicBool>,
    known: Arc<Callsites<EventFields>>,
}

impl<W> LogLayer<W> {
    pub(super) fn new(format: LineFormat, writer: W) -> Self {
        LogLayer {
            format,
            writer,
            failed: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Writes the line of an event. A writer that fails or panics loses the line, and does not fail the caller.
    fn write(&self, line: &mut String, metadata: &Metadata<'_>)
    where
        W: for<'writer> MakeWriter<'writer>,
    {
        // A load is cheaper than a swap, and the writer has rarely failed.
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
    S: Subscriber + for<'formatup> LookupSpan<'formatup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let context = Context::current();
        let fields = SpanFields::capture(
            span.metadata(),
            || context.is_some(),
            |visitor| {
                attributes.record(visitor);
            },
        );
        if context.is_some() || !fields.is_empty() {
            // Another `LogLayer` of the same registry may have set the extension already.
            span.extensions_mut().replace(SpanData { context, fields });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let in_call = || {
            let extensions = span.extensions();
            let data = extensions.get::<SpanData>();
            data.is_some_and(|data| data.context.is_some())
        };
        let fields =
            SpanFields::capture(span.metadata(), in_call, |visitor| values.record(visitor));
        if fields.is_empty() {
            return;
        }
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<SpanData>() {
            Some(data) => data.fields.update(fields),
            None => {
                let context = None;
                extensions.replace(SpanData { context, fields });
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        // Values and writers are foreign code. Their panics are caught, and reported by this crate.
        let _scope = CatchScope::enter();
        with_line_buffer(|buffer| {
            buffer.write_line(self.format, &self.known, event, &ctx);
            self.write(&mut buffer.line, event.metadata());
        });
    }
}
