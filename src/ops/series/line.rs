//! The points of one line: what the histories of a group come to in each step.

use super::{
    Added, Aggregation, GaugePoint, PackedHistogram, SeriesHistory, SeriesKind, TieredRing,
    merged_buckets::MergedBuckets, steps::Steps,
};

/// Returns the points of a group.
pub(super) fn line(
    members: &[&SeriesHistory],
    kind: SeriesKind,
    aggregation: Aggregation,
    steps: &Steps,
    merged: &mut MergedBuckets,
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
        SeriesKind::Histogram => of_histograms(&histograms, aggregation, steps.tier, spans, merged),
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
    merged: &mut MergedBuckets,
) -> Option<f64> {
    let q = match aggregation {
        Aggregation::Min => 0.0,
        Aggregation::Max => 1.0,
        Aggregation::Quantile(q) => q,
        Aggregation::Count | Aggregation::Rate | Aggregation::Sum | Aggregation::Avg => {
            return of_totals(rings, aggregation, tier, spans);
        }
    };
    let points = |span| rings.iter().filter_map(move |ring| ring.point(tier, span));
    let mut points = spans.flat_map(points).map(|(point, _)| point);
    let first = points.next()?;
    // Most steps have one point, with nothing to merge.
    let Some(second) = points.next() else {
        return first.quantile(q);
    };
    merged.clear();
    merged.add(&first);
    merged.add(&second);
    points.for_each(|point| merged.add(&point));
    merged.quantile(q)
}

/// Returns what follows from the number and the sum of the values, without a look at their buckets.
fn of_totals(
    rings: &[&TieredRing<PackedHistogram>],
    aggregation: Aggregation,
    tier: usize,
    spans: Spans,
) -> Option<f64> {
    let (mut count, mut sum, mut seconds) = (0_u64, 0.0, 0);
    for span in spans {
        let mut covered = 0;
        for (point, seconds) in rings.iter().filter_map(|ring| ring.point(tier, span)) {
            covered = covered.max(seconds);
            count = count.saturating_add(point.count());
            sum += point.sum();
        }
        seconds += covered;
    }
    let number = match aggregation {
        Aggregation::Count => count as f64,
        Aggregation::Rate => count as f64 / f64::from(seconds),
        Aggregation::Sum => sum,
        // Not a number where there are no values.
        Aggregation::Avg => sum / count as f64,
        Aggregation::Min | Aggregation::Max | Aggregation::Quantile(_) => return None,
    };
    (seconds > 0).then_some(number)
}
