use super::{Recorder, bounds::Bounds, bucket_table::BucketTable, limits::Limits};
use crate::{
    call::{ConfigError, InstallError, check_range},
    track::{DURATION_BUCKETS, SIZE_BUCKETS, STREAM_DURATION_BUCKETS},
};

/// The names of the durations of streams, classic ones included.
const STREAM_DURATIONS: [&str; 3] = [
    "http_server_stream_duration_seconds",
    "http_client_stream_duration_seconds",
    "http_stream_duration_seconds",
];

/// The bounds of histograms that no other apply to: those that OpenTelemetry has by default.
const OTHER_BUCKETS: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1_000.0, 2_500.0, 5_000.0,
    7_500.0, 10_000.0,
];

/// A million series of a few hundred bytes are more than one process should have.
const MAX_SERIES: usize = 1_000_000;
const MAX_LABELS: usize = 128;
const MAX_LABEL_VALUE: usize = 4_096;

/// A builder of a [`Recorder`]; made by [`Recorder::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RecorderBuilder {
    limits: Limits,
    buckets: Vec<(String, Vec<f64>)>,
}

impl Default for RecorderBuilder {
    fn default() -> Self {
        let builder = RecorderBuilder {
            limits: Limits::default(),
            buckets: Vec::new(),
        }
        .buckets("_seconds", &DURATION_BUCKETS)
        .buckets("_bytes", &SIZE_BUCKETS);
        STREAM_DURATIONS.into_iter().fold(builder, |builder, name| {
            builder.buckets(name, &STREAM_DURATION_BUCKETS)
        })
    }
}

impl RecorderBuilder {
    /// Sets the maximum number of series in all, 1 to 1,000,000.
    ///
    /// Series beyond it are recorded in that of their family which is labeled `otel_metric_overflow="true"`; a family that would
    /// be new is not recorded. Default: 10,000, which Prometheus takes in well below a second.
    pub fn max_series(mut self, series: usize) -> Self {
        self.limits.series = series;
        self
    }

    /// Sets the maximum number of series of one name, 1 to 1,000,000, so that one of them leaves room for others. Default: 2,000.
    pub fn max_series_per_family(mut self, series: usize) -> Self {
        self.limits.series_per_family = series;
        self
    }

    /// Sets the maximum number of labels of one series, 1 to 128; further ones are left out. Default: 32.
    pub fn max_labels(mut self, labels: usize) -> Self {
        self.limits.labels = labels;
        self
    }

    /// Sets the maximum length of the value of a label, 8 to 4,096 bytes; longer ones are truncated. Default: 256.
    pub fn max_label_value(mut self, bytes: usize) -> Self {
        self.limits.label_value = bytes;
        self
    }

    /// Sets the number of counters and gauges that have a history, at most 1,000,000: those with the most traffic. 0 keeps none.
    ///
    /// After a day, the history of a counter takes about 20 KiB, and that of a gauge 65 KiB. Default: 1,000.
    pub fn history_series(mut self, series: usize) -> Self {
        self.limits.history_series = series;
        self
    }

    /// Sets the number of histograms that have a history, at most 1,000,000: durations (`_seconds`) before all others, then those
    /// with the most traffic. 0 keeps none.
    ///
    /// After a day, the history of a histogram takes 100 to 800 KiB, the more the more its values differ. Default: 300, which is
    /// 30 to 240 MiB after a day where there are as many. Rates and errors of routes miss the calls of durations beyond it.
    pub fn history_histograms(mut self, series: usize) -> Self {
        self.limits.history_histograms = series;
        self
    }

    /// Sets the upper bounds of the exposed buckets of a histogram, in its unit, without the last one (`+Inf`).
    ///
    /// `metric` is a whole name (`operation_duration_seconds`), or an end of names if it begins with `_` (`_ratio`). Whole
    /// names take precedence, then the longest end. The bounds must be finite and ascend; at most 200. The latest call for a
    /// name wins. Percentiles and history do not depend on them. Default: `DURATION_BUCKETS` for `_seconds`, `SIZE_BUCKETS` for
    /// `_bytes`, `STREAM_DURATION_BUCKETS` for the durations of streams, 0 to 10,000 for all others, as OpenTelemetry has it.
    pub fn buckets(mut self, metric: impl Into<String>, bounds: &[f64]) -> Self {
        let metric = metric.into();
        self.buckets.retain(|(other, _)| *other != metric);
        self.buckets.push((metric, bounds.to_vec()));
        self
    }

    /// Checks the settings and returns the recorder, which records once it is installed or handed to a
    /// [fan-out](Recorder::fanout).
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid.
    ///
    /// ```
    /// use tower_keep::ops::recorder::Recorder;
    ///
    /// let error = Recorder::builder().max_series(0).build().expect_err("no room");
    /// assert_eq!(error.to_string(), "recorder: max_series is 0, must be 1 to 1000000");
    /// ```
    pub fn build(self) -> Result<Recorder, ConfigError> {
        let Limits {
            series,
            series_per_family,
            labels,
            label_value,
            history_series,
            history_histograms,
        } = self.limits;
        for (field, value, allowed) in [
            ("max_series", series, 1..=MAX_SERIES),
            ("max_series_per_family", series_per_family, 1..=MAX_SERIES),
            ("max_labels", labels, 1..=MAX_LABELS),
            ("max_label_value", label_value, 8..=MAX_LABEL_VALUE),
            ("history_series", history_series, 0..=MAX_SERIES),
            ("history_histograms", history_histograms, 0..=MAX_SERIES),
        ] {
            check_range("recorder", field, value, allowed)?;
        }
        for (metric, bounds) in &self.buckets {
            check_buckets(metric, bounds)?;
        }
        let buckets = BucketTable::new(self.buckets, &OTHER_BUCKETS);
        Ok(Recorder::with(self.limits, buckets))
    }

    /// Checks the settings, and installs the recorder for the whole process.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid, or if a recorder is installed already.
    pub fn install(self) -> Result<Recorder, InstallError> {
        let recorder = self.build()?;
        recorder.install()?;
        Ok(recorder)
    }
}

fn check_buckets(metric: &str, bounds: &[f64]) -> Result<(), ConfigError> {
    if metric.is_empty() || metric == "_" {
        let expected = "the name or the end of the name of a metric";
        return Err(ConfigError::new(
            "recorder",
            "buckets",
            format!("{metric:?}"),
            expected,
        ));
    }
    let is_ascending =
        bounds.is_sorted_by(|a, b| a < b) && bounds.iter().all(|bound| bound.is_finite());
    match is_ascending && (1..=Bounds::MAX).contains(&bounds.len()) {
        true => Ok(()),
        false => {
            let got = format!("{bounds:?} for {metric}");
            let expected = format!("1 to {} finite bounds that ascend", Bounds::MAX);
            Err(ConfigError::new("recorder", "buckets", got, expected))
        }
    }
}
