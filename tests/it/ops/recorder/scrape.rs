//! Both formats, read back.

use tower_keep::{
    Context,
    ops::recorder::{Format, Recorder},
};

use super::{exposition::parse, record_everything};

#[test]
fn text_format_reads_back() {
    let recorder = Recorder::new();
    record_everything(&recorder);
    let families = parse(&recorder.render(Format::Text), false);
    let orders = &families["orders_total"];
    assert_eq!(orders.kind, "counter");
    assert_eq!(orders.help.as_deref(), Some("Orders \"of\" all\nkinds \\"));
    let shops: Vec<_> = orders
        .samples
        .iter()
        .map(|sample| (&*sample.labels["shop"], sample.value))
        .collect();
    assert_eq!(
        shops,
        [("a\"b\\c\nd", 7.0), ("eu", 7.0), ("us", 7.0), ("ä", 7.0)]
    );
    assert_eq!(families["far"].samples[0].value, 1e300);
    assert_eq!(families["temperature_celsius"].samples[0].value, -3.25);
    let dots = &families["with_dots_and_dashes"].samples[0].labels;
    assert_eq!((&*dots["a_label"], &*dots["exported_le"]), ("x", "1"));
}

#[test]
fn open_metrics_reads_back() {
    let recorder = Recorder::new();
    record_everything(&recorder);
    let families = parse(&recorder.render(Format::OpenMetrics), true);
    assert_eq!(families["orders"].samples[0].name, "orders_total");
    assert_eq!(families["orders"].unit, None);
    assert_eq!(families["plain"].samples[0].name, "plain_total");
    assert_eq!(families["wait_seconds"].unit.as_deref(), Some("seconds"));
    assert_eq!(families["pool_bytes"].unit.as_deref(), Some("bytes"));
    let bounds: Vec<_> = families["body_size_bytes"]
        .samples
        .iter()
        .filter_map(|sample| sample.labels.get("le"))
        .collect();
    assert_eq!(
        (bounds[0].as_str(), bounds[12].as_str()),
        ("1024.0", "4.294967296e+09")
    );
}

#[test]
fn exposed_buckets_have_exact_counts() {
    let recorder = Recorder::builder()
        .buckets("wait_seconds", &[0.1, 0.101, 0.2, 1.0])
        .build()
        .expect("valid");
    metrics::with_local_recorder(&recorder, || {
        let wait = metrics::histogram!("wait_seconds");
        // All but two are in the same log-linear bucket.
        for value in [0.1, 0.1001, 0.1005, 0.101, 0.1011, 0.2, 0.2001] {
            wait.record(value);
        }
    });
    for format in [Format::Text, Format::OpenMetrics] {
        let families = parse(&recorder.render(format), format == Format::OpenMetrics);
        let counts: Vec<_> = families["wait_seconds"].samples[..5]
            .iter()
            .map(|sample| sample.value)
            .collect();
        assert_eq!(counts, [1.0, 4.0, 6.0, 7.0, 7.0]);
    }
}

#[test]
fn exemplars_have_the_trace_of_their_call() {
    let recorder = Recorder::new();
    let wait = metrics::with_local_recorder(&recorder, || metrics::histogram!("wait_seconds"));
    let (fast, slow) = (Context::new_root(), Context::new_root());
    fast.run(|| wait.record(0.02));
    slow.run(|| wait.record(99.0));
    wait.record(0.3);
    let families = parse(&recorder.render(Format::OpenMetrics), true);
    let exemplars: Vec<_> = families["wait_seconds"]
        .samples
        .iter()
        .filter_map(|sample| {
            let (labels, value, _) = sample.exemplar.as_ref()?;
            Some((&*sample.labels["le"], labels["trace_id"].clone(), *value))
        })
        .collect();
    assert_eq!(
        exemplars,
        [
            ("0.025", fast.trace_id().to_string(), 0.02),
            ("+Inf", slow.trace_id().to_string(), 99.0)
        ]
    );
    assert!(!recorder.render(Format::Text).contains("trace_id"));
    // The next tick lets buckets take new ones.
    slow.run(|| wait.record(0.021));
    assert!(!recorder.render(Format::OpenMetrics).contains("0.021"));
    recorder.tick(1_700_000_000);
    slow.run(|| wait.record(0.021));
    assert!(recorder.render(Format::OpenMetrics).contains("0.021"));
}

#[test]
fn families_have_units_and_descriptions() {
    let recorder = Recorder::new();
    record_everything(&recorder);
    let families = recorder.families();
    assert!(families.is_sorted_by(|a, b| a.name < b.name));
    let of = |name: &str| {
        let family = families
            .iter()
            .find(|family| family.name == name)
            .expect(name);
        (
            family.kind.as_str(),
            family.unit,
            family.help.as_str(),
            family.series,
        )
    };
    assert_eq!(
        of("wait_seconds"),
        ("histogram", Some("seconds"), "Time in the queue", 4)
    );
    assert_eq!(of("body_size_bytes"), ("histogram", Some("bytes"), "", 1));
    assert_eq!(of("orders_total").1, None, "a count has no unit");
    assert_eq!(of("plain"), ("counter", None, "", 1));
}

#[test]
fn own_metrics_are_documented() {
    let list = include_str!("../../../../docs/metrics.md");
    for family in Recorder::new().families() {
        let row = list
            .lines()
            .find(|line| line.starts_with(&format!("| `{}`", family.name)));
        let meaning = family.help.trim_end_matches('.').to_lowercase();
        assert!(row.is_some_and(|row| row.contains(&meaning)), "{family:?}");
    }
}
