//! Tables of what histograms of durations have: one row for each combination of labels.

use serde_json::{Map, Value, json};

use super::params::HistoryRange;
use crate::ops::{
    recorder::Recorder,
    series::{Aggregation, Filter, Query, QueryResult},
};

/// The most rows of one table.
pub(super) const MAX_ROWS: usize = 500;
/// The points of a trend.
const TREND: u32 = 30;

/// The source of a table.
pub(super) struct RowSource<'a> {
    /// A histogram of durations.
    pub(super) metric: &'a str,
    /// The labels that tell the rows apart.
    pub(super) by: &'a [&'a str],
    /// The condition that calls which have failed fulfill.
    pub(super) failed: Filter,
}

/// A row: its labels, and its figures as the API has them.
pub(super) struct Row {
    labels: Labels,
    pub(super) count: f64,
    pub(super) figures: Map<String, Value>,
}

type Labels = Vec<(String, String)>;

impl Row {
    /// Returns a label that is not empty.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(each, _)| each == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Returns the row with more members.
    pub(super) fn with<const N: usize>(mut self, members: [(&str, Value); N]) -> Value {
        let members = members.map(|(name, value)| (name.to_owned(), value));
        self.figures.extend(members);
        self.figures.into()
    }
}

/// The rows of a source that had calls in a range.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// True if there are more.
    pub(super) truncated: bool,
    /// The number of series whose calls are missing, since they have no history.
    pub(super) without_history: usize,
}

/// Returns the rows of a source that had calls in the range.
pub(super) fn rows(recorder: &Recorder, source: &RowSource<'_>, range: HistoryRange) -> Rows {
    let whole = range.range();
    let ask = |query: Query, aggregation| {
        let query = query.range(whole).by(source.by.iter().copied());
        // Fails for a metric that nothing was recorded in.
        recorder
            .query(&query.aggregate(aggregation).limit(MAX_ROWS))
            .unwrap_or_default()
    };
    let all = || Query::new(source.metric).step(whole);
    let counts = ask(all(), Aggregation::Count);
    let without_history = counts.without_history;
    // Missing rows and missing history are told apart as far as the answer does: a full table may have both.
    let is_full = without_history == 0 || counts.series.len() >= MAX_ROWS;
    let truncated = counts.truncated && is_full;
    if counts.series.is_empty() {
        return Rows {
            without_history,
            ..Rows::default()
        };
    }
    let failed = ask(all().filter(source.failed.clone()), Aggregation::Count);
    let quantiles = [0.5, 0.95, 0.99].map(|q| ask(all(), Aggregation::Quantile(q)));
    // A process that has just started had all these calls in less time.
    let seconds = recorder.covered_of(whole).as_secs_f64().max(1.0);
    let trend = Query::new(source.metric).step(whole / TREND);
    let trend = ask(trend, Aggregation::Rate);
    let row = |labels: Labels, count: f64| {
        let failed = last(&failed, &labels).unwrap_or(0.0);
        let [p50, p95, p99] = [0, 1, 2].map(|at| last(&quantiles[at], &labels));
        let figures = json!({
            "calls_per_second": count / seconds,
            "error_ratio": failed / count,
            "p50_seconds": p50, "p95_seconds": p95, "p99_seconds": p99,
            "trend": points(&trend, &labels),
        });
        let figures = match figures {
            Value::Object(figures) => figures,
            _ => Map::new(),
        };
        Row {
            labels,
            count,
            figures,
        }
    };
    let rows = counts.series.into_iter().filter_map(|line| {
        let count = line.points.last()?.1.filter(|count| *count > 0.0)?;
        Some(row(line.labels, count))
    });
    Rows {
        rows: rows.collect(),
        truncated,
        without_history,
    }
}

fn last(result: &QueryResult, labels: &Labels) -> Option<f64> {
    result_of(result, labels)?.last()?.1
}

fn points(result: &QueryResult, labels: &Labels) -> Option<Vec<Option<f64>>> {
    let points = result_of(result, labels)?.iter();
    Some(points.map(|(_, number)| *number).collect())
}

/// Returns the points of the line with these labels. Lines are in the order of their labels, which have the same names.
fn result_of<'a>(result: &'a QueryResult, labels: &Labels) -> Option<&'a [(u64, Option<f64>)]> {
    let at = result
        .series
        .binary_search_by(|line| line.labels.cmp(labels))
        .ok()?;
    Some(&result.series[at].points)
}
