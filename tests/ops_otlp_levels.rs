//! The levels that reach the exporter. In a process of its own, where no other subscriber raises the level for all.
#![cfg(feature = "ops-otlp")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tower_keep::ops::otlp::{Otlp, OtlpBuilder, Signal};
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

/// Counts all events.
struct Events(Arc<AtomicU64>);

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns a builder of an exporter that keeps what it gets.
fn builder() -> OtlpBuilder {
    let variables = |name: &str| name.ends_with("_DELAY").then(|| "3600000".to_owned());
    Otlp::builder()
        .variables(variables)
        .endpoint("http://127.0.0.1:9")
        .export(Signal::Metrics, false)
}

/// Opens a span and logs an event of the levels `DEBUG` and `INFO`.
fn work() {
    drop(tracing::info_span!("reserve"));
    drop(tracing::debug_span!("look up"));
    tracing::info!("an order");
    tracing::debug!("a look");
}

/// Returns the spans and events that an exporter gets, and the events that a layer beside it sees.
fn exported(builder: OtlpBuilder, has_other: bool) -> (usize, usize, u64) {
    let otlp = builder.build().expect("the settings are valid");
    let seen = Arc::<AtomicU64>::default();
    let other = has_other.then(|| Events(seen.clone()));
    let subscriber = tracing_subscriber::registry()
        .with(otlp.layer())
        .with(other);
    tracing::subscriber::with_default(subscriber, work);
    let queued = |signal| otlp.stats(signal).queued;
    let seen = seen.load(Ordering::Relaxed);
    (queued(Signal::Traces), queued(Signal::Logs), seen)
}

#[test]
fn levels_of_spans_and_events_are_their_own() {
    let without = |signal| builder().export(signal, false);
    assert_eq!(exported(builder(), false), (1, 1, 0));
    assert_eq!(exported(without(Signal::Logs), false), (1, 0, 0));
    assert_eq!(exported(without(Signal::Traces), false), (0, 1, 0));
    let debug = LevelFilter::DEBUG;
    assert_eq!(exported(builder().span_level(debug), false), (2, 1, 0));
    assert_eq!(exported(builder().log_level(debug), false), (1, 2, 0));
    let off = LevelFilter::OFF;
    assert_eq!(exported(builder().span_level(off), false), (0, 1, 0));
    // Other layers have their own.
    assert_eq!(exported(builder(), true), (1, 1, 2));
    assert_eq!(exported(without(Signal::Logs), true), (1, 0, 2));
    let nothing = without(Signal::Logs).export(Signal::Traces, false);
    assert_eq!(exported(nothing, true), (0, 0, 2));
    let disabled = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
    assert_eq!(exported(builder().variables(disabled), true), (0, 0, 2));
}
