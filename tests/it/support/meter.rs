//! A recorder that can be read.

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString,
    Unit,
};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tower_keep::track::{DURATION_BUCKETS, SIZE_BUCKETS};

/// The metrics of this thread while it lives.
pub struct Meter {
    handle: PrometheusHandle,
    recorder: &'static PrometheusRecorder,
    _default: LocalRecorderGuard<'static>,
}

/// Makes this thread's metrics known to the test.
pub fn meter() -> Meter {
    let suffix = |suffix: &str| Matcher::Suffix(suffix.to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &DURATION_BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_bytes"), &SIZE_BUCKETS))
        .expect("buckets")
        .build_recorder();
    // For as long as the guard lives, which is why it is never dropped.
    let recorder: &'static PrometheusRecorder = Box::leak(Box::new(recorder));
    Meter {
        handle: recorder.handle(),
        recorder,
        _default: metrics::set_default_local_recorder(recorder),
    }
}

pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Meter {
    pub fn recorder(&self) -> &'static PrometheusRecorder {
        self.recorder
    }

    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// All series of that name: their labels in the order of the alphabet, and their values.
    pub fn series(&self, name: &str) -> Vec<(String, f64)> {
        let mut series: Vec<_> = self
            .render()
            .lines()
            .filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let (labels, value) = rest.rsplit_once(' ')?;
                let labels = match labels {
                    "" => Vec::new(),
                    _ => split(labels.strip_prefix('{')?.strip_suffix('}')?),
                };
                Some((labels, value.parse().ok()?))
            })
            .map(|(mut labels, value)| {
                labels.sort_unstable();
                (labels.join(","), value)
            })
            .collect();
        series.sort_by(|(one, _), (other, _)| one.cmp(other));
        series
    }

    /// The sum of the series that have at least these labels; `None` if there is no such series.
    pub fn sum(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""))
            .collect();
        let has_all = |labels: &str| {
            let labels = split(labels);
            wanted.iter().all(|wanted| labels.contains(wanted))
        };
        let values: Vec<f64> = self
            .series(name)
            .into_iter()
            .filter_map(|(labels, value)| has_all(&labels).then_some(value))
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Returns how many values a histogram has.
    pub fn count(&self, histogram: &str, labels: Labels<'_>) -> f64 {
        self.sum(&format!("{histogram}_count"), labels)
            .unwrap_or(0.0)
    }

    /// Returns how many calls ended so.
    pub fn calls(&self, labels: Labels<'_>) -> f64 {
        self.sum("tower_keep_calls_total", labels).unwrap_or(0.0)
    }
}

/// Labels by their commas; those of the tests have none in their values.
fn split(labels: &str) -> Vec<String> {
    let labels = labels.split(',').filter(|label| !label.is_empty());
    labels.map(str::to_owned).collect()
}

/// A recorder that is replaced by the next one as soon as it is asked for a gauge.
pub struct Replaced(pub &'static PrometheusRecorder);

impl Recorder for Replaced {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        // For the rest of this thread's life, as a global one would be.
        std::mem::forget(metrics::set_default_local_recorder(self.0));
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
