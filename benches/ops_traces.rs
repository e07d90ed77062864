//! The cost of spans on the thread of the application, and the bytes that they take: `cargo bench --features ops-logs --bench
//! ops_traces`.
//!
//! Each row is one trace of a server call with two spans in it, as `tracing` makes them: opened, entered, left, recorded and
//! closed. The registry without a layer is what `tracing` itself costs.

use std::time::{Duration, Instant};

use tower_keep::ops::{Ops, traces::TracesBuilder};
use tracing::{Dispatch, dispatcher::with_default, field::Empty, info_span};
use tracing_subscriber::{layer::SubscriberExt, registry};

const SPANS: u32 = 3;
/// The traces that are timed together: so few that most batches are not interrupted.
const BATCH: u32 = 100;
const BATCHES: u32 = 1_000;

/// A call with an operation in it, and a query in that.
fn one_trace(n: u64) {
    let call = info_span!(
        "call",
        otel.name = "GET /orders/{id}",
        otel.kind = "server",
        http.request.method = "GET",
        http.route = "/orders/{id}",
        url.path = "/orders/7",
        request_id = "4bf92f3577b34da6a3ce929d0e0e4736",
        http.response.status_code = Empty,
        outcome = Empty,
    );
    let entered = call.enter();
    info_span!("load_order", id = n).in_scope(|| {
        info_span!("query", statement = "select * from orders", rows = 3).in_scope(|| {});
    });
    drop(entered);
    tracing::record_all!(call, http.response.status_code = 200, outcome = "success");
}

/// Returns the nanoseconds of one span: the median of all batches.
fn nanos_per_span(dispatch: &Dispatch, mut between: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..BATCHES)
        .map(|_| {
            let begin = Instant::now();
            with_default(dispatch, || (0..u64::from(BATCH)).for_each(one_trace));
            let time = begin.elapsed();
            between();
            time
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / f64::from(BATCH * SPANS)
}

fn kept(
    runtime: &tokio::runtime::Runtime,
    change: impl FnOnce(TracesBuilder) -> TracesBuilder,
) -> f64 {
    let ops = Ops::builder("bench")
        .traces(change)
        .build()
        .expect("valid settings");
    // Its driver takes what was kept, as it does each second.
    let _entered = runtime.enter();
    ops.spawn();
    let dispatch = Dispatch::new(registry().with(ops.layer()));
    let tick = || runtime.block_on(tokio::time::sleep(Duration::from_millis(1_100)));
    // As long a pause for each batch would take minutes.
    let mut batches = 0;
    nanos_per_span(&dispatch, || {
        batches += 1;
        if batches % 200 == 0 {
            tick();
        }
    })
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let bare = nanos_per_span(&Dispatch::new(registry()), || {});
    println!("nanoseconds per span, of a trace of three");
    println!("registry alone                          {bare:7.0}");
    type Change = fn(TracesBuilder) -> TracesBuilder;
    let rows: [(&str, Change); 4] = [
        ("kept", |traces| {
            traces.sample_rate(1.0).max_bytes(256 << 20)
        }),
        ("not sampled, errors and slow ones kept", |traces| {
            traces.sample_rate(0.0)
        }),
        ("not sampled, nothing else kept", |traces| {
            traces.sample_rate(0.0).keep_errors(false).keep_slow(None)
        }),
        ("one in ten, as by default", |traces| {
            traces.sample_rate(0.1)
        }),
    ];
    for (name, change) in rows {
        let all = kept(&runtime, change);
        println!("{name:39} {all:7.0}  of which the layer {:5.0}", all - bare);
    }
}
