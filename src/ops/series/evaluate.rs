//! The evaluation of a query on histories.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Added, Aggregation, GaugePoint, PackedHistogram, Query, QueryError, QueryResult, QuerySeries,
    SeriesHistory, SeriesKind, TieredRing,
    buckets::{BUCKETS, middle_of},
    tiered_ring::TIERS,
};

/// The label that stands for all labels.
const ALL_LABELS: &str = "*";

/// One series as a query sees it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// Its labels.
    pub labels: &'a [(Arc<str>, Arc<str>)],
    /// Its history, if there is one.
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
    let aggregation = query.aggregation().unwrap_or(Aggregation::default_of(kind));
    if !aggregation.fits(kind) {
        let expected = match kind {
            SeriesKind::Counter => "sum, avg, min, max, rate or count for a counter",
            _ => "sum, avg, min, max or count for a gauge",
        };
        return Err(QueryError::new("agg", aggregation, expected));
    }
    let steps = Steps::of(query, now);
    let mut groups = BTreeMap::<Vec<(&str, &str)>, Vec<&SeriesHistory>>::new();
    let mut truncated = false;
    for view in series {
        if !query
            .filters()
            .iter()
            .all(|filter| filter.matches(view.labels))
        {
            continue;
        }
        let Some(history) = view.history else {
            truncated = true;
            continue;
        };
        let group = group_of(query, view.labels);
        let is_full = groups.len() == query.max_lines();
        match groups.get_mut(&group) {
            Some(members) => members.push(history),
            None if is_full => truncated = true,
            None => {
                groups.insert(group, vec![history]);
            }
        }
    }
    let mut scratch = Scratch::default();
    let lines = groups.into_iter().map(|(group, members)| QuerySeries {
        labels: group
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        points: line(&members, kind, aggregation, &steps, &mut scratch),
    });
    Ok(QueryResult {
        series: lines.collect(),
        truncated,
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

/// The steps of a query and the tier that has their points.
#[derive(Debug, PartialEq)]
struct Steps {
    /// The Unix time at which the first step begins; a multiple of the resolution.
    start: u64,
    /// The seconds of a step; a multiple of the resolution.
    length: u64,
    count: u64,
    /// The place in [`TIERS`].
    tier: usize,
}

impl Steps {
    fn of(query: &Query, now: u64) -> Self {
        let end = query.end_second().unwrap_or(now).min(now);
        let range = query.range_seconds();
        let first = (end + 1).saturating_sub(range);
        // The finest tier that still has the first second.
        let reaches = |(resolution, points): (u64, usize)| now < first + resolution * points as u64;
        let finest = TIERS
            .iter()
            .position(|tier| reaches(*tier))
            .unwrap_or(TIERS.len() - 1);
        let resolution = TIERS[finest].0;
        let length = query.step_seconds().next_multiple_of(resolution);
        let count = range.div_ceil(length);
        if count == 1 {
            let start = first / resolution * resolution;
            let length = (end + 1 - start).next_multiple_of(resolution);
            return Steps {
                start,
                length,
                count,
                tier: finest,
            };
        }
        // The coarsest tier whose points make up a step: fewest to merge.
        let fits = |tier: &usize| length % TIERS[*tier].0 == 0;
        let tier = (finest..TIERS.len()).rev().find(fits).unwrap_or(finest);
        let start = (end / length).saturating_sub(count - 1) * length;
        Steps {
            start,
            length,
            count,
            tier,
        }
    }

    /// Returns the time of each step with the numbers of its spans.
    fn spans(&self) -> impl Iterator<Item = (u64, std::ops::Range<u64>)> {
        let resolution = TIERS[self.tier].0;
        (0..self.count).map(move |step| {
            let start = self.start + step * self.length;
            (
                start,
                start / resolution..(start + self.length) / resolution,
            )
        })
    }
}

/// Returns the points of a group.
fn line(
    members: &[&SeriesHistory],
    kind: SeriesKind,
    aggregation: Aggregation,
    steps: &Steps,
    scratch: &mut Scratch,
) -> Vec<(u64, Option<f64>)> {
    // All members are of the kind; others would be left out.
    let counters: Vec<_> = members
        .iter()
        .filter_map(|history| as_counter(history))
        .collect();
    let gauges: Vec<_> = members
        .iter()
        .filter_map(|history| as_gauge(history))
        .collect();
    let histograms: Vec<_> = members
        .iter()
        .filter_map(|history| as_histogram(history))
        .collect();
    let number = |spans| match kind {
        SeriesKind::Counter => of_counters(&counters, aggregation, steps.tier, spans),
        SeriesKind::Gauge => of_gauges(&gauges, aggregation, steps.tier, spans),
        SeriesKind::Histogram => {
            of_histograms(&histograms, aggregation, steps.tier, spans, scratch)
        }
    };
    let mut number = number;
    let point = |(start, spans)| (start, number(spans).filter(|number| number.is_finite()));
    steps.spans().map(point).collect()
}

fn as_counter(history: &SeriesHistory) -> Option<&TieredRing<Added>> {
    match history {
        SeriesHistory::Counter(ring) => Some(ring),
        _ => None,
    }
}

fn as_gauge(history: &SeriesHistory) -> Option<&TieredRing<GaugePoint>> {
    match history {
        SeriesHistory::Gauge(ring) => Some(ring),
        _ => None,
    }
}

fn as_histogram(history: &SeriesHistory) -> Option<&TieredRing<PackedHistogram>> {
    match history {
        SeriesHistory::Histogram(ring) => Some(ring),
        _ => None,
    }
}

type Spans = std::ops::Range<u64>;

fn of_counters(
    rings: &[&TieredRing<Added>],
    aggregation: Aggregation,
    tier: usize,
    spans: Spans,
) -> Option<f64> {
    let (mut added, mut seconds) = (0.0, 0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for span in spans {
        let points = rings.iter().filter_map(|ring| ring.point(tier, span));
        let sums = points.fold(None, |sums, (point, seconds)| {
            let (sum, most) = sums.unwrap_or((0.0, 0));
            Some((sum + point.get() as f64, seconds.max(most)))
        });
        // The seconds for which a span is known are those of the series that has the most.
        if let Some((sum, covered)) = sums {
            added += sum;
            seconds += covered;
            let rate = sum / f64::from(covered);
            min = f64::min(min, rate);
            max = f64::max(max, rate);
        }
    }
    let number = match aggregation {
        Aggregation::Sum | Aggregation::Count => added,
        Aggregation::Rate | Aggregation::Avg => added / f64::from(seconds),
        Aggregation::Min => min,
        Aggregation::Max => max,
        Aggregation::Quantile(_) => return None,
    };
    (seconds > 0).then_some(number)
}

fn of_gauges(
    rings: &[&TieredRing<GaugePoint>],
    aggregation: Aggregation,
    tier: usize,
    spans: Spans,
) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for ring in rings {
        let points = spans.clone().filter_map(|span| ring.point(tier, span));
        let mut last = None;
        for (point, _) in points {
            min = min.min(point.min());
            max = max.max(point.max());
            last = Some(point.last());
        }
        if let Some(last) = last {
            sum += last;
            count += 1.0;
        }
    }
    let number = match aggregation {
        Aggregation::Sum => sum,
        Aggregation::Avg => sum / count,
        Aggregation::Min => min,
        Aggregation::Max => max,
        Aggregation::Count => count,
        Aggregation::Rate | Aggregation::Quantile(_) => return None,
    };
    (count > 0.0).then_some(number)
}

fn of_histograms(
    rings: &[&TieredRing<PackedHistogram>],
    aggregation: Aggregation,
    tier: usize,
    spans: Spans,
    scratch: &mut Scratch,
) -> Option<f64> {
    let mut seconds = 0;
    scratch.clear();
    for span in spans {
        let mut covered = 0;
        for (point, seconds) in rings.iter().filter_map(|ring| ring.point(tier, span)) {
            covered = covered.max(seconds);
            scratch.add(&point);
        }
        seconds += covered;
    }
    if seconds == 0 {
        return None;
    }
    match aggregation {
        Aggregation::Count => Some(scratch.count as f64),
        Aggregation::Rate => Some(scratch.count as f64 / f64::from(seconds)),
        Aggregation::Sum => Some(scratch.sum),
        Aggregation::Avg => (scratch.count > 0).then(|| scratch.sum / scratch.count as f64),
        Aggregation::Min => scratch.quantile(0.0),
        Aggregation::Max => scratch.quantile(1.0),
        Aggregation::Quantile(q) => scratch.quantile(q),
    }
}

/// All buckets, to merge many histograms into without moving any.
#[derive(Debug)]
struct Scratch {
    counts: Box<[u64]>,
    /// The buckets that may have values.
    used: std::ops::Range<usize>,
    count: u64,
    sum: f64,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            counts: Box::new([0; BUCKETS]),
            used: 0..0,
            count: 0,
            sum: 0.0,
        }
    }
}

impl Scratch {
    fn clear(&mut self) {
        self.counts[self.used.clone()].fill(0);
        (self.used, self.count, self.sum) = (0..0, 0, 0.0);
    }

    fn add(&mut self, histogram: &PackedHistogram) {
        for (index, count) in histogram.buckets() {
            let index = usize::from(index);
            self.counts[index] += count;
            self.count += count;
            self.used = match self.used.is_empty() {
                true => index..index + 1,
                false => self.used.start.min(index)..self.used.end.max(index + 1),
            };
        }
        self.sum += histogram.sum();
    }

    fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        let mut used = self.used.clone();
        let at = used.find(|index| {
            below += self.counts[*index];
            below >= rank
        });
        at.map(|index| middle_of(index as u16))
    }
}
