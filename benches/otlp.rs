//! The cost of an event and of a span on the thread of the application: exported, with a queue that has room and one that is full, beside a
//! subscriber that exports nothing.
//!
//! `cargo bench --bench otlp --features ops-otlp`. Medians of many turns; nobody takes what is exported.

#[path = "support/allocations.rs"]
mod allocations;

use std::time::{Duration, Instant};

use tower_keep::ops::otlp::{Otlp, OtlpBuilder, Signal};
use tracing_subscriber::layer::SubscriberExt;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const TURNS: usize = 41;
/// Fewer than a queue holds in all turns.
const RUNS: u32 = 1_000;

fn builder() -> OtlpBuilder {
    // Nobody listens at port 9, and the delay is an hour, so that the exporter's thread does nothing.
    let variables = |name: &str| match name {
        "OTEL_BSP_SCHEDULE_DELAY" | "OTEL_BLRP_SCHEDULE_DELAY" => Some("3600000".to_owned()),
        "OTEL_BSP_MAX_QUEUE_SIZE" | "OTEL_BLRP_MAX_QUEUE_SIZE" => Some("1000000".to_owned()),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" | "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE" => {
            Some("1000000".to_owned())
        }
        _ => None,
    };
    Otlp::builder()
        .variables(variables)
        .endpoint("http://127.0.0.1:9")
        .export(Signal::Metrics, false)
}

fn main() {
    println!("medians of {TURNS} turns of {RUNS}");
    tracing::subscriber::with_default(tracing_subscriber::registry(), || {
        each("a span that nothing exports", span);
        each("an event that nothing exports", event);
    });
    let spans = || builder().export(Signal::Logs, false);
    let logs = || builder().export(Signal::Traces, false);
    with(spans(), || each("a span with 2 attributes", span));
    with(spans().sampled(0.0), || {
        each("a span that is not sampled", span)
    });
    with(logs(), || each("an event with 2 fields", event));
    with(builder(), || {
        let outer = tracing::info_span!("call");
        let _entered = outer.enter();
        each("an event with 2 fields in a span that is exported", event);
    });
    let full = logs().variables(|name| match name {
        "OTEL_BLRP_MAX_QUEUE_SIZE" => Some("1".to_owned()),
        "OTEL_BLRP_SCHEDULE_DELAY" => Some("3600000".to_owned()),
        _ => None,
    });
    with(full, || {
        each("an event with 2 fields that is dropped", event)
    });
}

fn with(builder: OtlpBuilder, run: impl FnOnce()) {
    let otlp = builder.build().expect("the settings are valid");
    let subscriber = tracing_subscriber::registry().with(otlp.layer());
    tracing::subscriber::with_default(subscriber, run);
}

fn span() {
    drop(tracing::info_span!("reserve", shop = "eu", items = 3));
}

fn event() {
    tracing::info!(shop = "eu", items = 3, "an order");
}

fn each(name: &str, run: fn()) {
    let (allocations, _) = allocations::per_call(run);
    let mut turns: Vec<Duration> = (0..TURNS)
        .map(|_| {
            let began = Instant::now();
            (0..RUNS).for_each(|_| run());
            began.elapsed() / RUNS
        })
        .collect();
    turns.sort_unstable();
    let median = turns[TURNS / 2].as_nanos();
    println!("{name:<52} {median:>6} ns {allocations:>5.1} allocations");
}
