use super::{
    histogram_cell::{BoundCounts, HistogramCell},
    render::RenderedFamily,
    series::{Cell, Series},
};
use crate::{context::TraceId, ops::series::SeriesKind};

/// A family of metrics with the values that are exposed, for exporters.
///
/// Made by [`Recorder::exposed`](super::Recorder::exposed). The series are those of then, the values those of when they are read.
#[derive(Debug)]
pub struct ExposedFamily {
    family: RenderedFamily,
    bounds: Vec<f64>,
}

/// A series with its value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExposedSeries<'a> {
    /// The labels, ascending by name.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value.
    pub value: ExposedValue,
}

/// The value of a series as it is exposed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExposedValue {
    /// The sum of all that was added.
    Counter(u64),
    /// The latest value.
    Gauge(f64),
    /// The values by bound.
    Histogram(ExposedHistogram),
}

/// The values of a histogram by its exposed bounds.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ExposedHistogram {
    /// The number of values above the bound before and not above this one, exactly; the last is of those above all bounds.
    pub counts: Vec<u64>,
    /// The sum of the finite values.
    pub sum: f64,
    /// The latest exemplars, ascending by bound; at most one per bound.
    pub exemplars: Vec<ExposedExemplar>,
}

/// A value with the trace of its call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExposedExemplar {
    /// The value.
    pub value: f64,
    /// The trace of the call.
    pub trace_id: TraceId,
    /// The time at which it was recorded, in seconds since 1970.
    pub at: f64,
}

impl ExposedFamily {
    pub(super) fn new(family: RenderedFamily) -> Self {
        // All series of a family have the same.
        let bounds = match family.series.first().map(|series| &series.cell) {
            Some(Cell::Histogram(cell)) => cell.bounds().to_vec(),
            _ => Vec::new(),
        };
        ExposedFamily { family, bounds }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.family.name
    }

    /// Returns the kind.
    pub fn kind(&self) -> SeriesKind {
        self.family.kind
    }

    /// Returns the unit, such as `seconds`: the described one, or the end of the name.
    pub fn unit(&self) -> Option<&'static str> {
        self.family.unit
    }

    /// Returns the meaning, as it was described; empty if it was not.
    pub fn help(&self) -> &str {
        &self.family.help
    }

    /// Returns the upper bounds of the buckets of a histogram, ascending and finite.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Returns the series with their values, ascending by labels.
    pub fn series(&self) -> impl ExactSizeIterator<Item = ExposedSeries<'_>> {
        let mut counts = BoundCounts::default();
        self.family.series.iter().map(move |series| {
            let labels = series.labels.iter();
            ExposedSeries {
                labels: labels.map(|(name, value)| (&**name, &**value)).collect(),
                value: exposed_value(series, &mut counts),
            }
        })
    }
}

fn exposed_value(series: &Series, counts: &mut BoundCounts) -> ExposedValue {
    match &series.cell {
        Cell::Counter(cell) => ExposedValue::Counter(cell.get()),
        Cell::Gauge(cell) => ExposedValue::Gauge(cell.get()),
        Cell::Histogram(cell) => ExposedValue::Histogram(exposed_histogram(cell, counts)),
    }
}

fn exposed_histogram(cell: &HistogramCell, counts: &mut BoundCounts) -> ExposedHistogram {
    let mut before = 0;
    let counts: Vec<u64> = cell
        .count_by_bound(counts)
        .iter()
        .map(|&up_to| up_to.saturating_sub(std::mem::replace(&mut before, up_to)))
        .collect();
    let exemplars = (0..counts.len()).filter_map(|place| cell.exemplar(place));
    ExposedHistogram {
        sum: cell.sum(),
        exemplars: exemplars
            .map(|exemplar| ExposedExemplar {
                value: exemplar.value,
                trace_id: exemplar.trace_id,
                at: exemplar.at,
            })
            .collect(),
        counts,
    }
}
