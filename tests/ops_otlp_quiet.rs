//! Events and spans of the exporter itself are not exported, or each export would cause the next. For a whole process, whose subscriber also
//! hears the exporter's thread.
#![cfg(feature = "ops-otlp")]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "ops_otlp/collector.rs"]
mod collector;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tower_keep::ops::otlp::{Otlp, OtlpProtocol, Signal};
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use self::collector::{Collector, Export};

const LIMIT: Duration = Duration::from_secs(20);

/// Counts the events of the exporter's thread.
struct OwnEvents(Arc<AtomicU64>);

impl<S: Subscriber> Layer<S> for OwnEvents {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        if thread::current().name() == Some("tower-keep-otlp") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn exports_are_not_exported() {
    let mut collector = Collector::grpc(&[]);
    let otlp = Otlp::builder()
        .variables(|_| None)
        .endpoint(collector.endpoint())
        .protocol(OtlpProtocol::Grpc)
        .export(Signal::Metrics, false)
        .span_level(LevelFilter::TRACE)
        .log_level(LevelFilter::TRACE)
        .build()
        .expect("the settings are valid");
    let own_events = Arc::<AtomicU64>::default();
    let subscriber = tracing_subscriber::registry()
        .with(otlp.layer())
        .with(OwnEvents(own_events.clone()));
    tracing::subscriber::set_global_default(subscriber).expect("there is no other");
    tracing::trace_span!("reserve").in_scope(|| tracing::trace!("an order"));
    otlp.flush(LIMIT).await.expect("the collector takes all");
    let received = collector.so_far();
    assert_eq!(received.len(), 2, "{received:?}");
    for received in received {
        match received.export {
            Export::Traces(request) => {
                let spans = &request.resource_spans[0].scope_spans[0].spans;
                assert_eq!(spans.len(), 1, "{spans:?}");
            }
            Export::Logs(request) => {
                let scopes = &request.resource_logs[0].scope_logs;
                assert_eq!(scopes.len(), 1, "{scopes:?}");
                assert_eq!(scopes[0].log_records.len(), 1);
            }
            Export::Metrics(_) => panic!("metrics are not exported"),
        }
    }
    assert!(
        own_events.load(Ordering::Relaxed) > 0,
        "there was something to hear"
    );
    otlp.flush(LIMIT).await.expect("nothing is there");
    let received = collector.so_far();
    assert!(received.is_empty(), "{received:?}");
}
