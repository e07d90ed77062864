//! The bounds of the recorder, and what it says about what is beyond.

use metrics::with_local_recorder;
use tower_keep::ops::recorder::{Format, Recorder};

use super::exposition::parse;

fn number(recorder: &Recorder, name: &str, labels: &[(&str, &str)]) -> f64 {
    recorder
        .value(name, labels)
        .unwrap_or_else(|| panic!("{name} {labels:?}"))
        .number()
}

const DROPPED: &str = "tower_keep_ops_series_dropped_total";

#[test]
fn series_beyond_the_bound_are_recorded_in_one() {
    let recorder = Recorder::builder()
        .max_series_per_family(2)
        .build()
        .expect("valid");
    with_local_recorder(&recorder, || {
        for id in 0..10 {
            metrics::counter!("orders_total", "id" => id.to_string()).increment(1);
            metrics::gauge!("open", "id" => id.to_string()).increment(1.0);
            metrics::histogram!("wait_seconds", "id" => id.to_string()).record(1.0);
        }
    });
    let overflow = [("otel_metric_overflow", "true")];
    for name in ["orders_total", "open", "wait_seconds"] {
        assert_eq!(number(&recorder, name, &[("id", "1")]), 1.0);
        assert_eq!(number(&recorder, name, &overflow), 8.0, "{name}");
        assert_eq!(recorder.value(name, &[("id", "2")]), None);
    }
    assert_eq!(
        number(&recorder, DROPPED, &[("reason", "max_series_per_family")]),
        24.0
    );
    parse(&recorder.render(Format::Text), false);
}

#[test]
fn families_beyond_the_bound_are_not_recorded() {
    let recorder = Recorder::builder().max_series(1).build().expect("valid");
    with_local_recorder(&recorder, || {
        metrics::counter!("orders_total", "id" => "1").increment(1);
        metrics::counter!("orders_total", "id" => "2").increment(1);
        metrics::counter!("others_total").increment(1);
    });
    assert_eq!(
        number(
            &recorder,
            "orders_total",
            &[("otel_metric_overflow", "true")]
        ),
        1.0
    );
    assert_eq!(recorder.value("others_total", &[]), None);
    assert_eq!(number(&recorder, DROPPED, &[("reason", "max_series")]), 2.0);
}

#[test]
fn name_of_another_kind_is_not_recorded() {
    let recorder = Recorder::new();
    with_local_recorder(&recorder, || {
        metrics::histogram!("load").record(1.0);
        metrics::gauge!("load").set(7.0);
        metrics::counter!("load_count").increment(7);
    });
    assert_eq!(number(&recorder, "load", &[]), 1.0);
    assert_eq!(number(&recorder, DROPPED, &[("reason", "kind")]), 1.0);
    assert_eq!(number(&recorder, DROPPED, &[("reason", "name")]), 1.0);
    parse(&recorder.render(Format::Text), false);
}

#[test]
fn labels_are_bounded() {
    let recorder = Recorder::builder()
        .max_labels(2)
        .max_label_value(8)
        .build()
        .expect("valid");
    with_local_recorder(&recorder, || {
        metrics::counter!("orders_total", "a" => "1", "b" => "2", "c" => "3").increment(1);
        for end in ["x", "y"] {
            metrics::counter!("orders_total", "a" => format!("12345678{end}")).increment(1);
        }
    });
    assert_eq!(
        number(&recorder, "orders_total", &[("a", "1"), ("b", "2")]),
        1.0
    );
    assert_eq!(number(&recorder, "orders_total", &[("a", "12345…")]), 2.0);
    assert_eq!(
        number(&recorder, "tower_keep_ops_labels_cut_total", &[]),
        3.0
    );
}

#[test]
fn values_that_are_no_numbers_are_counted() {
    let recorder = Recorder::new();
    with_local_recorder(&recorder, || metrics::histogram!("load").record(f64::NAN));
    assert_eq!(number(&recorder, "load", &[]), 0.0);
    assert_eq!(
        number(&recorder, "tower_keep_ops_values_ignored_total", &[]),
        1.0
    );
}

#[test]
fn order_of_labels_does_not_matter() {
    let recorder = Recorder::new();
    with_local_recorder(&recorder, || {
        metrics::counter!("orders_total", "a" => "1", "b" => "2").increment(1);
        metrics::counter!("orders_total", "b" => "2", "a" => "1").increment(1);
    });
    assert_eq!(
        number(&recorder, "orders_total", &[("b", "2"), ("a", "1")]),
        2.0
    );
}

#[test]
fn builder_names_what_is_invalid() {
    let error = |builder: tower_keep::ops::recorder::RecorderBuilder| {
        builder.build().expect_err("invalid").to_string()
    };
    let builder = Recorder::builder;
    assert_eq!(
        error(builder().max_series(0)),
        "recorder: max_series is 0, must be 1 to 1000000"
    );
    assert_eq!(
        error(builder().max_series_per_family(0)),
        "recorder: max_series_per_family is 0, must be 1 to 1000000"
    );
    assert_eq!(
        error(builder().max_labels(129)),
        "recorder: max_labels is 129, must be 1 to 128"
    );
    assert_eq!(
        error(builder().max_label_value(7)),
        "recorder: max_label_value is 7, must be 8 to 4096"
    );
    assert_eq!(
        error(builder().history_series(1_000_001)),
        "recorder: history_series is 1000001, must be 0 to 1000000"
    );
    assert_eq!(
        error(builder().history_histograms(1_000_001)),
        "recorder: history_histograms is 1000001, must be 0 to 1000000"
    );
    for bounds in [&[][..], &[1.0, 1.0], &[f64::INFINITY], &[0.5; 201]] {
        let error = error(builder().buckets("load", bounds));
        assert!(
            error.ends_with("for load, must be 1 to 200 finite bounds that ascend"),
            "{error}"
        );
    }
    assert_eq!(
        error(builder().buckets("_", &[1.0])),
        r#"recorder: buckets is "_", must be the name or the end of the name of a metric"#
    );
}

#[test]
fn buckets_fit_the_name() {
    let recorder = Recorder::builder()
        .buckets("_wait_seconds", &[7.0])
        .buckets("own_wait_seconds", &[8.0])
        .build()
        .expect("valid");
    for (name, first) in [
        ("load_seconds", "0.005"),
        ("load_bytes", "1024"),
        ("http_server_stream_duration_seconds", "1"),
        ("queue_wait_seconds", "7"),
        ("own_wait_seconds", "8"),
        ("load", "0"),
    ] {
        with_local_recorder(&recorder, || metrics::histogram!(name).record(1.0));
        let families = parse(&recorder.render(Format::Text), false);
        assert_eq!(families[name].samples[0].labels["le"], first, "{name}");
    }
}

#[test]
fn recordings_of_two_threads_are_all_counted() {
    const EACH: u64 = 500_000;
    let recorder = Recorder::new();
    let (orders, open, wait) = with_local_recorder(&recorder, || {
        (
            metrics::counter!("orders_total"),
            metrics::gauge!("open"),
            metrics::histogram!("wait_seconds"),
        )
    });
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (orders, open, wait, recorder) = (&orders, &open, &wait, &recorder);
            scope.spawn(move || {
                for turn in 0..EACH {
                    orders.increment(1);
                    open.increment(1.0);
                    wait.record(f64::from(thread) + 0.5);
                    // While the other one records: numbers are moved, and spread over the threads.
                    if turn % 100_000 == 0 {
                        recorder.tick(turn);
                    }
                }
            });
        }
    });
    assert_eq!(number(&recorder, "orders_total", &[]), 1_000_000.0);
    assert_eq!(number(&recorder, "open", &[]), 1_000_000.0);
    let wait = recorder.value("wait_seconds", &[]).expect("recorded");
    let wait = wait.histogram().expect("a histogram");
    assert_eq!((wait.count(), wait.sum()), (1_000_000, 1_000_000.0));
    let families = parse(&recorder.render(Format::Text), false);
    let half = families["wait_seconds"]
        .samples
        .iter()
        .find(|sample| sample.labels["le"] == "0.5")
        .expect("a bound");
    assert_eq!(half.value, 500_000.0);
}
