//! The cost of the operations side: a recording, a scrape, a query, a tick.
//!
//! `cargo bench --bench ops --features ops`, or a part of it with `-- recordings`, `-- scrapes`, `-- queries` or `-- alerts`. Medians of many
//! turns; each block says of how many runs a turn is.

#[path = "support/allocations.rs"]
mod allocations;

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge, Histogram, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower_keep::{
    Context,
    ops::{
        Ops,
        alerts::Rule,
        recorder::{Format, Recorder, RecorderBuilder},
        series::{Aggregation, Query},
    },
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const TURNS: usize = 41;
/// The values that are recorded: as different as durations are.
const VALUES: [f64; 8] = [0.0012, 0.0031, 0.0042, 0.0087, 0.013, 0.021, 0.074, 0.31];

/// The median time of one of `runs` runs.
fn median(runs: u32, mut run: impl FnMut()) -> Duration {
    let mut turns: Vec<_> = (0..TURNS)
        .map(|_| {
            let began = Instant::now();
            (0..runs).for_each(|_| run());
            began.elapsed() / runs
        })
        .collect();
    turns.sort_unstable();
    turns[TURNS / 2]
}

/// The median nanoseconds of one run, and its allocations.
fn recording(name: &str, mut run: impl FnMut(usize)) {
    const RUNS: usize = 100_000;
    let (allocations, _) = allocations::per_call(|| run(0));
    let whole = median(1, || (0..RUNS).for_each(&mut run));
    let each = whole.as_nanos() as f64 / RUNS as f64;
    println!("{name:<52} {each:>8.1} ns {allocations:>5.1} allocations");
}

/// The same by two threads at once.
fn by_two(name: &str, run: impl Fn(usize) + Sync) {
    const RUNS: usize = 200_000;
    let mut turns: Vec<_> = (0..TURNS)
        .map(|_| {
            let barrier = Barrier::new(2);
            let work = || {
                barrier.wait();
                let began = Instant::now();
                (0..RUNS).for_each(&run);
                began.elapsed().as_nanos() as f64 / RUNS as f64
            };
            std::thread::scope(|scope| {
                let threads = [scope.spawn(work), scope.spawn(work)];
                threads
                    .map(|thread| thread.join().expect("no panic"))
                    .iter()
                    .sum::<f64>()
                    / 2.0
            })
        })
        .collect();
    turns.sort_by(f64::total_cmp);
    println!("{name:<52} {:>8.1} ns", turns[TURNS / 2]);
}

fn handles(recorder: &dyn metrics::Recorder) -> (Counter, Gauge, Histogram) {
    with_local_recorder(recorder, || {
        (
            metrics::counter!("orders_total"),
            metrics::gauge!("open"),
            metrics::histogram!("wait_seconds"),
        )
    })
}

fn recordings() {
    println!("\n# a recording (aim: 25 ns on a kept handle, no allocation)");
    let recorder = Recorder::new();
    let (orders, open, wait) = handles(&recorder);
    recording("counter", |_| orders.increment(1));
    recording("gauge, raised", |_| open.increment(1.0));
    recording("histogram", |turn| wait.record(VALUES[turn % 8]));
    Context::new_root().run(|| {
        recording("histogram, in a call whose trace is sampled", |turn| {
            wait.record(VALUES[turn % 8])
        });
    });
    by_two("counter, two threads, one number", |_| orders.increment(1));
    by_two("histogram, two threads, one set of numbers", |turn| {
        wait.record(VALUES[turn % 8])
    });
    // Both are busy by now: from here on, each thread has numbers of its own.
    recorder.tick(1_700_000_000);
    recording("counter, spread", |_| orders.increment(1));
    recording("histogram, spread", |turn| wait.record(VALUES[turn % 8]));
    by_two("counter, two threads, spread", |_| orders.increment(1));
    by_two("histogram, two threads, spread", |turn| {
        wait.record(VALUES[turn % 8])
    });
    with_local_recorder(&recorder, || {
        recording("counter, looked up by two labels of the program", |_| {
            metrics::counter!("looked_up_total", "shop" => "eu", "kind" => "book").increment(1);
        });
        let shop = String::from("eu");
        recording("counter, looked up by two labels, one made anew", |_| {
            metrics::counter!("looked_up_total", "shop" => shop.clone(), "kind" => "book")
                .increment(1);
        });
    });
    let (_, _, exported) = handles(&PrometheusBuilder::new().build_recorder());
    recording("histogram of metrics-exporter-prometheus", |turn| {
        exported.record(VALUES[turn % 8])
    });
}

fn scrapes() {
    println!("\n# a scrape (aim: 10,000 series in 5 ms)");
    for (name, histograms) in [
        ("10,000 counters and gauges", 0),
        ("9,000 and 1,000 histograms", 1_000),
        ("10,000 histograms", 10_000),
    ] {
        let recorder = Recorder::builder()
            .max_series_per_family(10_000)
            .build()
            .expect("valid");
        with_local_recorder(&recorder, || {
            for id in 0..10_000 {
                let (route, method) = (format!("/orders/{id}"), "GET");
                if id < histograms {
                    VALUES.iter().for_each(|value| {
                        metrics::histogram!("wait_seconds", "route" => route.clone(), "method" => method).record(*value);
                    });
                } else if id % 2 == 0 {
                    metrics::counter!("orders_total", "route" => route, "method" => method)
                        .increment(id);
                } else {
                    metrics::gauge!("open", "route" => route, "method" => method).set(id as f64);
                }
            }
        });
        for format in [Format::Text, Format::OpenMetrics] {
            let size = recorder.render(format).len();
            let lines = recorder.render(format).lines().count();
            let time = median(1, || drop(black_box(recorder.render(format))));
            println!("{name:<30} {format:<12?} {time:>10.1?} {lines:>8} lines {size:>10} bytes");
        }
        println!("{name:<30} memory {} bytes", recorder.heap_bytes());
    }
}

fn queries() {
    println!("\n# a query of 1,000 points (aim: 1 ms), and a tick");
    let recorder = Recorder::new();
    let (orders, open, wait) = handles(&recorder);
    let start = 1_700_000_000;
    for second in 0..1_000 * 60 {
        orders.increment(second);
        open.set(second as f64);
        (0..20).for_each(|turn| wait.record(VALUES[turn % 8] * (second % 97) as f64));
        recorder.tick(start + second);
    }
    let minutes = Duration::from_secs(60);
    for (name, aggregation) in [
        ("orders_total", Aggregation::Rate),
        ("open", Aggregation::Max),
        ("wait_seconds", Aggregation::Rate),
        ("wait_seconds", Aggregation::Quantile(0.95)),
    ] {
        let query = Query::new(name)
            .range(minutes * 1_000)
            .step(minutes)
            .aggregate(aggregation);
        let points = recorder.query(&query).expect("valid").series[0]
            .points
            .len();
        let time = median(10, || drop(black_box(recorder.query(&query))));
        println!("{name:<20} {aggregation:<8} {points:>6} points {time:>10.1?}");
    }
    let whole = Query::new("wait_seconds")
        .range(minutes * 1_000)
        .step(minutes * 1_000);
    let time = median(10, || drop(black_box(recorder.query(&whole))));
    println!("wait_seconds         p95           1 point of 1,000 {time:>10.1?}");

    let recorder = Recorder::new();
    with_local_recorder(&recorder, || {
        for id in 0..1_000 {
            metrics::counter!("orders_total", "id" => id.to_string()).increment(1);
            metrics::histogram!("wait_seconds", "id" => id.to_string()).record(0.1);
        }
    });
    let mut second = 0;
    let time = median(60, || {
        second += 1;
        recorder.tick(second);
    });
    println!("a tick with 1,000 counters and 100 histograms that have a history {time:>10.1?}");
}

fn alerts() {
    println!("\n# 1,000 rules evaluated (aim: 5 ms)");
    const RULES: usize = 1_000;
    let of = |when: &str, id: usize| Rule::new(format!("{when} {id}")).when(when);
    let one_each = |kind: &str| -> Vec<Rule> {
        let rules = (0..RULES).map(|id| of(&format!("{kind}_{id} > 1000"), id));
        rules.collect()
    };
    let cases: [(&str, Vec<Rule>); 6] = [
        ("of a gauge each", one_each("open")),
        ("of a counter each", one_each("orders_total")),
        ("of the p95 of a histogram each", one_each("wait_seconds")),
        (
            "of one of 100 gauges of a name",
            (0..RULES)
                .map(|id| of(&format!("shops{{id=\"{}\"}} > 1000", id % 100), id))
                .collect(),
        ),
        (
            "of the error ratio of a route",
            (0..RULES)
                .map(|id| of("error_ratio{route=\"GET /7\"} > 50%", id))
                .collect(),
        ),
        (
            "of 100 alerts each, which fire",
            (0..10).map(|id| of("shops by (id) > -1", id)).collect(),
        ),
    ];
    for (name, rules) in cases {
        let recorder = |recorder: RecorderBuilder| recorder.history_histograms(RULES);
        let count = rules.len();
        let ops = Ops::builder("orders")
            .recorder(recorder)
            .rules(rules)
            .build()
            .expect("valid");
        with_local_recorder(ops.recorder(), || {
            for second in 0..120 {
                for id in 0..RULES {
                    metrics::gauge!(format!("open_{id}")).set(second as f64);
                    metrics::counter!(format!("orders_total_{id}")).increment(1);
                    metrics::histogram!(format!("wait_seconds_{id}")).record(VALUES[id % 8]);
                }
                for id in 0..100 {
                    metrics::gauge!("shops", "id" => id.to_string()).set(1.0);
                }
                for route in 0..20 {
                    let labels = [
                        ("http_request_method", "GET".to_owned()),
                        ("http_route", format!("/{route}")),
                    ];
                    metrics::histogram!("http_server_request_duration_seconds", &labels)
                        .record(0.1);
                }
                ops.recorder().tick(1_700_000_000 + second);
            }
        });
        let active = ops.evaluate_rules();
        let time = median(1, || _ = black_box(ops.evaluate_rules()));
        println!("{count:>5} rules {name:<34} {time:>10.1?}   {active} active");
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs it to see that it runs.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let parts: [(&str, fn()); 4] = [
        ("recordings", recordings),
        ("scrapes", scrapes),
        ("queries", queries),
        ("alerts", alerts),
    ];
    let names = parts.map(|(name, _)| name);
    let is_any_named = arguments.iter().any(|name| names.contains(&&**name));
    for (name, run) in parts {
        if !is_any_named || arguments.iter().any(|argument| argument == name) {
            run();
        }
    }
}
