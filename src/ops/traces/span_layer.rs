use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::time::Instant;
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    layer::{Context as LayerContext, Layer},
    registry::{LookupSpan, Scope, SpanRef},
};

use super::{
    active_trace::ActiveTrace,
    callsite_fields::{CallsiteFields, SpanSource},
    capture::{Captured, Facts},
    shared::Shared,
    span_handle::{SkippedSpan, SpanHandle, SpanIdentity, is_closed_by_child, note_closed},
    span_record::{Parent, SpanKind, SpanRecord},
    trace_state::{Beginning, SpanPlace},
};
use crate::context::{Context, SpanId, TraceId};

/// A `tracing` layer that keeps spans, to be shown as traces in the console. Part of what [`Ops::layer`](crate::ops::Ops::layer)
/// returns.
///
/// Clones keep into the same store. It does not filter: without a filter it makes all spans of all crates, of all levels.
#[derive(Clone, Debug)]
pub(crate) struct SpanLayer {
    shared: Arc<Shared>,
    /// The subscriber that it is a layer of.
    #[cfg(feature = "opentelemetry")]
    dispatch: Arc<std::sync::OnceLock<tracing::dispatcher::WeakDispatch>>,
}

/// The IDs of the call that a span begins in.
#[derive(Clone, Copy)]
struct CallIds {
    trace_id: TraceId,
    span_id: u64,
    parent_id: Option<u64>,
}

impl CallIds {
    fn current() -> Option<Self> {
        let number = |id: SpanId| u64::from_be_bytes(id.to_bytes());
        Context::with_current(|context| {
            context.map(|context| CallIds {
                trace_id: context.trace_id(),
                span_id: number(context.span_id()),
                parent_id: context.parent_id().map(number),
            })
        })
    }
}

/// The span around a new one.
enum Enclosing {
    None,
    Skipped,
    Span(Arc<SpanHandle>),
}

impl SpanLayer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        SpanLayer {
            shared,
            #[cfg(feature = "opentelemetry")]
            dispatch: Arc::default(),
        }
    }

    /// Calls a closure with what is known of the fields of a callsite.
    #[inline]
    fn with_fields<R>(
        &self,
        metadata: &'static Metadata<'static>,
        work: impl FnOnce(&CallsiteFields) -> R,
    ) -> R {
        let make = || CallsiteFields::new(metadata);
        self.shared.callsites.with(metadata, make, work)
    }

    /// Begins a span; `None` if it is not kept whatever happens.
    fn begin(
        &self,
        attributes: &Attributes<'_>,
        fields: &CallsiteFields,
        enclosing: &Enclosing,
    ) -> Option<SpanHandle> {
        let shared = &self.shared;
        let call = CallIds::current();
        let around = match enclosing {
            Enclosing::Skipped if call.is_none() => return None,
            Enclosing::Span(around) => Some(around),
            _ => None,
        };
        // The call says which trace it is: a span around it may last for many calls, as that of a connection does.
        let parent = around.filter(|span| call.is_none_or(|call| call.trace_id == span.trace_id));
        let trace_id = match (call, parent) {
            (_, Some(parent)) => parent.trace_id,
            (Some(call), None) => call.trace_id,
            (None, None) => TraceId::generate(),
        };
        if parent.is_none() && shared.options.sampling.is_decided(trace_id) {
            return None;
        }
        if shared.is_full() {
            shared.counters.spans.fetch_add(1, Relaxed);
            return None;
        }
        let now = Instant::now();
        let trace = match parent {
            Some(parent) => parent.trace.clone(),
            None => self.join(trace_id, now),
        };
        let identity = SpanIdentity {
            trace_id,
            is_root: parent.is_none(),
            kind: SpanKind::Internal,
            source: fields.source,
            ..identify(fields.source, call, around, trace_id)
        };
        let start = trace.nanos(now);
        let place = parent.map(|parent| parent.place());
        let remote = parent_of(fields.source, call, parent);
        let link = around.filter(|_| parent.is_none());
        let record = |visitor: &mut dyn tracing::field::Visit| attributes.record(visitor);
        let opened = Captured::with(fields, record, |captured| {
            let kind = kind_of(fields.source, &captured.facts);
            let mut span = SpanRecord::new(identity.id, remote, start, kind);
            span.is_own = fields.source != SpanSource::Custom;
            let metadata = attributes.metadata();
            let beginning = Beginning { span, metadata };
            let mut locked = trace.lock();
            let opened = locked
                .state
                .open(beginning, place, captured, shared.options.limits);
            if let (Some(opened), Some(link)) = (opened, link) {
                let trace_id = u128::from_be_bytes(link.trace_id.to_bytes());
                locked.state.buffer.link(opened.index, trace_id, link.id);
            }
            shared.account(&mut locked);
            opened.map(|place| (place, kind))
        });
        let (place, kind) = opened?;
        let identity = SpanIdentity { kind, ..identity };
        Some(SpanHandle::new(trace, identity, start, place))
    }

    /// Returns the trace of this ID, which begins if it is not in flight.
    fn join(&self, trace_id: TraceId, now: Instant) -> Arc<ActiveTrace> {
        let joined = self.shared.in_flight.join(trace_id, now);
        for displaced in joined.displaced.into_iter().flatten() {
            self.shared.finish(&displaced, now);
        }
        joined.trace
    }

    /// Changes a span in the buffer of its trace, where it may go on in a new place.
    fn change(
        &self,
        span: &SpanHandle,
        metadata: &'static Metadata<'static>,
        change: impl FnOnce(&mut super::trace_state::TraceState, SpanPlace),
    ) {
        let shared = &self.shared;
        let mut locked = span.trace.lock();
        let limits = shared.options.limits;
        let beginning = || beginning_of(span, metadata);
        let Some(place) = locked.state.locate(span.place(), beginning, limits) else {
            return;
        };
        span.set_place(place);
        change(&mut locked.state, place);
        shared.account(&mut locked);
    }

    /// Gives a span the IDs under which it is exported, which it gets after it has begun.
    fn adopt<S>(&self, span: &SpanRef<'_, S>, handle: &SpanHandle, trace_id: TraceId, id: u64)
    where
        S: for<'lookup> LookupSpan<'lookup>,
    {
        if (trace_id, id) == (handle.trace_id, handle.id) {
            return;
        }
        let parent = match enclosing(span) {
            // It was begun in a trace of its own, since that of the call was another one.
            Enclosing::Span(around) if handle.is_root && around.trace_id == trace_id => {
                Some(Parent::Id(around.id))
            }
            _ => None,
        };
        let mut locked = handle.trace.lock();
        let renamed = locked.state.rename(handle.place(), trace_id, id, parent);
        drop(locked);
        if renamed != handle.trace_id {
            let in_flight = &self.shared.in_flight;
            in_flight.rename(handle.trace_id, renamed, &handle.trace);
        }
        let handle = handle.with_ids(renamed, id);
        drop(span.extensions_mut().replace(Arc::new(handle)));
    }

    /// Does so for a span that is entered for the first time.
    #[cfg(feature = "opentelemetry")]
    fn adopt_exported<S>(&self, span: &SpanRef<'_, S>, handle: &SpanHandle)
    where
        S: for<'lookup> LookupSpan<'lookup>,
    {
        let dispatch = self.dispatch.get().and_then(|weak| weak.upgrade());
        let ids =
            dispatch.and_then(|dispatch| super::exported::exported_ids(&span.id(), &dispatch));
        if let Some((trace_id, id)) = ids {
            self.adopt(span, handle, trace_id, id);
        }
    }

    /// Ends a span, and what is finished with it.
    fn complete(
        &self,
        span: &SpanHandle,
        metadata: &'static Metadata<'static>,
        end: u64,
        now: Instant,
    ) {
        if !span.complete() {
            return;
        }
        let shared = &self.shared;
        let mut locked = span.trace.lock();
        let limits = shared.options.limits;
        let beginning = || beginning_of(span, metadata);
        if let Some(place) = locked.state.locate(span.place(), beginning, limits) {
            locked.state.buffer.close(place.index, end, span.busy(end));
        }
        let lasted = std::time::Duration::from_nanos(end.saturating_sub(span.start));
        shared.account(&mut locked);
        let sampling = shared.options.sampling;
        let finished = locked.state.close(span.is_root, lasted, sampling);
        let finished = finished.map(|part| span.trace.finished(&mut locked, part, now));
        drop(locked);
        if let Some(finished) = finished {
            shared.put(finished, Some(&span.trace));
        }
    }
}

/// Returns the IDs of a new span; the rest is for the caller to fill in.
fn identify(
    source: SpanSource,
    call: Option<CallIds>,
    around: Option<&Arc<SpanHandle>>,
    trace_id: TraceId,
) -> SpanIdentity {
    let around_call = around.map_or(0, |span| span.call_id);
    // Of several trackers around one call, the outermost has its ID.
    let own = call.filter(|call| source == SpanSource::Call && call.span_id != around_call);
    let random = || u64::from_be_bytes(SpanId::generate().to_bytes());
    SpanIdentity {
        trace_id,
        id: own.map_or_else(random, |call| call.span_id),
        call_id: own.map_or(around_call, |call| call.span_id),
        source,
        kind: SpanKind::Internal,
        is_root: false,
    }
}

fn parent_of(
    source: SpanSource,
    call: Option<CallIds>,
    parent: Option<&Arc<SpanHandle>>,
) -> Parent {
    match (source, call, parent) {
        (_, _, Some(parent)) => Parent::Id(parent.id),
        (SpanSource::Call, Some(call), None) => call.parent_id.map_or(Parent::None, Parent::Id),
        (_, Some(call), None) => Parent::Id(call.span_id),
        (_, None, None) => Parent::None,
    }
}

fn kind_of(source: SpanSource, facts: &Facts) -> SpanKind {
    let default = match source {
        SpanSource::Operation => SpanKind::Operation,
        SpanSource::Call | SpanSource::Custom => SpanKind::Internal,
    };
    facts.kind.unwrap_or(default)
}

fn beginning_of(span: &SpanHandle, metadata: &'static Metadata<'static>) -> Beginning {
    let mut record = SpanRecord::new(span.id, Parent::None, span.start, span.kind);
    record.is_own = span.source != SpanSource::Custom;
    Beginning {
        span: record,
        metadata,
    }
}

fn handle<S>(span: &SpanRef<'_, S>) -> Option<Arc<SpanHandle>>
where
    S: for<'lookup> LookupSpan<'lookup>,
{
    span.extensions().get::<Arc<SpanHandle>>().cloned()
}

fn enclosing<S>(span: &SpanRef<'_, S>) -> Enclosing
where
    S: for<'lookup> LookupSpan<'lookup>,
{
    // Spans of lower levels are as if they were not there.
    for around in span.scope().skip(1) {
        let extensions = around.extensions();
        if let Some(handle) = extensions.get::<Arc<SpanHandle>>() {
            return Enclosing::Span(handle.clone());
        }
        if extensions.get::<SkippedSpan>().is_some() {
            return Enclosing::Skipped;
        }
    }
    Enclosing::None
}

/// Returns the innermost span of an event that is kept, if it has not ended. Spans of lower levels are as if they were not there.
fn around<'a, S>(
    scope: Option<Scope<'a, S>>,
) -> Option<(&'static Metadata<'static>, Arc<SpanHandle>)>
where
    S: LookupSpan<'a>,
{
    for span in scope? {
        let extensions = span.extensions();
        if let Some(handle) = extensions.get::<Arc<SpanHandle>>() {
            let metadata = span.metadata();
            return (!handle.is_complete()).then(|| (metadata, handle.clone()));
        }
        if extensions.get::<SkippedSpan>().is_some() {
            return None;
        }
    }
    None
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    #[cfg(feature = "opentelemetry")]
    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        let _ = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let enclosing = enclosing(&span);
        let metadata = attributes.metadata();
        let begun = self.with_fields(metadata, |fields| {
            self.begin(attributes, fields, &enclosing)
        });
        let mut extensions = span.extensions_mut();
        match begun {
            Some(handle) => drop(extensions.replace(Arc::new(handle))),
            None => _ = extensions.replace(SkippedSpan),
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let metadata = span.metadata();
        let Some(handle) = handle(&span).filter(|handle| !handle.is_complete()) else {
            return;
        };
        let record = |visitor: &mut dyn tracing::field::Visit| values.record(visitor);
        let facts = self.with_fields(metadata, |fields| {
            Captured::with(fields, record, |captured| {
                self.change(&handle, metadata, |state, place| {
                    state.buffer.record(place.index, captured);
                });
                captured.facts
            })
        });
        if let (SpanSource::Call, Some(span_id)) = (handle.source, facts.span_id) {
            let trace_id = facts.trace_id.unwrap_or(handle.trace_id);
            let id = u64::from_be_bytes(span_id.to_bytes());
            self.adopt(&span, &handle, trace_id, id);
        }
        // It is over, although the subscriber keeps it open for its children.
        if facts.outcome.is_some() {
            let now = Instant::now();
            self.complete(&handle, metadata, handle.trace.nanos(now), now);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: LayerContext<'_, S>) {
        let (Some(span), Some(followed)) = (ctx.span(id), ctx.span(follows)) else {
            return;
        };
        let metadata = span.metadata();
        let (Some(span), Some(followed)) = (handle(&span), handle(&followed)) else {
            return;
        };
        if !span.is_complete() {
            let trace_id = u128::from_be_bytes(followed.trace_id.to_bytes());
            self.change(&span, metadata, |state, place| {
                state.buffer.link(place.index, trace_id, followed.id);
            });
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: LayerContext<'_, S>) {
        let Some((span_metadata, handle)) = around(ctx.event_scope(event)) else {
            return;
        };
        let (metadata, limits) = (event.metadata(), self.shared.options.limits);
        let at = handle.trace.nanos(Instant::now());
        let record = |visitor: &mut dyn tracing::field::Visit| event.record(visitor);
        self.with_fields(metadata, |fields| {
            Captured::with(fields, record, |captured| {
                self.change(&handle, span_metadata, |state, place| {
                    let index = place.index;
                    state.buffer.event(index, at, metadata, captured, limits);
                });
            });
        });
    }

    fn on_enter(&self, id: &Id, ctx: LayerContext<'_, S>) {
        #[cfg(feature = "opentelemetry")]
        if let Some(span) = ctx.span(id)
            && let Some(handle) = handle(&span).filter(|handle| handle.identify())
        {
            self.adopt_exported(&span, &handle);
        }
        if let Some(span) = ctx.span(id)
            && let Some(handle) = span.extensions().get::<Arc<SpanHandle>>()
        {
            handle.enter(handle.trace.nanos(Instant::now()));
        }
    }

    fn on_exit(&self, id: &Id, ctx: LayerContext<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(handle) = span.extensions().get::<Arc<SpanHandle>>()
        {
            handle.exit(handle.trace.nanos(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, ctx: LayerContext<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let is_closed_by_child = is_closed_by_child(id.into_u64());
        note_closed(span.parent().map(|parent| parent.id().into_u64()));
        let Some(handle) = handle(&span).filter(|handle| !handle.is_complete()) else {
            return;
        };
        let now = Instant::now();
        let at = handle.trace.nanos(now);
        // It was over when its code ran for the last time, and open for its child only.
        let end = match handle.last_exit() {
            Some(exit) if is_closed_by_child => exit,
            _ => at,
        };
        self.complete(&handle, span.metadata(), end, now);
    }
}
