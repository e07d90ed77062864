//! History, queries, and what stands beside the recorder.

use std::time::Duration;

use metrics::with_local_recorder;
use tower_keep::ops::{
    recorder::{Metrics, Recorder, Value},
    series::{Aggregation, Filter, Query},
};

const START: u64 = 1_700_000_000;

fn last(recorder: &Recorder, query: &Query) -> Vec<(String, Option<f64>)> {
    let result = recorder.query(query).expect("a valid query");
    let line = |line: &tower_keep::ops::series::QuerySeries| {
        let label = line
            .labels
            .first()
            .map_or(String::new(), |(_, value)| value.clone());
        (label, line.points.last().expect("a point").1)
    };
    result.series.iter().map(line).collect()
}

#[test]
fn history_has_what_each_second_added() {
    let recorder = Recorder::new();
    let metrics = recorder.metrics();
    for second in 0..100 {
        metrics.increment("orders_total", 3, &[("shop", "eu")]);
        metrics.increment("orders_total", 1, &[("shop", "us")]);
        metrics.set("open", second as f64, &[]);
        metrics.timing(
            "wait_seconds",
            Duration::from_millis(if second % 10 == 0 { 500 } else { 20 }),
            &[],
        );
        recorder.tick(START + second);
    }
    let rates = Query::new("orders_total").by(["shop"]);
    assert_eq!(
        last(&recorder, &rates),
        [("eu".into(), Some(3.0)), ("us".into(), Some(1.0))]
    );
    let total = Query::new("orders_total")
        .filter(Filter::is("shop", "eu"))
        .range(Duration::from_secs(60));
    let total = total
        .step(Duration::from_secs(60))
        .aggregate(Aggregation::Sum);
    assert_eq!(last(&recorder, &total), [(String::new(), Some(180.0))]);
    assert_eq!(
        last(&recorder, &Query::new("open")),
        [(String::new(), Some(99.0))]
    );
    let whole = |aggregation| {
        let query = Query::new("wait_seconds")
            .range(Duration::from_secs(100))
            .step(Duration::from_secs(100));
        last(&recorder, &query.aggregate(aggregation))[0]
            .1
            .expect("values")
    };
    let is_near = |value: f64, expected: f64| (value - expected).abs() <= expected / 64.0;
    assert!(is_near(whole(Aggregation::Quantile(0.5)), 0.02));
    assert!(is_near(whole(Aggregation::Quantile(0.95)), 0.5));
    assert_eq!(whole(Aggregation::Count), 100.0);
    assert_eq!(last(&recorder, &Query::new("absent")), []);
}

#[test]
fn history_does_not_have_more_series_than_allowed() {
    let recorder = Recorder::builder()
        .history_series(0)
        .history_histograms(0)
        .build()
        .expect("valid");
    recorder.metrics().increment("orders_total", 1, &[]);
    recorder.metrics().record("wait_seconds", 1.0, &[]);
    let before = recorder.heap_bytes();
    (0..1_000).for_each(|second| recorder.tick(START + second));
    assert_eq!(recorder.heap_bytes(), before);
    for name in ["orders_total", "wait_seconds"] {
        let result = recorder.query(&Query::new(name)).expect("valid");
        assert!(result.series.is_empty() && result.truncated, "{name}");
    }
    assert_eq!(recorder.value("orders_total", &[]), Some(Value::Counter(1)));
}

#[test]
fn history_of_a_day_stays_within_its_bound() {
    let recorder = Recorder::new();
    let metrics = recorder.metrics();
    let mut seconds = 0;
    let mut run = |hours: u64| {
        // Every ten seconds, which fills the same rings in a tenth of the time.
        for _ in 0..hours * 360 {
            metrics.increment("orders_total", 9, &[]);
            metrics.record("wait_seconds", (seconds % 977) as f64 / 977.0, &[]);
            recorder.tick(START + seconds);
            seconds += 10;
        }
        recorder.heap_bytes()
    };
    let day = run(25);
    let two_days = run(24);
    assert!(two_days < day + day / 50, "{day} {two_days}");
    assert!(day < 1_000_000, "{day}");
}

#[test]
fn query_names_what_is_wrong() {
    let recorder = Recorder::new();
    recorder.metrics().increment("orders_total", 1, &[]);
    let query = Query::new("orders_total").aggregate(Aggregation::Quantile(0.5));
    let error = recorder
        .query(&query)
        .expect_err("a counter has no percentiles");
    assert_eq!(
        error.to_string(),
        "agg is p50, must be sum, avg, min, max, rate or count for a counter"
    );
}

#[test]
fn fanout_records_in_both() {
    let (ours, theirs) = (Recorder::new(), Recorder::new());
    with_local_recorder(&ours.fanout(theirs.clone()), || {
        metrics::describe_counter!("orders_total", "Orders");
        metrics::describe_gauge!("open", "Open");
        metrics::describe_histogram!("load", "Load");
        let orders = metrics::counter!("orders_total");
        orders.increment(1);
        orders.absolute(5);
        let open = metrics::gauge!("open");
        open.set(5.0);
        open.increment(2.0);
        open.decrement(1.0);
        let load = metrics::histogram!("load");
        load.record(1.0);
        load.record_many(2.0, 2);
    });
    assert_eq!(ours.value("orders_total", &[]), Some(Value::Counter(5)));
    assert_eq!(ours.value("open", &[]), Some(Value::Gauge(6.0)));
    assert_eq!(
        ours.value("load", &[]).map(|value| value.number()),
        Some(3.0)
    );
    assert_eq!(ours.snapshot(), theirs.snapshot());
    assert_eq!(ours.families(), theirs.families());
    assert!(ours.families().iter().all(|family| !family.help.is_empty()));
}

#[test]
fn facade_uses_the_recorder_of_the_process() {
    let recorder = Recorder::new();
    with_local_recorder(&recorder, || {
        Metrics::global().increment("orders_total", 2, &[("shop", "eu")])
    });
    assert_eq!(
        recorder.value("orders_total", &[("shop", "eu")]),
        Some(Value::Counter(2))
    );
    let shared = recorder.clone();
    shared.metrics().set("open", 1.0, &[]);
    assert_eq!(recorder.metrics().snapshot(), shared.snapshot());
}
