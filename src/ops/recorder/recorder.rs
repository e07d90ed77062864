use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use super::{
    FamilyInfo, Fanout, Format, InstallError, Metrics, RecorderBuilder, SeriesSnapshot, Value,
    bounds::Bounds,
    counter_cell::CounterCell,
    gauge_cell::GaugeCell,
    histogram_cell::HistogramCell,
    limits::Limits,
    lookup::Lookup,
    name::{Labels, labels, labels_text, metric_name},
    own_metrics::OwnMetrics,
    pulse::Pulse,
    registry::{Description, Descriptions, Drop, Family, Registry, Wanted},
    render::{RenderedFamily, ends_in, render},
    series::{Cell, Series},
    ticker::Ticker,
};
use crate::{
    ops::series::{Query, QueryError, QueryResult, SeriesKind, SeriesView, evaluate},
    util::text::truncated,
};

/// The units that the end of a name tells where none was described.
const UNITS_BY_NAME: [&str; 3] = ["seconds", "bytes", "ratio"];
/// A guess of what the key of a series takes, in bytes.
const KEY_BYTES: usize = 256;
/// A guess of what a series takes in a scrape, in bytes; the next scrape knows better.
const FIRST_SIZE: usize = 4_096;

/// The recorder of this process: every metric that the application records, with bounded memory.
///
/// See the [module](super) for what it does and an example.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    limits: Limits,
    buckets: Vec<(String, Arc<Bounds>)>,
    other_buckets: Arc<Bounds>,
    counters: Lookup<Counter>,
    gauges: Lookup<Gauge>,
    histograms: Lookup<Histogram>,
    registry: RwLock<Registry>,
    descriptions: RwLock<Descriptions>,
    /// Series that the next tick admits.
    new: Mutex<Vec<Arc<Series>>>,
    ticker: Mutex<Ticker>,
    pulse: Arc<Pulse>,
    own: OwnMetrics,
    /// The size of the latest scrape.
    size: std::sync::atomic::AtomicUsize,
}

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

    pub(super) fn with(limits: Limits, buckets: Vec<(String, Vec<f64>)>, other: &[f64]) -> Self {
        let own = OwnMetrics::default();
        let limits = Limits {
            series: limits.series + OwnMetrics::SERIES,
            ..limits
        };
        let mut buckets: Vec<_> = buckets
            .into_iter()
            .map(|(metric, bounds)| (metric, Arc::new(Bounds::new(&bounds))))
            .collect();
        // Whole names before ends, longer ends before shorter ones.
        buckets.sort_by_key(|(metric, _)| (is_end(metric), std::cmp::Reverse(metric.len())));
        // Twice, since labels may come in more than one order.
        let max_keys = limits.series * 2;
        let recorder = Recorder(Arc::new(Shared {
            limits,
            buckets,
            other_buckets: Arc::new(Bounds::new(other)),
            counters: Lookup::new(max_keys),
            gauges: Lookup::new(max_keys),
            histograms: Lookup::new(max_keys),
            registry: RwLock::default(),
            descriptions: RwLock::default(),
            new: Mutex::default(),
            ticker: Mutex::default(),
            pulse: Arc::new(Pulse::new(own.ignored.clone())),
            own,
            size: FIRST_SIZE.into(),
        }));
        recorder.0.own.register(&recorder);
        recorder
    }

    /// Installs the recorder for the whole process: everything that goes to the `metrics` facade is recorded from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has a recorder already.
    pub fn install(&self) -> Result<(), InstallError> {
        metrics::set_global_recorder(self.clone())
            .map_err(|_| InstallError::already_installed())?;
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
        let mut ticker = self.ticker();
        let new = std::mem::take(&mut *lock(&self.0.new));
        ticker.admit(new, &self.0.limits);
        ticker.tick(second);
    }

    fn ticker(&self) -> MutexGuard<'_, Ticker> {
        lock(&self.0.ticker)
    }

    /// Renders all metrics.
    pub fn render(&self, format: Format) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        let families = self.rendered_families();
        let size = self.0.size.load(Relaxed);
        let text = render(&families, format, size + size / 8);
        self.0.size.store(text.len(), Relaxed);
        text
    }

    /// Returns what is rendered: no lock is held while the text is written.
    fn rendered_families(&self) -> Vec<RenderedFamily> {
        let descriptions = self
            .0
            .descriptions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let registry = self
            .0
            .registry
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let families = registry.families().iter().map(|(name, family)| {
            let description = descriptions.get(name);
            RenderedFamily {
                name: name.clone(),
                kind: family.kind,
                unit: unit(name, &description),
                help: description.help,
                series: family.series.values().cloned().collect(),
            }
        });
        families.collect()
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
        let now = self.ticker().last().unwrap_or(0);
        let mut families = query.names().filter_map(|name| self.family(name));
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

    fn family(&self, name: &str) -> Option<(SeriesKind, Vec<Arc<Series>>)> {
        let registry = self
            .0
            .registry
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let family = registry.families().get(&*metric_name(name))?;
        Some((family.kind, family.series.values().cloned().collect()))
    }

    /// Returns all families, ascending by name.
    pub fn families(&self) -> Vec<FamilyInfo> {
        let families = self
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
        let (_, series) = self.family(name)?;
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
        for family in self.rendered_families() {
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

    /// Returns the bytes that series, values and histories take, roughly.
    pub fn heap_bytes(&self) -> usize {
        let keys = self.0.counters.len() + self.0.gauges.len() + self.0.histograms.len();
        let registry = self
            .0
            .registry
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        registry.heap_bytes() + keys * KEY_BYTES
    }

    /// Returns the series of a key, or the one that stands for it, and whether the key may be looked up next time.
    fn register(&self, key: &Key, kind: SeriesKind) -> (Option<Arc<Series>>, bool) {
        let limits = &self.0.limits;
        let name = metric_name(key.name());
        let (labels, is_cut) = labels(key, limits.labels, limits.label_value);
        if is_cut {
            self.0.own.cut(1);
        }
        let registered = self.register_series(&name, kind, labels, None);
        if let Some(reason) = registered.1 {
            self.0.own.dropped(reason);
        }
        // What is cut may come in any number of ways.
        (registered.0, !is_cut && registered.1.is_none())
    }

    /// Returns the series and the reason why it is not one of its own. `cell` is used if the series is new.
    pub(super) fn register_series(
        &self,
        name: &str,
        kind: SeriesKind,
        labels: Labels,
        cell: Option<Cell>,
    ) -> (Option<Arc<Series>>, Option<Drop>) {
        let text = labels_text(&labels);
        let wanted = Wanted {
            name,
            kind,
            labels,
            text: &text,
        };
        let mut registry = self
            .0
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let bounds = || self.bounds(name);
        // A recorder's own counters always fit.
        let limits = if cell.is_some() {
            Limits::default()
        } else {
            self.0.limits
        };
        let make = |family: &Family| cell.unwrap_or_else(|| self.cell(family));
        let registered = registry.register(wanted, &limits, bounds, make);
        drop(registry);
        if let Some(series) = registered.series.clone().filter(|_| registered.is_new) {
            lock(&self.0.new).push(series);
        }
        (registered.series, registered.dropped)
    }

    fn cell(&self, family: &Family) -> Cell {
        match family.kind {
            SeriesKind::Counter => Cell::Counter(Arc::new(CounterCell::default())),
            SeriesKind::Gauge => Cell::Gauge(Arc::new(GaugeCell::default())),
            SeriesKind::Histogram => {
                let bounds = family
                    .bounds
                    .clone()
                    .unwrap_or_else(|| self.0.other_buckets.clone());
                Cell::Histogram(Arc::new(HistogramCell::new(bounds, self.0.pulse.clone())))
            }
        }
    }

    fn bounds(&self, name: &str) -> Arc<Bounds> {
        let matches = |metric: &str| match is_end(metric) {
            true => name.ends_with(metric),
            false => name == metric,
        };
        let found = self.0.buckets.iter().find(|(metric, _)| matches(metric));
        found
            .map_or(&self.0.other_buckets, |(_, bounds)| bounds)
            .clone()
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>, help: &SharedString) {
        let help = truncated(help, Descriptions::MAX_HELP).into();
        let mut descriptions = self
            .0
            .descriptions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let name = metric_name(name.as_str());
        descriptions.set(&name, Description { unit, help }, self.0.limits.series);
    }
}

fn is_end(metric: &str) -> bool {
    metric.starts_with('_')
}

/// Returns the unit of a family: the described one, or the end of its name.
fn unit(name: &str, description: &Description) -> Option<&'static str> {
    let described = description.unit.filter(|unit| *unit != Unit::Count);
    let base = name.strip_suffix("_total").unwrap_or(name);
    let by_name = || UNITS_BY_NAME.into_iter().find(|unit| ends_in(base, unit));
    described.map(|unit| unit.as_str()).or_else(by_name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(&key, unit, &description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if let Some(known) = self.0.counters.get(key) {
            return known;
        }
        let (series, is_stable) = self.register(key, SeriesKind::Counter);
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
        let (series, is_stable) = self.register(key, SeriesKind::Gauge);
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
        let (series, is_stable) = self.register(key, SeriesKind::Histogram);
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

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The series would be thousands of lines.
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
