use crate::ops::series::{Histogram, SeriesKind};

/// The value of a series at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// The sum of all that was added.
    Counter(u64),
    /// The latest value.
    Gauge(f64),
    /// All values.
    Histogram(Histogram),
}

impl Value {
    /// Returns the kind of the series.
    pub fn kind(&self) -> SeriesKind {
        match self {
            Value::Counter(_) => SeriesKind::Counter,
            Value::Gauge(_) => SeriesKind::Gauge,
            Value::Histogram(_) => SeriesKind::Histogram,
        }
    }

    /// Returns the sum of a counter, the latest value of a gauge, or the number of values of a histogram.
    pub fn number(&self) -> f64 {
        match self {
            Value::Counter(sum) => *sum as f64,
            Value::Gauge(value) => *value,
            Value::Histogram(histogram) => histogram.count() as f64,
        }
    }

    /// Returns the values of a histogram.
    pub fn histogram(&self) -> Option<&Histogram> {
        match self {
            Value::Histogram(histogram) => Some(histogram),
            Value::Counter(_) | Value::Gauge(_) => None,
        }
    }
}

/// A series with its value at one time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SeriesSnapshot {
    /// The name of its family.
    pub name: String,
    /// The labels, ascending by name.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: Value,
}

/// A description of all series of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FamilyInfo {
    /// The name of its series.
    pub name: String,
    /// The kind of its series.
    pub kind: SeriesKind,
    /// The unit, such as `seconds`: the described one, or the end of the name.
    pub unit: Option<&'static str>,
    /// The meaning, as it was described; empty if it was not.
    pub help: String,
    /// The number of its series.
    pub series: usize,
}
