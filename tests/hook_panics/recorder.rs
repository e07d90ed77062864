//! A recorder of metrics.

use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tower::Layer;
use tower_keep::{
    ErrorTracker, GuardLayer, Outcome, Track, operation,
    testing::{RecordingGuard, Reply, Script},
};

use super::{clumsy, counted, play};

/// Panics when a metric is registered, or when it is used.
struct ClumsyRecorder {
    when_registered: bool,
}

struct ClumsyMetric;

impl CounterFn for ClumsyMetric {
    fn increment(&self, _: u64) {
        clumsy()
    }
    fn absolute(&self, _: u64) {
        clumsy()
    }
}
impl GaugeFn for ClumsyMetric {
    fn increment(&self, _: f64) {
        clumsy()
    }
    fn decrement(&self, _: f64) {
        clumsy()
    }
    fn set(&self, _: f64) {
        clumsy()
    }
}
impl HistogramFn for ClumsyMetric {
    fn record(&self, _: f64) {
        clumsy()
    }
}

impl ClumsyRecorder {
    fn registered(&self) -> Arc<ClumsyMetric> {
        if self.when_registered {
            clumsy()
        }
        Arc::new(ClumsyMetric)
    }
}

impl Recorder for ClumsyRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.registered())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.registered())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.registered())
    }
}

#[test]
fn recorder_panic_is_contained() {
    for when_registered in [true, false] {
        let recorder = ClumsyRecorder { when_registered };
        let (outer, inner, errors) = (
            RecordingGuard::new(),
            RecordingGuard::new(),
            ErrorTracker::default(),
        );
        let track = Track::builder("clumsy")
            .errors(errors.clone())
            .build()
            .unwrap();
        let operation = operation("clumsy").errors(errors.clone());
        let guards = (outer.clone(), (track, (operation, inner.clone())));
        let script = Script::always(|| Reply::status(500).data("oh"));
        let panics = counted(|| {
            metrics::with_local_recorder(&recorder, || {
                assert_eq!(play(GuardLayer::server(guards).layer(script.clone())), "oh");
            });
        });
        assert!(panics > 0, "registered: {when_registered}");
        assert_eq!(outer.single().outcome, Outcome::Failure);
        assert_eq!(inner.single().outcome, Outcome::Failure);
        assert_eq!(
            errors.total(),
            2,
            "the error is recorded all the same, by both"
        );
    }
}
