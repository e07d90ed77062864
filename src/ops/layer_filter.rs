use tracing::{Metadata, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

use super::{logs::LogStoreLayer, traces::SpanFilter};

/// The filter of the layer of an `Ops`: what its logs or its traces keep.
///
/// The answer for a callsite is kept until the filter of the log changes, which has all of them asked again.
#[derive(Clone, Debug)]
pub(super) struct LayerFilter {
    logs: LogStoreLayer,
    spans: SpanFilter,
}

impl LayerFilter {
    pub(super) fn new(logs: LogStoreLayer, spans: SpanFilter) -> Self {
        LayerFilter { logs, spans }
    }

    fn is_kept(&self, metadata: &Metadata<'_>) -> bool {
        self.spans.is_kept(metadata) || metadata.is_event() && self.logs.wants(metadata)
    }
}

impl<S> Filter<S> for LayerFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_kept(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.is_kept(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.spans.max_level().max(self.logs.max_level()))
    }
}
