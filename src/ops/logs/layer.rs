use std::{fmt, sync::Arc};

use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context as LayerContext, Layer},
    registry::LookupSpan,
};

use super::{capture::capture, field_role::RecordFieldRole, muted::is_muted, shared::Shared};
use crate::{call::CatchScope, context::Context};

/// A `tracing` layer that keeps events for the console; see the [module](super). Part of [`Ops::layer`](crate::ops::Ops::layer).
///
/// It keeps events of at least [its level](super::LogsBuilder::level), and filters nothing for others.
#[derive(Clone)]
pub(crate) struct LogStoreLayer(Arc<Shared>);

impl LogStoreLayer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        LogStoreLayer(shared)
    }

    /// Returns whether an event is kept.
    pub(in crate::ops) fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.0.filter.wants(metadata)
    }

    /// Returns the lowest level of what may be kept.
    pub(in crate::ops) fn max_level(&self) -> LevelFilter {
        self.0.filter.max_level()
    }
}

impl fmt::Debug for LogStoreLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStoreLayer").finish_non_exhaustive()
    }
}

/// The call that a span was created in, so that a task inside of the span has its IDs.
struct InCall(Context);

impl<S> Layer<S> for LogStoreLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        if let Some(context) = Context::current()
            && let Some(span) = ctx.span(id)
        {
            // There may be a layer of another `Ops`.
            span.extensions_mut().replace(InCall(context));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        let shared = &*self.0;
        if !shared.filter.wants(event.metadata()) || is_muted() || shared.queue.is_closed() {
            return;
        }
        // Values are foreign code, whose panics are caught and reported by this crate.
        let _scope = CatchScope::enter();
        let with_span = |add: &mut dyn FnMut(&Context)| {
            let mut spans = ctx.event_scope(event).into_iter().flatten();
            spans.any(|span| {
                let extensions = span.extensions();
                let in_call = extensions.get::<InCall>();
                in_call.inspect(|InCall(context)| add(context)).is_some()
            });
        };
        let metadata = event.metadata();
        let roles = || RecordFieldRole::of_all(metadata);
        let record = shared
            .callsites
            .with(metadata, roles, |roles| capture(event, roles, with_span));
        shared.queue.push(record);
    }
}
