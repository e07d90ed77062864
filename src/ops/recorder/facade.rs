//! The recorder as the `metrics` facade sees it.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use super::{Recorder, series::Cell};
use crate::ops::series::SeriesKind;

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), unit, &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), unit, &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.0.describe(key.as_str(), unit, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if let Some(known) = self.0.counters.get(key) {
            return known;
        }
        let (series, is_stable) = self.0.register(key, SeriesKind::Counter);
        let Some(Cell::Counter(cell)) = series.map(|series| series.cell.clone()) else {
            return Counter::noop();
        };
        let counter = Counter::from_arc(cell);
        if is_stable {
            self.0.counters.add(key, &counter);
        }
        counter
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if let Some(known) = self.0.gauges.get(key) {
            return known;
        }
        let (series, is_stable) = self.0.register(key, SeriesKind::Gauge);
        let Some(Cell::Gauge(cell)) = series.map(|series| series.cell.clone()) else {
            return Gauge::noop();
        };
        let gauge = Gauge::from_arc(cell);
        if is_stable {
            self.0.gauges.add(key, &gauge);
        }
        gauge
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if let Some(known) = self.0.histograms.get(key) {
            return known;
        }
        let (series, is_stable) = self.0.register(key, SeriesKind::Histogram);
        let Some(Cell::Histogram(cell)) = series.map(|series| series.cell.clone()) else {
            return Histogram::noop();
        };
        let histogram = Histogram::from_arc(cell);
        if is_stable {
            self.0.histograms.add(key, &histogram);
        }
        histogram
    }
}
