use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    bounds::Bounds,
    limits::Limits,
    name::Labels,
    series::{Cell, Series},
};
use crate::ops::series::SeriesKind;

/// The label of the series that stands for those beyond a bound, as OpenTelemetry has it.
const OVERFLOW_LABEL: (&str, &str) = ("otel_metric_overflow", "true");

/// The ends of the names that a histogram has in the formats.
const HISTOGRAM_ENDS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// All families with their series. Behind one lock; the values of the series are beside it.
#[derive(Debug, Default)]
pub(super) struct Registry {
    families: BTreeMap<Arc<str>, MetricFamily>,
    /// The names of samples, which belong to one family each.
    claimed: BTreeSet<String>,
    /// The texts of labels, which many series share.
    texts: BTreeSet<Arc<str>>,
    /// The series without those of overflow, of which there is at most one per family.
    series: usize,
}

/// All series of one name.
#[derive(Debug)]
pub(super) struct MetricFamily {
    pub(super) kind: SeriesKind,
    pub(super) bounds: Option<Arc<Bounds>>,
    /// Keyed by the text of their labels.
    pub(super) series: BTreeMap<Box<str>, Arc<Series>>,
    has_overflow: bool,
}

impl MetricFamily {
    fn new(kind: SeriesKind, bounds: Option<Arc<Bounds>>) -> Self {
        MetricFamily {
            kind,
            bounds,
            series: BTreeMap::new(),
            has_overflow: false,
        }
    }
}

/// A reason why a series is not recorded on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Drop {
    /// The recorder has as many series as it may have.
    MaxSeries,
    /// The family has as many series as it may have.
    MaxSeriesPerFamily,
    /// The name belongs to a family of another kind.
    Kind,
    /// The name is that of a sample of another family, such as `load_count` of the histogram `load`.
    Name,
}

impl Drop {
    pub(super) const ALL: [Drop; 4] = [
        Drop::MaxSeries,
        Drop::MaxSeriesPerFamily,
        Drop::Kind,
        Drop::Name,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Drop::MaxSeries => "max_series",
            Drop::MaxSeriesPerFamily => "max_series_per_family",
            Drop::Kind => "kind",
            Drop::Name => "name",
        }
    }
}

/// A series that the application wants to record.
#[derive(Debug)]
pub(super) struct SeriesRequest<'a> {
    pub(super) name: &'a str,
    pub(super) kind: SeriesKind,
    pub(super) labels: Labels,
    /// The labels as the formats write them.
    pub(super) text: &'a str,
}

/// The result of a registration.
#[derive(Debug)]
pub(super) struct Registered {
    /// The series, or the one of overflow, or none.
    pub(super) series: Option<Arc<Series>>,
    /// True if the series is new.
    pub(super) is_new: bool,
    pub(super) dropped: Option<Drop>,
}

impl Registry {
    pub(super) fn families(&self) -> &BTreeMap<Arc<str>, MetricFamily> {
        &self.families
    }

    /// Returns the series with this name and these labels; makes it with `cell` if there is none, and it fits.
    pub(super) fn register(
        &mut self,
        request: SeriesRequest<'_>,
        limits: &Limits,
        bounds: impl FnOnce() -> Arc<Bounds>,
        cell: impl FnOnce(&MetricFamily) -> Cell,
    ) -> Registered {
        let SeriesRequest {
            name,
            kind,
            labels,
            text,
        } = request;
        let is_full = self.series >= limits.series;
        if let Err(reason) = self.add_family(name, kind, is_full, bounds) {
            return Registered::dropped(reason);
        }
        let family = self
            .families
            .get_mut(name)
            .expect("the family has been added");
        if let Some(series) = family.series.get(text) {
            return Registered {
                series: Some(series.clone()),
                is_new: false,
                dropped: None,
            };
        }
        let own = family.series.len() - usize::from(family.has_overflow);
        let dropped = match own >= limits.series_per_family {
            true => Some(Drop::MaxSeriesPerFamily),
            false => is_full.then_some(Drop::MaxSeries),
        };
        let (series, is_new) = match dropped {
            None => {
                self.series += 1;
                let labels = labels.into_iter().map(|(name, value)| {
                    (
                        shared(&mut self.texts, name),
                        shared(&mut self.texts, value),
                    )
                });
                let labels: Labels = labels.collect();
                let series = Series::new(labels, text.into(), cell(family));
                let series = Arc::new(series.of_family(name));
                family.series.insert(text.into(), series.clone());
                (series, true)
            }
            Some(_) => overflow(name, family, cell),
        };
        Registered {
            series: Some(series),
            is_new,
            dropped,
        }
    }

    /// Adds the family of a name, unless it is there already.
    fn add_family(
        &mut self,
        name: &str,
        kind: SeriesKind,
        is_full: bool,
        bounds: impl FnOnce() -> Arc<Bounds>,
    ) -> Result<(), Drop> {
        match self.families.get(name) {
            Some(family) if family.kind != kind => return Err(Drop::Kind),
            Some(_) => return Ok(()),
            None if is_full => return Err(Drop::MaxSeries),
            None => {}
        }
        if !self.claim(name, kind) {
            return Err(Drop::Name);
        }
        let bounds = (kind == SeriesKind::Histogram).then(bounds);
        let family = MetricFamily::new(kind, bounds);
        self.families.insert(name.into(), family);
        Ok(())
    }

    /// Takes the names of the samples of a family. Returns `false` if one of them belongs to another.
    fn claim(&mut self, name: &str, kind: SeriesKind) -> bool {
        let mut names = vec![name.to_owned()];
        if kind == SeriesKind::Histogram {
            names.extend(HISTOGRAM_ENDS.iter().map(|end| format!("{name}{end}")));
        }
        let is_free = names.iter().all(|name| !self.claimed.contains(name));
        if is_free {
            self.claimed.extend(names);
        }
        is_free
    }

    /// Returns the bytes on the heap, roughly.
    pub(super) fn heap_bytes(&self) -> usize {
        let families = self.families.iter().map(|(name, family)| {
            let series = family
                .series
                .iter()
                .map(|(text, series)| text.len() + 32 + series.heap_bytes());
            name.len() + size_of::<MetricFamily>() + series.sum::<usize>()
        });
        families.sum()
    }
}

impl Registered {
    fn dropped(reason: Drop) -> Self {
        Registered {
            series: None,
            is_new: false,
            dropped: Some(reason),
        }
    }
}

/// Returns the one copy of a text.
fn shared(texts: &mut BTreeSet<Arc<str>>, text: Arc<str>) -> Arc<str> {
    match texts.get(&text) {
        Some(known) => known.clone(),
        None => {
            texts.insert(text.clone());
            text
        }
    }
}

/// Returns the series of a family that stands for all that did not fit, and whether it is new.
fn overflow(
    name: &str,
    family: &mut MetricFamily,
    cell: impl FnOnce(&MetricFamily) -> Cell,
) -> (Arc<Series>, bool) {
    let (label, value) = OVERFLOW_LABEL;
    let text = format!("{label}=\"{value}\"");
    if let Some(series) = family.series.get(&*text) {
        return (series.clone(), false);
    }
    family.has_overflow = true;
    let labels = Box::new([(label.into(), value.into())]);
    let series = Series::new(labels, text.clone().into(), cell(family));
    let series = Arc::new(series.of_family(name));
    family.series.insert(text.into(), series.clone());
    (series, true)
}

/// Descriptions of metrics by name, bounded.
#[derive(Debug, Default)]
pub(super) struct Descriptions(HashMap<String, Description>);

#[derive(Clone, Debug, Default)]
pub(super) struct Description {
    pub(super) unit: Option<metrics::Unit>,
    pub(super) help: Arc<str>,
}

impl Descriptions {
    /// The longest description, in bytes.
    pub(super) const MAX_HELP: usize = 1_024;

    /// Keeps a description, in place of an earlier one, unless there are `max` of other names.
    pub(super) fn set(&mut self, name: &str, description: Description, max: usize) {
        if self.0.len() < max || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), description);
        }
    }

    pub(super) fn get(&self, name: &str) -> Description {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recorder::{counter_cell::CounterCell, name::labels_text};

    fn limits(series: usize, series_per_family: usize) -> Limits {
        Limits {
            series,
            series_per_family,
            ..Limits::default()
        }
    }

    /// Registers a series and returns the text of its labels, whether it is new, and why it is not one of its own.
    fn register(
        registry: &mut Registry,
        name: &str,
        kind: SeriesKind,
        label: &str,
        limits: &Limits,
    ) -> (Option<String>, bool, Option<Drop>) {
        let labels: Labels = Box::new([("a".into(), label.into())]);
        let text = labels_text(&labels);
        let bounds = || Arc::new(Bounds::new(&[1.0]));
        let cell = |_: &MetricFamily| Cell::Counter(Arc::new(CounterCell::default()));
        let request = SeriesRequest {
            name,
            kind,
            labels,
            text: &text,
        };
        let registered = registry.register(request, limits, bounds, cell);
        (
            registered.series.map(|series| series.text.to_string()),
            registered.is_new,
            registered.dropped,
        )
    }

    const OVERFLOW: &str = r#"otel_metric_overflow="true""#;

    #[test]
    fn series_beyond_the_bound_of_a_family_share_one() {
        let mut registry = Registry::default();
        let limits = limits(9, 2);
        let mut add = |label| register(&mut registry, "load", SeriesKind::Counter, label, &limits);
        assert_eq!(add("1"), (Some(r#"a="1""#.into()), true, None));
        assert_eq!(add("2"), (Some(r#"a="2""#.into()), true, None));
        assert_eq!(add("2"), (Some(r#"a="2""#.into()), false, None));
        let reason = Some(Drop::MaxSeriesPerFamily);
        assert_eq!(add("3"), (Some(OVERFLOW.into()), true, reason));
        assert_eq!(add("4"), (Some(OVERFLOW.into()), false, reason));
        assert_eq!(add("1"), (Some(r#"a="1""#.into()), false, None));
    }

    #[test]
    fn series_beyond_the_bound_of_all_share_one_per_family() {
        let mut registry = Registry::default();
        let limits = limits(2, 9);
        let mut add =
            |name, label| register(&mut registry, name, SeriesKind::Counter, label, &limits);
        assert_eq!(add("load", "1"), (Some(r#"a="1""#.into()), true, None));
        assert_eq!(add("work", "1"), (Some(r#"a="1""#.into()), true, None));
        assert_eq!(
            add("load", "2"),
            (Some(OVERFLOW.into()), true, Some(Drop::MaxSeries))
        );
        assert_eq!(
            add("rest", "1"),
            (None, false, Some(Drop::MaxSeries)),
            "no family beyond the bound"
        );
    }

    #[test]
    fn name_belongs_to_one_kind_and_one_family() {
        use SeriesKind::{Counter, Gauge, Histogram};
        let mut registry = Registry::default();
        let mut dropped = |name, kind| register(&mut registry, name, kind, "1", &limits(99, 9)).2;
        assert_eq!(dropped("load", Histogram), None);
        assert_eq!(dropped("load", Gauge), Some(Drop::Kind));
        for name in ["load_count", "load_sum", "load_bucket"] {
            assert_eq!(dropped(name, Counter), Some(Drop::Name), "{name}");
        }
        assert_eq!(dropped("load_total", Counter), None);
        assert_eq!(dropped("work_count", Counter), None);
        assert_eq!(dropped("work", Histogram), Some(Drop::Name));
        assert_eq!(
            dropped("work_sum", Counter),
            None,
            "nothing of what was dropped is taken"
        );
    }

    #[test]
    fn drops_have_names() {
        assert_eq!(
            Drop::ALL.map(Drop::as_str),
            ["max_series", "max_series_per_family", "kind", "name"]
        );
    }

    #[test]
    fn descriptions_are_bounded() {
        let mut descriptions = Descriptions::default();
        let describe = |help: &str| Description {
            unit: None,
            help: help.into(),
        };
        descriptions.set("a", describe("one"), 1);
        descriptions.set("b", describe("two"), 1);
        descriptions.set("a", describe("three"), 1);
        assert_eq!(
            (&*descriptions.get("a").help, &*descriptions.get("b").help),
            ("three", "")
        );
    }
}
