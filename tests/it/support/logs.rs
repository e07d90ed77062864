//! A subscriber that remembers what it was told.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, Layered, SubscriberExt},
    registry::LookupSpan,
};

use super::callsites::ask_all_subscribers;

pub type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Debug)]
pub struct Event {
    pub target: &'static str,
    pub level: Level,
    pub fields: Fields,
    /// The span it was written in, by its position among the [`Logs::spans`].
    pub span: Option<usize>,
}

impl Event {
    /// A field's value, empty where there is none.
    pub fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

#[derive(Clone, Debug)]
pub struct Span {
    pub name: &'static str,
    pub target: &'static str,
    pub level: Level,
    pub fields: Fields,
    pub parent: Option<usize>,
    pub closed: bool,
}

impl Span {
    pub fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

/// The lines that this thread has logged since [`logs`].
pub struct Logs {
    kept: Arc<Kept>,
    _default: DefaultGuard,
}

#[derive(Default)]
struct Kept {
    events: Mutex<Vec<Event>>,
    spans: Mutex<Vec<Span>>,
}

/// Makes this thread's events and spans known to the test.
pub fn logs() -> Logs {
    Logs::new(|keeper| Registry::default().with(keeper))
}

/// The same beside a layer of the test, which is asked after this one.
pub fn logs_before<L>(layer: L) -> Logs
where
    L: Layer<Layered<Keeper, Registry>> + Send + Sync,
{
    Logs::new(|keeper| Registry::default().with(keeper).with(layer))
}

/// The same beside a layer of the test, which is asked before this one.
pub fn logs_after<L>(layer: L) -> Logs
where
    L: Layer<Registry> + Send + Sync,
{
    Logs::new(|keeper| Registry::default().with(layer).with(keeper))
}

impl Logs {
    fn new<S>(subscriber: impl FnOnce(Keeper) -> S) -> Self
    where
        S: Subscriber + Send + Sync,
    {
        ask_all_subscribers();
        let kept = Arc::new(Kept::default());
        let subscriber = subscriber(Keeper(kept.clone()));
        Logs {
            kept,
            _default: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn events(&self, target: &str) -> Vec<Event> {
        let events = self.kept.events.lock().expect("events");
        events
            .iter()
            .filter(|event| event.target == target)
            .cloned()
            .collect()
    }

    /// The access log.
    pub fn calls(&self) -> Vec<Event> {
        self.events(tower_keep::track::ACCESS_TARGET)
    }

    /// The only line of the access log.
    pub fn only_call(&self) -> Event {
        let [call] = &self.calls()[..] else {
            panic!("one line expected: {:#?}", self.calls())
        };
        call.clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().expect("spans").clone()
    }

    /// The spans of calls.
    pub fn call_spans(&self) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.target == "tower_keep::call");
        spans
    }

    pub fn clear(&self) {
        self.kept.events.lock().expect("events").clear();
    }
}

pub struct Keeper(Arc<Kept>);

/// The position of a span.
struct At(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keeper {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, cx: Context<'_, S>) {
        let span = cx.span(id).expect("a span");
        let parent = span.parent().map(|parent| position(&parent));
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let mut spans = self.0.spans.lock().expect("spans");
        span.extensions_mut().insert(At(spans.len()));
        spans.push(Span {
            name: attributes.metadata().name(),
            target: attributes.metadata().target(),
            level: *attributes.metadata().level(),
            fields,
            parent,
            closed: false,
        });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, cx: Context<'_, S>) {
        let at = position(&cx.span(id).expect("a span"));
        let mut spans = self.0.spans.lock().expect("spans");
        values.record(&mut Reader(&mut spans[at].fields));
    }

    fn on_close(&self, id: span::Id, cx: Context<'_, S>) {
        let at = position(&cx.span(&id).expect("a span"));
        self.0.spans.lock().expect("spans")[at].closed = true;
    }

    fn on_event(&self, event: &tracing::Event<'_>, cx: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let event = Event {
            target: event.metadata().target(),
            level: *event.metadata().level(),
            fields,
            span: cx.event_span(event).map(|span| position(&span)),
        };
        self.0.events.lock().expect("events").push(event);
    }
}

fn position<'a, R: LookupSpan<'a>>(span: &tracing_subscriber::registry::SpanRef<'a, R>) -> usize {
    span.extensions().get::<At>().expect("a position").0
}

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
