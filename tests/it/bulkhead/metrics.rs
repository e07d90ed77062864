//! The metrics of a bulkhead.

use tower_keep::Outcome;

use super::named;
use crate::support::meter::meter;

#[tokio::test(start_paused = true)]
async fn metrics_follow_the_slots_and_count_runs_by_result() {
    let meter = meter();
    let bulkhead = named("metered", 2);
    let own = [("bulkhead", "metered")];
    let gauge = |name: &str| meter.sum(&format!("tower_keep_bulkhead_{name}"), &own);
    let runs = |result| {
        let labels = [own[0], ("result", result)];
        meter.count("tower_keep_bulkhead_run_seconds", &labels)
    };
    let first = bulkhead.try_acquire().expect("free");
    let second = bulkhead.try_acquire().expect("free");
    assert_eq!((gauge("in_flight"), gauge("limit")), (Some(2.0), Some(2.0)));
    bulkhead.try_acquire().expect_err("full");
    let reason = [own[0], ("reason", "full")];
    let rejections = meter.sum("tower_keep_bulkhead_rejections_total", &reason);
    assert_eq!(rejections, Some(1.0));
    first.complete(Outcome::Success);
    second.complete(Outcome::Failure);
    drop(bulkhead.try_acquire());
    assert_eq!(gauge("in_flight"), Some(0.0));
    let results = ["done", "failed", "inconclusive"].map(runs);
    assert_eq!(results, [1.0, 1.0, 1.0]);
}

#[test]
fn limit_in_the_metrics_is_that_of_the_last_change() {
    let meter = meter();
    let bulkhead = named("resized metrics", 2);
    let limit = || {
        meter.sum(
            "tower_keep_bulkhead_limit",
            &[("bulkhead", "resized metrics")],
        )
    };
    drop(bulkhead.try_acquire());
    assert_eq!(limit(), Some(2.0));
    let mut settings = bulkhead.settings();
    settings.limit = 5;
    bulkhead.apply(&settings).expect("valid settings");
    assert_eq!(limit(), Some(5.0));
}

#[test]
fn recorder_that_panics_keeps_no_slot() {
    struct Panics;
    impl metrics::Recorder for Panics {
        fn describe_counter(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn describe_gauge(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn describe_histogram(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
        }
        fn register_counter(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Counter {
            std::panic::resume_unwind(Box::new("a recorder"))
        }
        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            std::panic::resume_unwind(Box::new("a recorder"))
        }
        fn register_histogram(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Histogram {
            std::panic::resume_unwind(Box::new("a recorder"))
        }
    }
    let bulkhead = named("broken recorder", 1);
    metrics::with_local_recorder(&Panics, || {
        for _ in 0..3 {
            let permit = bulkhead.try_acquire().expect("free");
            bulkhead.try_acquire().expect_err("full");
            permit.complete(Outcome::Success);
        }
    });
    assert_eq!((bulkhead.in_flight(), bulkhead.stats().done), (0, 3));
}
