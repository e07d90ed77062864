use std::sync::OnceLock;

use tracing::{
    Event,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Layered},
    registry::Registry,
};

type BoxLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The registry of the subscriber that is installed.
pub(super) type BaseRegistry = Layered<LateLayers, Registry>;

/// The first of the layers that were added; each has the next.
static FIRST: OnceLock<Box<Node>> = OnceLock::new();

struct Node {
    layer: BoxLayer,
    next: OnceLock<Box<Node>>,
}

/// Adds a layer to the subscriber that [`install`](super::install) sets up, before or after it does. The layer gets what the
/// filter of that subscriber lets through, and cannot filter.
///
/// A subscriber with a registry of your own has its layers instead. That is also the place of a layer with a filter of its own
/// (`with_filter`), and of one that other code looks for in the subscriber, as that of `tracing-opentelemetry`: both must be
/// there from the start.
///
/// ```
/// use tower_keep::logging;
/// use tracing_subscriber::{Layer, registry::Registry};
///
/// struct CountEvents;
/// impl Layer<Registry> for CountEvents {}
/// logging::add_layer(CountEvents);
/// ```
pub fn add_layer(layer: impl Layer<Registry> + Send + Sync) {
    let mut node = Box::new(Node {
        layer: Box::new(layer),
        next: OnceLock::new(),
    });
    let mut slot = &FIRST;
    while let Err(taken) = slot.set(node) {
        node = taken;
        slot = &slot.get().expect("it was full").next;
    }
    // Callsites that nobody has wanted are asked again.
    tracing::callsite::rebuild_interest_cache();
}

/// The layers that were added, as one.
#[derive(Debug)]
pub(super) struct LateLayers;

fn for_each(mut work: impl FnMut(&BoxLayer)) {
    let mut slot = &FIRST;
    while let Some(node) = slot.get() {
        work(&node.layer);
        slot = &node.next;
    }
}

impl Layer<Registry> for LateLayers {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_new_span(attributes, id, ctx.clone()));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_record(id, values, ctx.clone()));
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_follows_from(id, follows, ctx.clone()));
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_event(event, ctx.clone()));
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_enter(id, ctx.clone()));
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_exit(id, ctx.clone()));
    }

    fn on_close(&self, id: Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_close(id.clone(), ctx.clone()));
    }

    fn on_id_change(&self, old: &Id, new: &Id, ctx: Context<'_, Registry>) {
        for_each(|layer| layer.on_id_change(old, new, ctx.clone()));
    }
}
