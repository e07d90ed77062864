use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{call::ConfigError, ops::metric_history::MetricRetention};

/// Default: 2 GiB, which most disks have to spare.
const DEFAULT_MAX_BYTES: u64 = 2 << 30;
/// Less would not hold an hour of what a service logs.
const MIN_MAX_BYTES: u64 = 1 << 20;

/// Default: 100,000, some weeks of a service with trouble.
const DEFAULT_MAX_EVENTS: usize = 100_000;
const MAX_EVENTS: usize = 10_000_000;
/// Default: 90 days, after which few ask what happened.
const DEFAULT_KEEP_EVENTS: Duration = Duration::from_secs(90 * 86_400);
const MIN_KEEP: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// The times for which a query looks for points of a minute, and for points of an hour.
const DEFAULT_KEEP_MINUTES: Duration = Duration::from_secs(7 * 86_400);
const DEFAULT_KEEP_HOURS: Duration = Duration::from_secs(90 * 86_400);
/// Default: 512 MiB, a quarter of the file.
const DEFAULT_MAX_METRIC_BYTES: u64 = 512 << 20;

/// The SQLite file of an [`Ops`](crate::ops::Ops), with what it keeps and for how long.
///
/// ```
/// use tower_keep::ops::StoreFile;
///
/// let file = StoreFile::new("/var/lib/orders/ops.db").max_bytes(512 << 20);
/// # let _ = file;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StoreFile {
    path: PathBuf,
    max_bytes: u64,
    pub(in crate::ops) max_events: usize,
    pub(in crate::ops) keep_events: Duration,
    keep_minutes: Duration,
    keep_hours: Duration,
    max_metric_bytes: u64,
}

impl StoreFile {
    /// Creates the settings of a file with the defaults. Each process needs a file of its own.
    ///
    /// ```
    /// use tower_keep::ops::StoreFile;
    ///
    /// let file = StoreFile::new("/var/lib/orders/ops.db");
    /// # let _ = file;
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        StoreFile {
            path: path.into(),
            max_bytes: DEFAULT_MAX_BYTES,
            max_events: DEFAULT_MAX_EVENTS,
            keep_events: DEFAULT_KEEP_EVENTS,
            keep_minutes: DEFAULT_KEEP_MINUTES,
            keep_hours: DEFAULT_KEEP_HOURS,
            max_metric_bytes: DEFAULT_MAX_METRIC_BYTES,
        }
    }

    /// Sets the maximum size in bytes, at least 1 MiB. A file that is full takes nothing more until something is old enough to be
    /// deleted; health says so. Default: 2 GiB, which most disks have to spare.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many events of the journal the file keeps, the latest ones: 1 to 10,000,000. Default: 100,000, which take about 40 MB.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Sets for how long it keeps events: at least a minute. Default: 90 days, after which few ask what happened.
    pub fn keep_events(mut self, time: Duration) -> Self {
        self.keep_events = time;
        self
    }

    /// Sets for how long it keeps points of a minute, and points of an hour: at least a day, at most 7 days and 90 days. Default: 7
    /// days, in which one compares with last week, and 90 days.
    pub fn keep_metrics(mut self, minutes: Duration, hours: Duration) -> Self {
        (self.keep_minutes, self.keep_hours) = (minutes, hours);
        self
    }

    /// Sets how many bytes the history of metrics may take, at least 1 MiB. The oldest minutes go first. Default: 512 MiB, which is
    /// enough for 1,000 counters and 150 histograms of durations that change all the time.
    pub fn max_metric_bytes(mut self, bytes: u64) -> Self {
        self.max_metric_bytes = bytes;
        self
    }

    pub(in crate::ops) fn metric_retention(&self) -> MetricRetention {
        MetricRetention {
            minutes: self.keep_minutes,
            hours: self.keep_hours,
            max_bytes: self.max_metric_bytes,
        }
    }

    pub(in crate::ops) fn validate(&self, component: &str) -> Result<(), ConfigError> {
        let invalid = |field, value, allowed: String| {
            let component = format!("{component} sqlite");
            Err(ConfigError::new(component, field, value, allowed))
        };
        if self.path.file_name().is_none() {
            let path = format!("{:?}", self.path.display().to_string());
            return invalid("path", path, "that of a file".to_owned());
        }
        if self.max_bytes < MIN_MAX_BYTES {
            let allowed = format!("at least {MIN_MAX_BYTES}");
            return invalid("max_bytes", self.max_bytes.to_string(), allowed);
        }
        if !(1..=MAX_EVENTS).contains(&self.max_events) {
            let allowed = format!("1 to {MAX_EVENTS}");
            return invalid("max_events", self.max_events.to_string(), allowed);
        }
        if self.keep_events < MIN_KEEP {
            let allowed = format!("at least {MIN_KEEP:?}");
            return invalid("keep_events", format!("{:?}", self.keep_events), allowed);
        }
        for (field, value, max) in [
            (
                "keep_metrics minutes",
                self.keep_minutes,
                DEFAULT_KEEP_MINUTES,
            ),
            ("keep_metrics hours", self.keep_hours, DEFAULT_KEEP_HOURS),
        ] {
            if !(DAY..=max).contains(&value) {
                let days = max.as_secs() / DAY.as_secs();
                return invalid(field, format!("{value:?}"), format!("1 to {days} days"));
            }
        }
        if self.max_metric_bytes < MIN_MAX_BYTES {
            let allowed = format!("at least {MIN_MAX_BYTES}");
            return invalid(
                "max_metric_bytes",
                self.max_metric_bytes.to_string(),
                allowed,
            );
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn max_size(&self) -> u64 {
        self.max_bytes
    }
}

impl<P: Into<PathBuf>> From<P> for StoreFile {
    fn from(path: P) -> Self {
        StoreFile::new(path)
    }
}
