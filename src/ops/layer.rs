use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{
    layer_filter::LayerFilter,
    logs::LogStoreLayer,
    traces::{SpanFilter, SpanLayer},
};

/// The `tracing` layer of an [`Ops`](super::Ops), which keeps [logs](super::logs) and [traces](super::traces) for the console.
/// Made by [`Ops::layer`](super::Ops::layer).
///
/// It decides by itself what it keeps, and filters nothing for other layers.
#[derive(Clone, Debug)]
pub(super) struct OpsLayer {
    logs: LogStoreLayer,
    spans: SpanLayer,
    span_filter: SpanFilter,
}

impl OpsLayer {
    pub(super) fn new(logs: LogStoreLayer, (spans, span_filter): (SpanLayer, SpanFilter)) -> Self {
        OpsLayer {
            logs,
            spans,
            span_filter,
        }
    }

    /// Returns what it keeps, for a subscriber that asks per layer: callsites that nobody wants cost next to nothing then.
    pub(super) fn filter(&self) -> LayerFilter {
        LayerFilter::new(self.logs.clone(), self.span_filter)
    }
}

impl<S> Layer<S> for OpsLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        Layer::<S>::on_register_dispatch(&self.spans, subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        self.logs.on_new_span(attributes, id, ctx.clone());
        if self.span_filter.is_kept(attributes.metadata()) {
            self.spans.on_new_span(attributes, id, ctx);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        self.spans.on_record(id, values, ctx);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        self.spans.on_follows_from(id, follows, ctx);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        self.logs.on_event(event, ctx.clone());
        if self.span_filter.is_kept(event.metadata()) {
            self.spans.on_event(event, ctx);
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        self.spans.on_enter(id, ctx);
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        self.spans.on_exit(id, ctx);
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        self.spans.on_close(id, ctx);
    }
}
