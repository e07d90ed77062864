use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use opentelemetry::trace::TraceContextExt;
use tracing::{Dispatch, Event, Subscriber, dispatcher::WeakDispatch};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    layer::{Context as LayerContext, Layer},
    registry::LookupSpan,
};

use super::{inbox::Inbox, log_fields::ExportFields, log_record::ExportRecord};
use crate::{
    Context,
    call::{CatchScope, catch_hook},
    context::{SpanId, TraceFlags, TraceId, Traceparent},
};

/// A layer that puts events into the queue of the exporter.
///
/// It is a layer of this crate and not `opentelemetry-appender-tracing`: that one builds the records of the SDK, with a batch
/// processor, on the calling thread; here an event is kept as it is, and becomes a message on the exporter's thread.
#[derive(Debug)]
pub(super) struct ExportLogLayer {
    inbox: Arc<Inbox<ExportRecord>>,
    /// The subscriber, which knows the IDs of spans.
    dispatch: OnceLock<WeakDispatch>,
}

impl ExportLogLayer {
    pub(super) fn new(inbox: Arc<Inbox<ExportRecord>>) -> Self {
        ExportLogLayer {
            inbox,
            dispatch: OnceLock::new(),
        }
    }

    /// Returns the span of an event as it is exported.
    fn exported_span<S>(&self, event: &Event<'_>, ctx: &LayerContext<'_, S>) -> Option<Traceparent>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let span = ctx.event_span(event)?;
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = get_otel_context(&span.id(), &dispatch)?;
        let span = context.span();
        let span = span.span_context();
        Some(Traceparent {
            trace_id: TraceId::from_bytes(span.trace_id().to_bytes())?,
            parent_id: SpanId::from_bytes(span.span_id().to_bytes())?,
            flags: TraceFlags::from_bits(span.trace_flags().to_u8()),
        })
    }
}

impl<S> Layer<S> for ExportLogLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        // Values are foreign code. Their panics are caught, and reported by this crate.
        let _scope = CatchScope::enter();
        let mut fields = ExportFields::default();
        let _ = catch_hook(|| event.record(&mut fields));
        let span = self.exported_span(event, &ctx);
        let record = Context::with_current(|call| ExportRecord {
            at: SystemTime::now(),
            metadata: event.metadata(),
            target: fields.target,
            message: fields.message,
            fields: fields.fields,
            dropped_fields: fields.dropped,
            span: span.or_else(|| call.map(Context::traceparent)),
            request_id: call.map(|call| call.request_id().into()),
            correlation_id: call
                .filter(|call| call.correlation_id() != call.request_id())
                .map(|call| call.correlation_id().into()),
        });
        let size = record.size();
        self.inbox.push(record, size);
    }
}
