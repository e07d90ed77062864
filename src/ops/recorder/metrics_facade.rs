use std::time::Duration;

use metrics::{Key, Label, Level, Metadata, with_recorder};

use super::{Recorder, SeriesSnapshot};

static METADATA: Metadata<'static> = Metadata::new("tower_keep::ops", Level::INFO, None);

/// A facade for code that does not use the macros of the `metrics` crate: one method per kind of metric.
///
/// Each call looks the series up and allocates its labels. Where that counts, keep a handle of the `metrics` crate.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::ops::recorder::Recorder;
///
/// let metrics = Recorder::new().metrics();
/// metrics.increment("orders_total", 1, &[("shop", "eu")]);
/// metrics.timing("order_seconds", Duration::from_millis(20), &[]);
/// metrics.record("order_items", 3.0, &[]);
/// metrics.set("shops_open", 2.0, &[]);
/// let all = metrics.snapshot();
/// let orders = all.iter().find(|series| series.name == "orders_total").expect("it was recorded");
/// assert_eq!(orders.value.number(), 1.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metrics(Option<Recorder>);

impl Metrics {
    pub(super) fn of(recorder: Recorder) -> Self {
        Metrics(Some(recorder))
    }

    /// Creates a facade of whatever recorder the process has; without one, what is recorded is dropped.
    ///
    /// ```
    /// use tower_keep::ops::recorder::Metrics;
    ///
    /// Metrics::global().increment("orders_total", 1, &[]);
    /// ```
    pub fn global() -> Self {
        Metrics(None)
    }

    /// Records a value in a histogram.
    pub fn record(&self, name: &str, value: f64, labels: &[(&str, &str)]) {
        self.with(name, labels, |recorder, key| {
            recorder.register_histogram(key, &METADATA).record(value)
        });
    }

    /// Records a duration in a histogram, in seconds; the name should end in `_seconds`.
    pub fn timing(&self, name: &str, duration: Duration, labels: &[(&str, &str)]) {
        self.record(name, duration.as_secs_f64(), labels);
    }

    /// Adds to a counter.
    pub fn increment(&self, name: &str, by: u64, labels: &[(&str, &str)]) {
        self.with(name, labels, |recorder, key| {
            recorder.register_counter(key, &METADATA).increment(by)
        });
    }

    /// Sets a gauge.
    pub fn set(&self, name: &str, value: f64, labels: &[(&str, &str)]) {
        self.with(name, labels, |recorder, key| {
            recorder.register_gauge(key, &METADATA).set(value)
        });
    }

    /// Returns a copy of all series with their values; none if the process has another recorder only.
    pub fn snapshot(&self) -> Vec<SeriesSnapshot> {
        let recorder = self.0.clone().or_else(Recorder::installed);
        recorder.map_or_else(Vec::new, |recorder| recorder.snapshot())
    }

    fn with(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        record: impl FnOnce(&dyn metrics::Recorder, &Key),
    ) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| Label::new(name.to_string(), value.to_string()))
            .collect();
        let key = Key::from_parts(name.to_owned(), labels);
        match &self.0 {
            Some(recorder) => record(recorder, &key),
            None => with_recorder(|recorder| record(recorder, &key)),
        }
    }
}
