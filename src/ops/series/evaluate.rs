//! The evaluation of a query on histories.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Aggregation, Query, QueryError, QueryResult, QuerySeries, SeriesHistory, SeriesKind,
    line::line, merged_buckets::MergedBuckets, steps::Steps,
};

/// The label that stands for all labels.
const ALL_LABELS: &str = "*";

/// A series as a query sees it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// The labels.
    pub labels: &'a [(Arc<str>, Arc<str>)],
    /// The history, if there is one.
    pub history: Option<&'a SeriesHistory>,
}

/// Evaluates a query on the series of its name, which all are of one kind. `now` is the Unix time of the last point.
///
/// Steps begin at multiples of their length, and the last one has begun only; a step as long as the range ends at the end.
///
/// # Errors
///
/// Returns an error if a value of the query is not allowed, or the aggregation does not fit the kind.
pub fn evaluate<'a>(
    query: &Query,
    kind: SeriesKind,
    now: u64,
    series: impl IntoIterator<Item = SeriesView<'a>>,
) -> Result<QueryResult, QueryError> {
    query.check()?;
    evaluate_in(query, kind, &Steps::of(query, now), series)
}

/// Evaluates a query on old points, which reach further back. The query was checked.
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) fn evaluate_old<'a>(
    query: &Query,
    kind: SeriesKind,
    now: u64,
    series: impl IntoIterator<Item = SeriesView<'a>>,
) -> Result<QueryResult, QueryError> {
    evaluate_in(query, kind, &Steps::of_old(query, now), series)
}

/// Returns the points that a query needs: of minutes or of hours, and the Unix times from which and up to which.
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) fn old_points_of(query: &Query, now: u64) -> (OldTier, std::ops::Range<u64>) {
    let steps = Steps::of_old(query, now);
    let tier = match steps.tier {
        3 => OldTier::Hours,
        _ => OldTier::Minutes,
    };
    let (start, end) = steps.seconds();
    (tier, start..end)
}

/// A resolution of old points.
#[cfg(feature = "ops-sqlite")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum OldTier {
    Minutes,
    Hours,
}

fn evaluate_in<'a>(
    query: &Query,
    kind: SeriesKind,
    steps: &Steps,
    series: impl IntoIterator<Item = SeriesView<'a>>,
) -> Result<QueryResult, QueryError> {
    let aggregation = query.aggregation().unwrap_or(Aggregation::default_of(kind));
    if !aggregation.fits(kind) {
        let expected = match kind {
            SeriesKind::Counter => "sum, avg, min, max, rate or count for a counter",
            _ => "sum, avg, min, max or count for a gauge",
        };
        return Err(QueryError::new("agg", aggregation, expected));
    }
    let mut groups = BTreeMap::<Vec<(&str, &str)>, Vec<&SeriesHistory>>::new();
    let (mut is_full, mut without_history) = (false, 0);
    for view in series {
        if !query
            .filters()
            .iter()
            .all(|filter| filter.matches(view.labels))
        {
            continue;
        }
        let Some(history) = view.history else {
            without_history += 1;
            continue;
        };
        let group = group_of(query, view.labels);
        let is_last = groups.len() == query.max_lines();
        match groups.get_mut(&group) {
            Some(members) => members.push(history),
            None if is_last => is_full = true,
            None => {
                groups.insert(group, vec![history]);
            }
        }
    }
    let mut merged = MergedBuckets::default();
    let lines = groups.into_iter().map(|(group, members)| QuerySeries {
        labels: group
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        points: line(&members, kind, aggregation, steps, &mut merged),
    });
    Ok(QueryResult {
        series: lines.collect(),
        truncated: is_full || without_history > 0,
        without_history,
        step: steps.length,
    })
}

/// Returns the labels that tell the group of a series: labels that it lacks have an empty value.
fn group_of<'a>(query: &'a Query, labels: &'a [(Arc<str>, Arc<str>)]) -> Vec<(&'a str, &'a str)> {
    if query.by_labels().iter().any(|label| label == ALL_LABELS) {
        return labels
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
    }
    let value_of = |name: &str| labels.iter().find(|(label, _)| **label == *name);
    let by = query.by_labels().iter();
    by.map(|name| {
        (
            name.as_str(),
            value_of(name).map_or("", |(_, value)| &**value),
        )
    })
    .collect()
}
