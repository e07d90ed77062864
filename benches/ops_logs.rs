//! The cost of logs that the console keeps: an event on the thread that logs, records per second and bytes in the file, and
//! searches in 200,000 records.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::ServiceExt;
use tower_keep::{
    context::Context,
    ops::{Access, Identity, Ops, Role},
};
use tracing::subscriber::with_default;
use tracing_subscriber::{layer::SubscriberExt, registry};

const RECORDS: u64 = 200_000;
const PER_SECOND: u64 = 50_000;

const WORDS: [&str; 8] = [
    "timeout", "gateway", "accepted", "refused", "retry", "cached", "ledger", "shipped",
];

/// Logs as a service does: about 160 bytes, in calls of five events.
fn log(from: u64, events: u64) {
    for call in from / 5..(from + events) / 5 {
        Context::new_root().run(|| {
            for n in call * 5..call * 5 + 5 {
                event(n);
            }
        });
    }
}

fn event(n: u64) {
    let word = |shift: u64| WORDS[(n.wrapping_mul(0x9e37_79b9) >> shift) as usize % WORDS.len()];
    if n.is_multiple_of(50) {
        tracing::error!(target: "orders::pay", order_id = n, elapsed_ms = 10_004.2, "payments: {} while waiting for the {}", word(3), word(9));
    } else {
        tracing::info!(target: "orders::pay", order_id = n, attempt = n % 3, elapsed_ms = 41.5, "payments attempt of {} was {} after {} ms", word(3), word(9), n % 100);
    }
}

fn console(ops: &Ops) -> Router {
    let access = Access::builder().by(|_| Some(Identity::new(Role::Viewer)));
    ops.console(access.build().expect("valid"))
}

async fn search(router: &Router, query: &str) -> String {
    let request = Request::get(format!("/api/v1/logs?{query}"));
    let request = request.body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), 200, "{query}");
    let body = response.into_body().collect().await.expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("JSON")
}

/// Returns a number of an answer.
fn figure(answer: &str, name: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(answer).expect("JSON");
    value[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name}: {value}"))
}

fn event_cost(criterion: &mut Criterion) {
    const BATCH: u64 = 1_000;
    let runtime = Runtime::new().expect("a runtime");
    let ops = Ops::builder("orders").build().expect("valid");
    let console = console(&ops);
    let mut measure = |name: &str, event: &dyn Fn(u64)| {
        criterion.bench_function(&format!("logs/{name}"), |bencher| {
            let subscriber = Arc::new(registry().with(ops.layer()));
            bencher.iter_custom(|events| {
                let mut time = Duration::ZERO;
                with_default(subscriber.clone(), || {
                    for begin in (0..events).step_by(BATCH as usize) {
                        let context = Context::new_root();
                        let start = Instant::now();
                        context.run(|| (begin..events.min(begin + BATCH)).for_each(event));
                        time += start.elapsed();
                        runtime.block_on(search(&console, "limit=1"));
                    }
                });
                time
            });
        });
    };
    measure("event", &event);
    measure("event of one text", &|_| tracing::info!("listening"));
    measure("event below the level", &|n| {
        tracing::debug!(order_id = n, "payments attempt of {}", n)
    });
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tower-keep-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Logs 50,000 events per second for five seconds, then searches what is in the file.
fn file(criterion: &mut Criterion) {
    let folder = folder();
    let path = folder.join("ops.db");
    let runtime = Runtime::new().expect("a runtime");
    let ops = Ops::builder("orders").sqlite(&path).build().expect("valid");
    runtime.block_on(async { ops.spawn() });
    let console = console(&ops);
    with_default(registry().with(ops.layer()), || {
        let start = Instant::now();
        for hundredth in 0..RECORDS / (PER_SECOND / 100) {
            let due = start + Duration::from_millis(10 * hundredth);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            log(hundredth * (PER_SECOND / 100), PER_SECOND / 100);
        }
        let took = start.elapsed();
        let answer = runtime.block_on(search(&console, "limit=1"));
        let [kept, dropped] = ["kept", "dropped"].map(|name| figure(&answer, name));
        println!("logs/file: {RECORDS} records in {took:?}, {kept} kept, {dropped} dropped");
        assert_eq!(kept + dropped, RECORDS);
    });
    let size: u64 = ["ops.db", "ops.db-wal"]
        .iter()
        .filter_map(|name| fs::metadata(folder.join(name)).ok())
        .map(|file| file.len())
        .sum();
    println!(
        "logs/file: {} bytes per record, with what is not yet moved from the log of changes",
        size / RECORDS
    );
    for (name, query) in [
        ("newest", ""),
        ("common word", "q=payments"),
        ("word", "q=timeout"),
        ("two words", "q=timeout+gateway"),
        ("phrase", "q=%22waiting+for+the+ledger%22"),
        ("beginning", "q=time*"),
        ("word and level", "q=timeout&level=error"),
        ("level", "level=error"),
        ("rare word", "q=%22order_id+150000%22"),
        ("no such word", "q=nowhere"),
        ("without a word", "q=-payments"),
        ("target", "target=orders::pay"),
        ("trace", "trace_id=4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        let query = format!("{query}&limit=100");
        criterion.bench_function(&format!("logs/search/{name}"), |bencher| {
            bencher.iter(|| runtime.block_on(search(&console, &query)));
        });
    }
    drop((console, ops));
    drop(runtime);
    let size = fs::metadata(&path).map_or(0, |file| file.len());
    println!(
        "logs/file: {} bytes per record in the closed file",
        size / RECORDS
    );
    let _ = fs::remove_dir_all(folder);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = event_cost, file
}
criterion_main!(benches);
