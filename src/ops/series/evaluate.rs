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
        let fits = |tier: &usize| length.is_multiple_of(TIERS[*tier].0);
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
        let mut count = 0;
        let (mut first, mut last) = (None, 0);
        for (index, added) in histogram.buckets() {
            let index = usize::from(index);
            first = first.or(Some(index));
            last = index;
            self.counts[index] += added;
            count += added;
        }
        if let Some(first) = first {
            self.used = match self.used.is_empty() {
                true => first..last + 1,
                false => self.used.start.min(first)..self.used.end.max(last + 1),
            };
        }
        self.count += count;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ops::series::{Filter, Histogram};

    const NOW: u64 = 1_000_019;

    type Labels = Vec<(Arc<str>, Arc<str>)>;

    fn labels(route: &str, status: &str) -> Labels {
        vec![
            ("route".into(), route.into()),
            ("status".into(), status.into()),
        ]
    }

    /// A counter that adds `per_second` in each of the last `seconds`.
    fn counter(per_second: u64, seconds: u64) -> SeriesHistory {
        let mut ring = TieredRing::new();
        (NOW - seconds + 1..=NOW).for_each(|second| ring.push(second, Added::new(per_second)));
        SeriesHistory::Counter(ring)
    }

    fn gauge(values: &[(u64, f64)]) -> SeriesHistory {
        let mut ring = TieredRing::new();
        values
            .iter()
            .for_each(|(second, value)| ring.push(*second, GaugePoint::new(*value)));
        SeriesHistory::Gauge(ring)
    }

    fn histogram(values: &[f64]) -> SeriesHistory {
        let mut ring = TieredRing::new();
        for second in NOW - 19..=NOW {
            let mut histogram = Histogram::new();
            values.iter().for_each(|value| histogram.record(*value));
            ring.push(second, PackedHistogram::new(&histogram));
        }
        SeriesHistory::Histogram(ring)
    }

    fn query(range: u64, step: u64, aggregation: &str) -> Query {
        Query::new("load")
            .range(Duration::from_secs(range))
            .step(Duration::from_secs(step))
            .aggregate(Aggregation::from_text(aggregation).expect("an aggregation"))
    }

    fn run(query: &Query, series: &[(Labels, Option<SeriesHistory>)]) -> QueryResult {
        let kind = series
            .iter()
            .find_map(|(_, history)| Some(history.as_ref()?.kind()));
        let views = series.iter().map(|(labels, history)| SeriesView {
            labels,
            history: history.as_ref(),
        });
        evaluate(query, kind.unwrap_or(SeriesKind::Counter), NOW, views).expect("a valid query")
    }

    /// The number of the only step of the only line.
    fn number(aggregation: &str, series: &[SeriesHistory]) -> Option<f64> {
        let series: Vec<_> = series
            .iter()
            .map(|history| (labels("/", "200"), Some(history.clone())))
            .collect();
        let result = run(&query(20, 20, aggregation), &series);
        let [line] = &result.series[..] else {
            panic!("one line: {result:?}")
        };
        let [(_, number)] = line.points[..] else {
            panic!("one point: {result:?}")
        };
        number
    }

    #[test]
    fn counters_have_sums_and_rates() {
        let series = [counter(3, 20), counter(7, 10)];
        assert_eq!(number("sum", &series), Some(130.0));
        assert_eq!(number("count", &series), Some(130.0));
        assert_eq!(number("rate", &series), Some(6.5));
        assert_eq!(number("avg", &series), Some(6.5));
        assert_eq!(number("min", &series), Some(3.0));
        assert_eq!(number("max", &series), Some(10.0));
        // A series that is younger than the range has the rate of its life.
        assert_eq!(number("rate", &[counter(7, 10)]), Some(7.0));
        assert_eq!(
            number("rate", &[SeriesHistory::new(SeriesKind::Counter)]),
            None
        );
    }

    #[test]
    fn gauges_have_their_last_values() {
        let series = [
            gauge(&[(NOW - 3, 9.0), (NOW - 2, 2.0)]),
            gauge(&[(NOW, 4.0)]),
        ];
        assert_eq!(number("sum", &series), Some(6.0));
        assert_eq!(number("avg", &series), Some(3.0));
        assert_eq!(number("min", &series), Some(2.0));
        assert_eq!(number("max", &series), Some(9.0));
        assert_eq!(number("count", &series), Some(2.0));
        assert_eq!(
            number("max", &[gauge(&[(NOW, f64::INFINITY)])]),
            None,
            "not finite"
        );
        assert_eq!(number("sum", &[gauge(&[(NOW, f64::NAN)])]), None);
        assert_eq!(
            number("sum", &[SeriesHistory::new(SeriesKind::Gauge)]),
            None
        );
    }

    #[test]
    fn percentiles_are_those_of_merged_histograms() {
        // One value of 100 and 99 of 1: the average of their medians would be 50.
        let series = [histogram(&[100.0]), histogram(&[1.0; 99])];
        let is_near = |aggregation, expected: f64| {
            let number = number(aggregation, &series).expect("there are values");
            assert!(
                (number - expected).abs() <= expected / 64.0,
                "{aggregation}: {number}"
            );
        };
        is_near("p50", 1.0);
        is_near("p99", 1.0);
        is_near("p99.1", 100.0);
        is_near("min", 1.0);
        is_near("max", 100.0);
        assert_eq!(number("count", &series), Some(2_000.0));
        assert_eq!(number("rate", &series), Some(100.0));
        assert_eq!(number("sum", &series), Some(20.0 * 199.0));
        assert_eq!(number("avg", &series), Some(1.99));
        let empty = [histogram(&[])];
        assert_eq!(number("rate", &empty), Some(0.0));
        assert_eq!(
            [
                number("avg", &empty),
                number("p50", &empty),
                number("max", &empty)
            ],
            [None; 3]
        );
        assert_eq!(
            number("rate", &[SeriesHistory::new(SeriesKind::Histogram)]),
            None
        );
    }

    #[test]
    fn lines_are_by_label() {
        let series = [
            (labels("/a", "200"), Some(counter(1, 5))),
            (labels("/a", "500"), Some(counter(2, 5))),
            (labels("/b", "200"), Some(counter(4, 5))),
        ];
        let rates = |query: &Query| -> Vec<_> {
            let result = run(query, &series);
            assert!(!result.truncated);
            let line = |line: &QuerySeries| {
                let values: Vec<_> = line.labels.iter().map(|(_, value)| value.clone()).collect();
                (values.join(" "), line.points[0].1.expect("a rate"))
            };
            result.series.iter().map(line).collect()
        };
        let query = || query(5, 5, "rate");
        assert_eq!(rates(&query()), [(String::new(), 7.0)]);
        assert_eq!(
            rates(&query().by(["route"])),
            [("/a".to_owned(), 3.0), ("/b".to_owned(), 4.0)]
        );
        assert_eq!(rates(&query().by(["shop"])), [(String::new(), 7.0)]);
        assert_eq!(
            rates(&query().by(["*"])),
            [
                ("/a 200".to_owned(), 1.0),
                ("/a 500".to_owned(), 2.0),
                ("/b 200".to_owned(), 4.0)
            ]
        );
        let filtered = query()
            .filter(Filter::is("status", "200"))
            .filter(Filter::is_not("route", "/b"));
        assert_eq!(rates(&filtered), [(String::new(), 1.0)]);
    }

    #[test]
    fn result_says_that_something_is_missing() {
        let series = [
            (labels("/a", "200"), Some(counter(1, 5))),
            (labels("/b", "200"), Some(counter(2, 5))),
        ];
        let result = run(&query(5, 5, "rate").by(["route"]).limit(1), &series);
        assert_eq!((result.series.len(), result.truncated), (1, true));
        let result = run(&query(5, 5, "rate").by(["route"]).limit(2), &series);
        assert_eq!((result.series.len(), result.truncated), (2, false));
        let result = run(&query(5, 5, "rate"), &[(labels("/a", "200"), None)]);
        assert_eq!((result.series.len(), result.truncated), (0, true));
        let other = query(5, 5, "rate").filter(Filter::is("status", "500"));
        assert!(
            !run(&other, &[(labels("/a", "200"), None)]).truncated,
            "no part of the question"
        );
    }

    #[test]
    fn aggregation_that_does_not_fit_the_kind_is_named() {
        let error = |kind, aggregation| {
            let result = evaluate(&query(5, 5, aggregation), kind, NOW, []);
            result.expect_err("does not fit").to_string()
        };
        assert_eq!(
            error(SeriesKind::Counter, "p95"),
            "agg is p95, must be sum, avg, min, max, rate or count for a counter"
        );
        assert_eq!(
            error(SeriesKind::Gauge, "rate"),
            "agg is rate, must be sum, avg, min, max or count for a gauge"
        );
        let error = evaluate(&Query::new(""), SeriesKind::Gauge, NOW, []).expect_err("no name");
        assert_eq!(error.field(), "name");
    }

    #[test]
    fn steps_begin_at_multiples_of_their_length() {
        let points = |query: &Query| {
            run(query, &[(labels("/", "200"), Some(counter(1, 25)))]).series[0]
                .points
                .clone()
        };
        // NOW ends in 19: the last step has begun ten seconds ago.
        assert_eq!(
            points(&query(30, 10, "sum")),
            [
                (999_990, Some(5.0)),
                (1_000_000, Some(10.0)),
                (1_000_010, Some(10.0))
            ]
        );
        let ends_earlier = query(20, 10, "sum").end(1_000_005);
        assert_eq!(
            points(&ends_earlier),
            [(999_990, Some(5.0)), (1_000_000, Some(10.0))]
        );
        assert_eq!(
            points(&query(3, 1, "rate")),
            [(NOW - 2, Some(1.0)), (NOW - 1, Some(1.0)), (NOW, Some(1.0))]
        );
        assert_eq!(points(&query(60, 30, "sum"))[0].1, None, "a gap");
    }

    #[test]
    fn tier_is_the_one_that_reaches_back() {
        let steps = |range, step| {
            let Steps {
                start,
                length,
                count,
                tier,
            } = Steps::of(&query(range, step, "sum"), NOW);
            (NOW - start, length, count, tier)
        };
        // A multiple of 10 s or 60 s takes fewer points.
        assert_eq!(steps(300, 1), (299, 1, 300, 0));
        assert_eq!(steps(300, 15), (299, 15, 20, 0));
        assert_eq!(steps(300, 10), (299, 10, 30, 1));
        assert_eq!(steps(300, 60), (299, 60, 5, 2));
        // Further back than the seconds: the step becomes one of ten seconds, or of a minute.
        assert_eq!(steps(301, 1), (309, 10, 31, 1));
        assert_eq!(steps(3_600, 15), (3_599, 20, 180, 1));
        assert_eq!(steps(3_600, 60).3, 2);
        assert_eq!(steps(3_601, 20), (3_659, 60, 61, 2));
        assert_eq!(steps(86_400, 60), (86_399, 60, 1_440, 2));
        // One step ends at the end, and begins with a point.
        assert_eq!(steps(20, 20), (19, 20, 1, 0));
        assert_eq!(steps(3_600, 3_600), (3_599, 3_600, 1, 1));
        assert_eq!(steps(86_400, 86_400), (86_399, 86_400, 1, 2));
        assert_eq!(steps(7, 100), (6, 7, 1, 0));
    }

    #[test]
    fn time_before_1970_is_none() {
        let steps = Steps::of(&query(300, 1, "sum"), 10);
        assert_eq!((steps.start, steps.count), (0, 300));
    }
}
