use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
    SharedString, Unit,
};

use super::{Recorder, recorder::ALREADY_INSTALLED};
use crate::call::InstallError;

/// A recorder that hands everything to a [`Recorder`] and to another one; made by [`Recorder::fanout`].
#[derive(Clone, Debug)]
pub struct Fanout<R> {
    recorder: Recorder,
    other: R,
}

impl<R> Fanout<R> {
    pub(super) fn new(recorder: Recorder, other: R) -> Self {
        Fanout { recorder, other }
    }

    /// Installs both recorders for the whole process.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has a recorder already.
    pub fn install(self) -> Result<(), InstallError>
    where
        // The other recorder, as the facade needs it.
        R: metrics::Recorder + Send + Sync + 'static,
    {
        let recorder = self.recorder.clone();
        metrics::set_global_recorder(self)
            .map_err(|_| InstallError::already_installed(ALREADY_INSTALLED))?;
        recorder.remember();
        Ok(())
    }
}

/// Two handles of the same metric.
struct Both<H>(H, H);

impl CounterFn for Both<Counter> {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
        self.1.absolute(value);
    }
}

impl GaugeFn for Both<Gauge> {
    fn increment(&self, value: f64) {
        self.0.increment(value);
        self.1.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
        self.1.decrement(value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
        self.1.set(value);
    }
}

impl HistogramFn for Both<Histogram> {
    fn record(&self, value: f64) {
        self.0.record(value);
        self.1.record(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.0.record_many(value, count);
        self.1.record_many(value, count);
    }
}

impl<R> metrics::Recorder for Fanout<R>
where
    // The other recorder.
    R: metrics::Recorder,
{
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder
            .describe_counter(key.clone(), unit, description.clone());
        self.other.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder
            .describe_gauge(key.clone(), unit, description.clone());
        self.other.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.recorder
            .describe_histogram(key.clone(), unit, description.clone());
        self.other.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let ours = self.recorder.register_counter(key, metadata);
        Counter::from_arc(Arc::new(Both(
            ours,
            self.other.register_counter(key, metadata),
        )))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let ours = self.recorder.register_gauge(key, metadata);
        Gauge::from_arc(Arc::new(Both(
            ours,
            self.other.register_gauge(key, metadata),
        )))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let ours = self.recorder.register_histogram(key, metadata);
        Histogram::from_arc(Arc::new(Both(
            ours,
            self.other.register_histogram(key, metadata),
        )))
    }
}
