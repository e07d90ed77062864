use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::SystemTime,
};

use super::{
    ExposedFamily, FamilyInfo, Fanout, Format, Metrics, RecorderBuilder, SeriesSnapshot, Value,
    bucket_table::BucketTable, limits::Limits, render::render, series::Series, shared::Shared,
};
use crate::call::InstallError;
use crate::ops::series::{Query, QueryError, QueryResult, SeriesKind, SeriesView, evaluate};

/// The text for who installs a second recorder.
pub(super) const ALREADY_INSTALLED: &str = "recorder: a metrics recorder is installed already; install only once and clone the handle, \
                                            or hand the other recorder to `Recorder::fanout`";

/// The recorder of this process: every metric that the application records, with bounded memory.
///
/// See the [module](super) for what it does and an example.
#[derive(Clone)]
pub struct Recorder(pub(super) Arc<Shared>);

/// The time at which the first recorder was made: the nearest to the start of the process that all of them know.
static FIRST_MADE: OnceLock<SystemTime> = OnceLock::new();
/// The recorder that [`Recorder::install`] installed.
static INSTALLED: OnceLock<Recorder> = OnceLock::new();

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new()
    }
}

impl Recorder {
    /// Creates a recorder with the default bounds.
    ///
    /// ```
    /// use tower_keep::ops::recorder::{Format, Recorder};
    ///
    /// let recorder = Recorder::new();
    /// metrics::with_local_recorder(&recorder, || metrics::counter!("orders_total").increment(2));
    /// assert!(recorder.render(Format::Text).contains("orders_total 2\n"));
    /// ```
    pub fn new() -> Self {
        Recorder::builder()
            .build()
            .expect("default settings are valid")
    }

    /// Returns a builder with the default bounds.
    ///
    /// ```
    /// use tower_keep::ops::recorder::Recorder;
    ///
    /// let recorder = Recorder::builder()
    ///     .max_series(50_000)
    ///     .buckets("queue_wait_seconds", &[0.001, 0.01, 0.1, 1.0])
    ///     .build()?;
    /// # let _ = recorder;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder() -> RecorderBuilder {
        RecorderBuilder::default()
    }

    pub(super) fn with(limits: Limits, buckets: BucketTable) -> Self {
        let recorder = Recorder(Arc::new(Shared::new(limits, buckets)));
        recorder
            .0
            .own
            .set_start(*FIRST_MADE.get_or_init(SystemTime::now));
        recorder
    }

    /// Installs the recorder for the whole process: everything that goes to the `metrics` facade is recorded from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has a recorder already.
    pub fn install(&self) -> Result<(), InstallError> {
        metrics::set_global_recorder(self.clone())
            .map_err(|_| InstallError::already_installed(ALREADY_INSTALLED))?;
        self.remember();
        Ok(())
    }

    /// Keeps the recorder as the one of the process.
    pub(super) fn remember(&self) {
        let _ = INSTALLED.set(self.clone());
    }

    /// Returns the recorder that was installed in this process.
    pub fn installed() -> Option<Recorder> {
        INSTALLED.get().cloned()
    }

    /// Returns a recorder that records everything here and in `other`, so that both can be installed.
    ///
    /// ```
    /// use tower_keep::ops::recorder::Recorder;
    ///
    /// let (ours, theirs) = (Recorder::new(), Recorder::new());
    /// let both = ours.fanout(theirs.clone());
    /// metrics::with_local_recorder(&both, || metrics::gauge!("lamps_on").set(2.0));
    /// assert_eq!(ours.value("lamps_on", &[]), theirs.value("lamps_on", &[]));
    /// ```
    pub fn fanout<R>(&self, other: R) -> Fanout<R>
    where
        // The other recorder, as the facade needs it.
        R: metrics::Recorder + Send + Sync + 'static,
    {
        Fanout::new(self.clone(), other)
    }

    /// Returns a facade for code that does not use the macros of `metrics`.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(self.clone())
    }

    /// Moves what was added since the last tick into the history. Call it once per second, with the Unix time.
    pub fn tick(&self, second: u64) {
        self.0.pulse.advance();
        let mut ticker = self.0.ticker();
        ticker.admit(self.0.take_new(), &self.0.limits);
        ticker.tick(second);
    }

    /// Returns the seconds of the first and of the last tick.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn ticked(&self) -> Option<(u64, u64)> {
        self.0.ticker().ticked()
    }

    /// Learns of a second that an earlier process has seen, of which some series know.
    #[cfg(feature = "ops-sqlite")]
    pub(in crate::ops) fn restored(&self, second: u64) {
        self.0.ticker().restored(second);
    }

    /// Returns the time since the first tick, for which there can be a history.
    pub(in crate::ops) fn covered(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.ticker().covered())
    }

    /// Returns the time of a range for which a query of one point may find something. Longer ones than an hour are answered by
    /// minutes, of which an earlier process may have seen some.
    pub(in crate::ops) fn covered_of(&self, range: std::time::Duration) -> std::time::Duration {
        const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);
        let covered = match range > HOUR {
            true => std::time::Duration::from_secs(self.0.ticker().covered_in_minutes()),
            false => self.covered(),
        };
        range.min(covered)
    }

    /// Returns the number of histograms that have no history, since too many others have one.
    pub(in crate::ops) fn histograms_without_history(&self) -> usize {
        self.0.ticker().histograms_without_history()
    }

    /// Renders all metrics.
    pub fn render(&self, format: Format) -> String {
        let families = self.0.rendered_families();
        let size = self.0.size.load(Ordering::Relaxed);
        let text = render(&families, format, size + size / 8);
        self.0.size.store(text.len(), Ordering::Relaxed);
        text
    }

    /// Answers a query from the history. A name that nothing was recorded under has no series.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first value of the query that is not allowed.
    ///
    /// ```
    /// use tower_keep::ops::{recorder::Recorder, series::{Aggregation, Query}};
    ///
    /// let recorder = Recorder::new();
    /// recorder.metrics().increment("orders_total", 6, &[("shop", "eu")]);
    /// recorder.tick(1_700_000_000);
    /// let query = Query::new("orders_total").by(["shop"]).aggregate(Aggregation::Rate);
    /// let result = recorder.query(&query)?;
    /// let line = &result.series[0];
    /// assert_eq!(line.labels, [("shop".to_owned(), "eu".to_owned())]);
    /// assert_eq!(line.points.last(), Some(&(1_700_000_000, Some(6.0))));
    /// # Ok::<_, tower_keep::ops::series::QueryError>(())
    /// ```
    pub fn query(&self, query: &Query) -> Result<QueryResult, QueryError> {
        let now = self.0.ticker().last().unwrap_or(0);
        let mut families = query.names().filter_map(|name| self.0.family(name));
        let Some((kind, mut series)) = families.next() else {
            return evaluate(query, SeriesKind::Histogram, now, []);
        };
        for (other, more) in families {
            if other == kind {
                series.extend(more);
            }
        }
        // A tick waits for these locks, and so for this query; the application does not.
        let tracked: Vec<_> = series
            .iter()
            .map(|series| (series, series.tracked()))
            .collect();
        let views = tracked.iter().map(|(series, tracked)| SeriesView {
            labels: &series.labels,
            history: tracked.as_ref().map(|tracked| tracked.history()),
        });
        evaluate(query, kind, now, views)
    }

    /// Returns all families, ascending by name.
    pub fn families(&self) -> Vec<FamilyInfo> {
        let families = self
            .0
            .rendered_families()
            .into_iter()
            .map(|family| FamilyInfo {
                name: family.name.to_string(),
                kind: family.kind,
                unit: family.unit,
                help: family.help.to_string(),
                series: family.series.len(),
            });
        families.collect()
    }

    /// Returns how many registrations of metrics were recorded in an overflow series, or not at all.
    pub fn dropped_series(&self) -> u64 {
        self.0.own.dropped_in_all()
    }

    /// Returns the value of the series with exactly these labels, in any order.
    pub fn value(&self, name: &str, with: &[(&str, &str)]) -> Option<Value> {
        let (_, series) = self.0.family(name)?;
        let is_same = |series: &Arc<Series>| {
            let has = |(name, value): &(&str, &str)| {
                series
                    .labels
                    .iter()
                    .any(|(other, text)| **other == **name && **text == **value)
            };
            series.labels.len() == with.len() && with.iter().all(has)
        };
        series
            .into_iter()
            .find(is_same)
            .map(|series| series.value())
    }

    /// Returns all series with their values, ascending by name and labels.
    pub fn snapshot(&self) -> Vec<SeriesSnapshot> {
        let mut all = Vec::new();
        for family in self.0.rendered_families() {
            all.extend(family.series.iter().map(|series| {
                SeriesSnapshot {
                    name: family.name.to_string(),
                    labels: series
                        .labels
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.to_string()))
                        .collect(),
                    value: series.value(),
                }
            }));
        }
        all
    }

    /// Returns all families with what is exposed of them, ascending by name: the values of a [`render`](Self::render), for exporters
    /// of other formats.
    ///
    /// ```
    /// use tower_keep::ops::recorder::{ExposedValue, Recorder};
    ///
    /// let recorder = Recorder::new();
    /// recorder.metrics().increment("orders_total", 2, &[("shop", "eu")]);
    /// let families = recorder.exposed();
    /// let orders = families.iter().find(|family| family.name() == "orders_total");
    /// let orders = orders.and_then(|family| family.series().next()).expect("it was recorded");
    /// assert_eq!(orders.labels, [("shop", "eu")]);
    /// assert_eq!(orders.value, ExposedValue::Counter(2));
    /// ```
    pub fn exposed(&self) -> Vec<ExposedFamily> {
        let families = self.0.rendered_families().into_iter();
        families.map(ExposedFamily::new).collect()
    }

    /// Returns the bytes that series, values and histories take, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The series would be thousands of lines.
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
