use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::AtomicUsize,
};

use metrics::{Counter, Gauge, Histogram, Key, Unit};

use super::{
    bucket_table::BucketTable,
    counter_cell::CounterCell,
    gauge_cell::GaugeCell,
    histogram_cell::HistogramCell,
    limits::Limits,
    lookup::SeriesLookup,
    name::{Labels, labels, labels_text, metric_name},
    own_metrics::OwnMetrics,
    pulse::Pulse,
    registry::{Description, Descriptions, Drop, MetricFamily, Registry, SeriesRequest},
    render::{RenderedFamily, ends_in},
    series::{Cell, Series},
    ticker::Ticker,
};
use crate::{ops::series::SeriesKind, util::text::truncated};

/// The units that the end of a name tells where none was described.
const UNITS_BY_NAME: [&str; 3] = ["seconds", "bytes", "ratio"];
/// A guess of what the key of a series takes, in bytes.
const KEY_BYTES: usize = 256;
/// A guess of the size of a scrape, in bytes; the next one knows better.
const FIRST_SIZE: usize = 4_096;

/// The parts of a recorder, which its clones share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    buckets: BucketTable,
    pub(super) counters: SeriesLookup<Counter>,
    pub(super) gauges: SeriesLookup<Gauge>,
    pub(super) histograms: SeriesLookup<Histogram>,
    registry: RwLock<Registry>,
    descriptions: RwLock<Descriptions>,
    /// Series that the next tick admits.
    new: Mutex<Vec<Arc<Series>>>,
    ticker: Mutex<Ticker>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) own: OwnMetrics,
    /// The size of the latest scrape.
    pub(super) size: AtomicUsize,
}

impl Shared {
    pub(super) fn new(limits: Limits, buckets: BucketTable) -> Self {
        let own = OwnMetrics::default();
        let limits = Limits {
            series: limits.series + OwnMetrics::SERIES,
            ..limits
        };
        // Twice, since labels may come in more than one order.
        let max_keys = limits.series * 2;
        let shared = Shared {
            limits,
            buckets,
            counters: SeriesLookup::new(max_keys),
            gauges: SeriesLookup::new(max_keys),
            histograms: SeriesLookup::new(max_keys),
            registry: RwLock::default(),
            descriptions: RwLock::default(),
            new: Mutex::default(),
            ticker: Mutex::default(),
            pulse: Arc::new(Pulse::new(own.ignored.clone())),
            own,
            size: FIRST_SIZE.into(),
        };
        shared.own.register(&shared);
        shared
    }

    /// Returns the series of a key, or the one that stands for it, and whether the key may be looked up next time.
    pub(super) fn register(&self, key: &Key, kind: SeriesKind) -> (Option<Arc<Series>>, bool) {
        let limits = &self.limits;
        let name = metric_name(key.name());
        let (labels, is_cut) = labels(key, limits.labels, limits.label_value);
        if is_cut {
            self.own.cut(1);
        }
        let registered = self.register_series(&name, kind, labels, None);
        if let Some(reason) = registered.1 {
            self.own.dropped(reason);
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
        let request = SeriesRequest {
            name,
            kind,
            labels,
            text: &text,
        };
        let mut registry = write(&self.registry);
        let bounds = || self.buckets.bounds(name);
        // A recorder's own counters always fit.
        let limits = if cell.is_some() {
            Limits::default()
        } else {
            self.limits
        };
        let make = |family: &MetricFamily| cell.unwrap_or_else(|| self.cell(family));
        let registered = registry.register(request, &limits, bounds, make);
        drop(registry);
        if let Some(series) = registered.series.clone().filter(|_| registered.is_new) {
            lock(&self.new).push(series);
        }
        (registered.series, registered.dropped)
    }

    fn cell(&self, family: &MetricFamily) -> Cell {
        match family.kind {
            SeriesKind::Counter => Cell::Counter(Arc::new(CounterCell::default())),
            SeriesKind::Gauge => Cell::Gauge(Arc::new(GaugeCell::default())),
            SeriesKind::Histogram => {
                let bounds = family.bounds.clone();
                let bounds = bounds.expect("a family of histograms has bounds");
                Cell::Histogram(Arc::new(HistogramCell::new(bounds, self.pulse.clone())))
            }
        }
    }

    /// Keeps a description of all series of one name.
    pub(super) fn describe(&self, name: &str, unit: Option<Unit>, help: &str) {
        let help = truncated(help, Descriptions::MAX_HELP).into();
        let description = Description { unit, help };
        write(&self.descriptions).set(&metric_name(name), description, self.limits.series);
    }

    /// Returns what is rendered: no lock is held while the text is written.
    pub(super) fn rendered_families(&self) -> Vec<RenderedFamily> {
        let descriptions = read(&self.descriptions);
        let registry = read(&self.registry);
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

    /// Returns all series with their names.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn all_series(&self) -> Vec<(Arc<str>, Arc<Series>)> {
        let registry = read(&self.registry);
        let families = registry.families().iter();
        let of_family = |(name, family): (&Arc<str>, &MetricFamily)| {
            let series: Vec<_> = family.series.values().cloned().collect();
            let name = name.clone();
            series.into_iter().map(move |series| (name.clone(), series))
        };
        families.flat_map(of_family).collect()
    }

    /// Returns the kind of a family and its series, ascending by labels.
    pub(super) fn family(&self, name: &str) -> Option<(SeriesKind, Vec<Arc<Series>>)> {
        let registry = read(&self.registry);
        let family = registry.families().get(&*metric_name(name))?;
        Some((family.kind, family.series.values().cloned().collect()))
    }

    pub(super) fn ticker(&self) -> MutexGuard<'_, Ticker> {
        lock(&self.ticker)
    }

    /// Takes the series that are new since the last call.
    pub(super) fn take_new(&self) -> Vec<Arc<Series>> {
        std::mem::take(&mut *lock(&self.new))
    }

    /// Returns the bytes that series, values and histories take, roughly.
    pub(super) fn heap_bytes(&self) -> usize {
        let keys = self.counters.len() + self.gauges.len() + self.histograms.len();
        read(&self.registry).heap_bytes() + keys * KEY_BYTES
    }
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

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
