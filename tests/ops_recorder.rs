//! The recorder of `ops` for the whole process: what a recording costs, and that nothing grows while nobody looks.
#![cfg(feature = "ops")]

#[path = "../benches/support/allocations.rs"]
mod allocations;

use tower_keep::{
    Context,
    ops::recorder::{Recorder, Value},
};

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

fn allocations(call: impl FnMut()) -> f64 {
    allocations::per_call(call).0
}

#[test]
fn recording_on_a_kept_handle_does_not_allocate() {
    let recorder = Recorder::new();
    let (orders, open, wait) = metrics::with_local_recorder(&recorder, || {
        (
            metrics::counter!("orders_total"),
            metrics::gauge!("open"),
            metrics::histogram!("wait_seconds"),
        )
    });
    assert_eq!(allocations(|| orders.increment(1)), 0.0);
    assert_eq!(allocations(|| open.increment(1.0)), 0.0);
    assert_eq!(allocations(|| wait.record(0.02)), 0.0);
    // The first exemplar takes the space of all.
    assert_eq!(
        Context::new_root().run(|| allocations(|| wait.record(0.02))),
        0.0
    );
    recorder.tick(1);
    assert_eq!(allocations(|| orders.increment(1)), 0.0);
    assert_eq!(allocations(|| wait.record(0.02)), 0.0);
}

#[test]
fn lookup_by_labels_of_the_program_does_not_allocate() {
    let recorder = Recorder::new();
    let add = || metrics::counter!("orders_total", "shop" => "eu").increment(1);
    metrics::with_local_recorder(&recorder, || assert_eq!(allocations(add), 0.0));
}

#[test]
fn memory_is_flat_while_nobody_scrapes_or_ticks() {
    let recorder = Recorder::new();
    let wait = metrics::with_local_recorder(&recorder, || metrics::histogram!("wait_seconds"));
    let record =
        |times: u32| (0..times).for_each(|turn| wait.record(f64::from(turn % 1_000) / 100.0));
    record(1_000);
    let before = (allocations::so_far(), recorder.heap_bytes());
    record(10_000_000);
    assert_eq!(allocations::so_far(), before.0);
    assert_eq!(recorder.heap_bytes(), before.1);
    assert!(before.1 < 64 * 1_024, "{}", before.1);
    let count = recorder
        .value("wait_seconds", &[])
        .map(|value| value.number());
    assert_eq!(count, Some(10_001_000.0));
}

#[test]
fn recorder_is_installed_once() {
    let recorder = Recorder::builder()
        .max_series(5)
        .install()
        .expect("the first");
    tower_keep::ops::metrics().increment("installed_total", 2, &[]);
    metrics::counter!("installed_total").increment(1);
    assert_eq!(
        recorder.value("installed_total", &[]),
        Some(Value::Counter(3))
    );
    let all = tower_keep::ops::metrics().snapshot();
    assert!(all.iter().any(|series| series.name == "installed_total"));
    let error = recorder
        .fanout(Recorder::new())
        .install()
        .expect_err("the second");
    assert!(error.is_already_installed());
    let error = Recorder::builder()
        .max_series(0)
        .install()
        .expect_err("invalid");
    assert_eq!(error.setting_name(), Some("max_series"));
    assert!(Recorder::installed().is_some());
}
