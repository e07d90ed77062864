use std::{sync::mpsc, thread, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusHandle, PrometheusRecorder};

use super::Prometheus;
use crate::{
    call::{ConfigError, InstallError},
    track::{DURATION_BUCKETS, SIZE_BUCKETS, STREAM_DURATION_BUCKETS},
};

/// The period of the exporter's own upkeep: short enough that a busy process collects few thousand values per series.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

const ALREADY_INSTALLED: &str = "prometheus: a metrics recorder is installed already; install only once and clone the handle, or \
                                 remove the other recorder";
const NO_UPKEEP: &str = "prometheus: the thread of the upkeep cannot be started";

/// The names of the durations of streams, classic ones included. Whole names, since the recorder prefers those to suffixes.
const STREAM_DURATIONS: [&str; 3] = [
    "http_server_stream_duration_seconds",
    "http_client_stream_duration_seconds",
    "http_stream_duration_seconds",
];

/// The labels that the text format gives a meaning.
const RESERVED_LABELS: [&str; 2] = ["le", "quantile"];

/// A builder of the recorder for Prometheus; made by [`builder`](super::builder).
#[derive(Clone, Debug)]
#[must_use]
pub struct PrometheusBuilder {
    buckets: Vec<(String, Vec<f64>)>,
    global_labels: Vec<(String, String)>,
}

impl Default for PrometheusBuilder {
    fn default() -> Self {
        let builder = PrometheusBuilder {
            buckets: Vec::new(),
            global_labels: Vec::new(),
        }
        .buckets("_seconds", &DURATION_BUCKETS)
        .buckets("_bytes", &SIZE_BUCKETS);
        STREAM_DURATIONS.into_iter().fold(builder, |builder, name| {
            builder.buckets(name, &STREAM_DURATION_BUCKETS)
        })
    }
}

impl PrometheusBuilder {
    /// Adds a label to all series, such as the region. A label of a series takes precedence.
    ///
    /// The name consists of letters, digits and `_`, begins with none of `0` to `9` nor with `__`, and is not `le` or
    /// `quantile`. Default: no labels, since Prometheus itself adds those of the instance.
    pub fn global_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.global_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the upper bounds of the buckets of a histogram, in its unit, without the last one (`+Inf`).
    ///
    /// `metric` is a whole name (`operation_duration_seconds`), or what names end in if it begins with `_` (`_ratio`). Whole
    /// names take precedence. The bounds must be finite and ascend. The latest call for a name wins. Default: the buckets that
    /// the [module](super) lists.
    pub fn buckets(mut self, metric: impl Into<String>, bounds: &[f64]) -> Self {
        let metric = metric.into();
        self.buckets.retain(|(other, _)| *other != metric);
        self.buckets.push((metric, bounds.to_vec()));
        self
    }

    /// Checks the settings, installs the recorder for the whole process, and starts its upkeep.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting that is invalid, or if a recorder is installed already, or if the thread
    /// of the upkeep cannot be started.
    pub fn install(self) -> Result<Prometheus, InstallError> {
        let recorder = self.build()?;
        let handle = recorder.handle();
        // Before the recorder is installed, since that cannot be undone: the thread waits, and ends if there is no recorder.
        let (installed, wait) = mpsc::channel();
        thread::Builder::new()
            .name("tower-keep-prometheus".to_owned())
            .spawn(move || wait.recv().map(|handle| run_upkeep(&handle)))
            .map_err(|error| InstallError::failed(NO_UPKEEP, error))?;
        metrics::set_global_recorder(recorder)
            .map_err(|_| InstallError::already_installed(ALREADY_INSTALLED))?;
        // It waits for nothing else, so that it is there.
        let _ = installed.send(handle.clone());
        Ok(Prometheus::new(handle))
    }

    fn build(self) -> Result<PrometheusRecorder, ConfigError> {
        let mut recorder = metrics_exporter_prometheus::PrometheusBuilder::new();
        for (metric, bounds) in &self.buckets {
            self.check_metric(metric)?;
            check_bounds(metric, bounds)?;
            let matcher = match is_suffix(metric) {
                true => Matcher::Suffix(metric.clone()),
                false => Matcher::Full(metric.clone()),
            };
            recorder = recorder
                .set_buckets_for_metric(matcher, bounds)
                .expect("bounds are not empty");
        }
        for (name, value) in self.global_labels {
            check_label(&name)?;
            recorder = recorder.add_global_label(name, value);
        }
        Ok(recorder.build_recorder())
    }

    /// Checks that the recorder finds the buckets: it takes the first suffix that matches, in alphabetic order.
    fn check_metric(&self, metric: &str) -> Result<(), ConfigError> {
        if metric.is_empty() || metric == "_" {
            return Err(invalid(
                "buckets",
                metric,
                "the name or the end of the name of a metric",
            ));
        }
        let hides = |other: &str| is_suffix(other) && other < metric && metric.ends_with(other);
        let other = self.buckets.iter().find(|(other, _)| hides(other));
        match other.filter(|_| is_suffix(metric)) {
            Some((other, _)) => Err(invalid(
                "buckets",
                metric,
                &format!("the whole name of a metric, since {other:?} comes first"),
            )),
            None => Ok(()),
        }
    }
}

fn is_suffix(metric: &str) -> bool {
    metric.starts_with('_')
}

fn check_bounds(metric: &str, bounds: &[f64]) -> Result<(), ConfigError> {
    let is_ascending = bounds.is_sorted_by(|a, b| a < b);
    match is_ascending && !bounds.is_empty() && bounds.iter().all(|bound| bound.is_finite()) {
        true => Ok(()),
        false => {
            let got = format!("{bounds:?} for {metric}");
            let expected = "one or more finite bounds that ascend";
            Err(ConfigError::new("prometheus", "buckets", got, expected))
        }
    }
}

fn check_label(name: &str) -> Result<(), ConfigError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_valid = name.bytes().all(is_word)
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("__")
        && !RESERVED_LABELS.contains(&name);
    let expected =
        "letters, digits and _, not beginning with a digit or __, and neither le nor quantile";
    match is_valid {
        true => Ok(()),
        false => Err(invalid("global_label", name, expected)),
    }
}

fn invalid(field: &'static str, value: &str, expected: &str) -> ConfigError {
    ConfigError::new("prometheus", field, format!("{value:?}"), expected)
}

/// Moves recorded values into their buckets, forever.
fn run_upkeep(handle: &PrometheusHandle) {
    loop {
        thread::sleep(UPKEEP_PERIOD);
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::builder;

    fn error(builder: PrometheusBuilder) -> String {
        builder.build().expect_err("an invalid setting").to_string()
    }

    #[test]
    fn buckets_must_be_finite_and_ascend() {
        for bounds in [
            &[][..],
            &[1.0, 1.0],
            &[2.0, 1.0],
            &[f64::NAN],
            &[1.0, f64::INFINITY],
        ] {
            let error = error(builder().buckets("lit_hours", bounds));
            let expected = format!(
                "prometheus: buckets is {bounds:?} for lit_hours, must be one or more finite bounds that ascend"
            );
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn buckets_of_a_suffix_that_another_hides_are_rejected() {
        assert_eq!(
            error(builder().buckets("_wait_seconds", &[1.0])),
            r#"prometheus: buckets is "_wait_seconds", must be the whole name of a metric, since "_seconds" comes first"#
        );
        let error = error(builder().buckets("", &[1.0]));
        assert!(
            error.starts_with(r#"prometheus: buckets is "", must be the name"#),
            "{error}"
        );
        // This one comes before `_seconds`.
        let recorder = builder()
            .buckets("_db_seconds", &[7.0])
            .build()
            .expect("valid");
        assert!(rendered(&recorder, "query_db_seconds").contains(r#"le="7""#));
    }

    #[test]
    fn buckets_fit_the_unit_of_the_metric() {
        let recorder = builder()
            .buckets("whole_seconds", &[7.0])
            .build()
            .expect("valid");
        for (name, first, last) in [
            ("load_seconds", "0.005", "10"),
            ("http_server_stream_duration_seconds", "1", "86400"),
            ("http_client_stream_duration_seconds", "1", "86400"),
            ("http_stream_duration_seconds", "1", "86400"),
            ("load_bytes", "1024", "4294967296"),
            ("whole_seconds", "7", "7"),
        ] {
            let text = rendered(&recorder, name);
            let buckets: Vec<_> = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix("_bucket{le=\""))
                .filter_map(|line| Some(line.split_once('"')?.0))
                .collect();
            assert_eq!(buckets.first(), Some(&first), "{name}");
            assert_eq!(buckets[buckets.len() - 2], last, "{name}");
        }
        assert!(rendered(&recorder, "load").contains(r#"quantile="0.5""#));
    }

    #[test]
    fn global_label_must_be_a_name() {
        for name in ["", "7", "__name", "a-b", "le", "quantile"] {
            let error = error(builder().global_label(name, "x"));
            assert!(
                error.starts_with(&format!(
                    "prometheus: global_label is {name:?}, must be letters"
                )),
                "{error}"
            );
        }
        let recorder = builder()
            .global_label("region", "eu-1")
            .build()
            .expect("valid");
        assert!(rendered(&recorder, "load").contains(r#"load_count{region="eu-1"}"#));
    }

    fn rendered(recorder: &PrometheusRecorder, name: &'static str) -> String {
        metrics::with_local_recorder(recorder, || metrics::histogram!(name).record(0.5));
        recorder.handle().render()
    }
}
