//! Queries on histories, by all aggregations.

use std::{sync::Arc, time::Duration};

use super::{
    Added, Aggregation, Filter, GaugePoint, Histogram, PackedHistogram, Query, QueryResult,
    QuerySeries, SeriesHistory, SeriesKind, SeriesView, TieredRing, evaluate,
};

const NOW: u64 = 1_000_019;

type Labels = Vec<(Arc<str>, Arc<str>)>;

fn labels(route: &str, status: &str) -> Labels {
    vec![
        ("route".into(), route.into()),
        ("status".into(), status.into()),
    ]
}

/// A counter that adds `per_second` in each of the last `seconds`.
fn counter(per_second: u64, seconds: u64) -> SeriesHistory {
    let mut ring = TieredRing::new();
    (NOW - seconds + 1..=NOW).for_each(|second| ring.push(second, Added::new(per_second)));
    SeriesHistory::Counter(ring)
}

fn gauge(values: &[(u64, f64)]) -> SeriesHistory {
    let mut ring = TieredRing::new();
    values
        .iter()
        .for_each(|(second, value)| ring.push(*second, GaugePoint::new(*value)));
    SeriesHistory::Gauge(ring)
}

fn histogram(values: &[f64]) -> SeriesHistory {
    let mut ring = TieredRing::new();
    for second in NOW - 19..=NOW {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        ring.push(second, PackedHistogram::new(&histogram));
    }
    SeriesHistory::Histogram(ring)
}

fn query(range: u64, step: u64, aggregation: &str) -> Query {
    Query::new("load")
        .range(Duration::from_secs(range))
        .step(Duration::from_secs(step))
        .aggregate(Aggregation::from_text(aggregation).expect("an aggregation"))
}

fn run(query: &Query, series: &[(Labels, Option<SeriesHistory>)]) -> QueryResult {
    let kind = series
        .iter()
        .find_map(|(_, history)| Some(history.as_ref()?.kind()));
    let views = series.iter().map(|(labels, history)| SeriesView {
        labels,
        history: history.as_ref(),
    });
    evaluate(query, kind.unwrap_or(SeriesKind::Counter), NOW, views).expect("a valid query")
}

/// The number of the only step of the only line.
fn number(aggregation: &str, series: &[SeriesHistory]) -> Option<f64> {
    let series: Vec<_> = series
        .iter()
        .map(|history| (labels("/", "200"), Some(history.clone())))
        .collect();
    let result = run(&query(20, 20, aggregation), &series);
    let [line] = &result.series[..] else {
        panic!("one line: {result:?}")
    };
    let [(_, number)] = line.points[..] else {
        panic!("one point: {result:?}")
    };
    number
}

#[test]
fn counters_have_sums_and_rates() {
    let series = [counter(3, 20), counter(7, 10)];
    assert_eq!(number("sum", &series), Some(130.0));
    assert_eq!(number("count", &series), Some(130.0));
    assert_eq!(number("rate", &series), Some(6.5));
    assert_eq!(number("avg", &series), Some(6.5));
    assert_eq!(number("min", &series), Some(3.0));
    assert_eq!(number("max", &series), Some(10.0));
    // A series that is younger than the range has the rate of its life.
    assert_eq!(number("rate", &[counter(7, 10)]), Some(7.0));
    assert_eq!(
        number("rate", &[SeriesHistory::new(SeriesKind::Counter)]),
        None
    );
}

#[test]
fn rates_of_merged_points_are_per_second() {
    let series = [(labels("/", "200"), Some(counter(3, 30)))];
    for aggregation in ["min", "max", "rate"] {
        let result = run(&query(30, 10, aggregation), &series);
        let rates: Vec<_> = result.series[0]
            .points
            .iter()
            .map(|(_, rate)| *rate)
            .collect();
        assert_eq!(rates, [Some(3.0); 3], "{aggregation}");
    }
}

#[test]
fn gauges_have_their_last_values() {
    let series = [
        gauge(&[(NOW - 3, 9.0), (NOW - 2, 2.0)]),
        gauge(&[(NOW, 4.0)]),
    ];
    assert_eq!(number("sum", &series), Some(6.0));
    assert_eq!(number("avg", &series), Some(3.0));
    assert_eq!(number("min", &series), Some(2.0));
    assert_eq!(number("max", &series), Some(9.0));
    assert_eq!(number("count", &series), Some(2.0));
    assert_eq!(
        number("max", &[gauge(&[(NOW, f64::INFINITY)])]),
        None,
        "not finite"
    );
    assert_eq!(number("sum", &[gauge(&[(NOW, f64::NAN)])]), None);
    assert_eq!(
        number("sum", &[SeriesHistory::new(SeriesKind::Gauge)]),
        None
    );
}

#[test]
fn percentiles_are_those_of_merged_histograms() {
    // One value of 100 and 99 of 1: the average of their medians would be 50.
    let series = [histogram(&[100.0]), histogram(&[1.0; 99])];
    let is_near = |aggregation, expected: f64| {
        let number = number(aggregation, &series).expect("there are values");
        assert!(
            (number - expected).abs() <= expected / 64.0,
            "{aggregation}: {number}"
        );
    };
    is_near("p50", 1.0);
    is_near("p99", 1.0);
    is_near("p99.1", 100.0);
    is_near("min", 1.0);
    is_near("max", 100.0);
    assert_eq!(number("count", &series), Some(2_000.0));
    assert_eq!(number("rate", &series), Some(100.0));
    assert_eq!(number("sum", &series), Some(20.0 * 199.0));
    assert_eq!(number("avg", &series), Some(1.99));
    let empty = [histogram(&[])];
    assert_eq!(number("rate", &empty), Some(0.0));
    assert_eq!(
        [
            number("avg", &empty),
            number("p50", &empty),
            number("max", &empty)
        ],
        [None; 3]
    );
    assert_eq!(
        number("rate", &[SeriesHistory::new(SeriesKind::Histogram)]),
        None
    );
}

#[test]
fn lines_are_by_label() {
    let series = [
        (labels("/a", "200"), Some(counter(1, 5))),
        (labels("/a", "500"), Some(counter(2, 5))),
        (labels("/b", "200"), Some(counter(4, 5))),
    ];
    let rates = |query: &Query| -> Vec<_> {
        let result = run(query, &series);
        assert!(!result.truncated);
        let line = |line: &QuerySeries| {
            let values: Vec<_> = line.labels.iter().map(|(_, value)| value.clone()).collect();
            (values.join(" "), line.points[0].1.expect("a rate"))
        };
        result.series.iter().map(line).collect()
    };
    let query = || query(5, 5, "rate");
    assert_eq!(rates(&query()), [(String::new(), 7.0)]);
    assert_eq!(
        rates(&query().by(["route"])),
        [("/a".to_owned(), 3.0), ("/b".to_owned(), 4.0)]
    );
    assert_eq!(rates(&query().by(["shop"])), [(String::new(), 7.0)]);
    assert_eq!(
        rates(&query().by(["*"])),
        [
            ("/a 200".to_owned(), 1.0),
            ("/a 500".to_owned(), 2.0),
            ("/b 200".to_owned(), 4.0)
        ]
    );
    let filtered = query()
        .filter(Filter::is("status", "200"))
        .filter(Filter::is_not("route", "/b"));
    assert_eq!(rates(&filtered), [(String::new(), 1.0)]);
}

#[test]
fn result_says_that_something_is_missing() {
    let series = [
        (labels("/a", "200"), Some(counter(1, 5))),
        (labels("/b", "200"), Some(counter(2, 5))),
    ];
    let result = run(&query(5, 5, "rate").by(["route"]).limit(1), &series);
    assert_eq!((result.series.len(), result.truncated), (1, true));
    let result = run(&query(5, 5, "rate").by(["route"]).limit(2), &series);
    assert_eq!((result.series.len(), result.truncated), (2, false));
    let result = run(&query(5, 5, "rate"), &[(labels("/a", "200"), None)]);
    assert_eq!((result.series.len(), result.truncated), (0, true));
    assert_eq!(result.without_history, 1);
    let other = query(5, 5, "rate").filter(Filter::is("status", "500"));
    assert!(
        !run(&other, &[(labels("/a", "200"), None)]).truncated,
        "no part of the question"
    );
}

#[test]
fn aggregation_that_does_not_fit_the_kind_is_named() {
    let error = |kind, aggregation| {
        let result = evaluate(&query(5, 5, aggregation), kind, NOW, []);
        result.expect_err("does not fit").to_string()
    };
    assert_eq!(
        error(SeriesKind::Counter, "p95"),
        "agg is p95, must be sum, avg, min, max, rate or count for a counter"
    );
    assert_eq!(
        error(SeriesKind::Gauge, "rate"),
        "agg is rate, must be sum, avg, min, max or count for a gauge"
    );
    let error = evaluate(&Query::new(""), SeriesKind::Gauge, NOW, []).expect_err("no name");
    assert_eq!(error.field(), "name");
}

#[test]
fn steps_begin_at_multiples_of_their_length() {
    let points = |query: &Query| {
        run(query, &[(labels("/", "200"), Some(counter(1, 25)))]).series[0]
            .points
            .clone()
    };
    // NOW ends in 19: the last step has begun ten seconds ago.
    assert_eq!(
        points(&query(30, 10, "sum")),
        [
            (999_990, Some(5.0)),
            (1_000_000, Some(10.0)),
            (1_000_010, Some(10.0))
        ]
    );
    let ends_earlier = query(20, 10, "sum").end(1_000_005);
    assert_eq!(
        points(&ends_earlier),
        [(999_990, Some(5.0)), (1_000_000, Some(10.0))]
    );
    assert_eq!(
        points(&query(3, 1, "rate")),
        [(NOW - 2, Some(1.0)), (NOW - 1, Some(1.0)), (NOW, Some(1.0))]
    );
    assert_eq!(points(&query(60, 30, "sum"))[0].1, None, "a gap");
}
