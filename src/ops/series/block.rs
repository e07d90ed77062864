//! Old points in few bytes: what the file keeps of a series over an hour of minutes, or a day of hours.
//!
//! A block is a version, then runs of equal points: the spans that are missing before it, the seconds that its points have seen
//! if these are not all, the point, and how many more there are like it. A counter or gauge that does not change takes four bytes.

use super::{
    Added, GaugePoint, PackedHistogram, SeriesKind,
    packed::{pop_checked, push},
    point::Point,
};

/// The first byte of a block.
const VERSION: u8 = 1;
/// The bits of a run's head.
const IS_PARTIAL: u64 = 0b01;
const IS_REPEATED: u64 = 0b10;
const GAP_SHIFT: u32 = 2;

/// The least whole number that a float cannot tell from its neighbor.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The forms of the values of a gauge.
const IS_WHOLE: u8 = 0b01;
const IS_STEADY: u8 = 0b10;

/// The value of a point of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) enum PointValue {
    Counter(Added),
    Gauge(GaugePoint),
    Histogram(PackedHistogram),
}

/// A point of a minute or of an hour: the number of its span, its value, and the seconds that it has seen.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct OldPoint {
    pub(in crate::ops) span: u64,
    pub(in crate::ops) value: PointValue,
    pub(in crate::ops) seconds: u32,
}

impl PointValue {
    pub(in crate::ops) fn kind(&self) -> SeriesKind {
        match self {
            PointValue::Counter(_) => SeriesKind::Counter,
            PointValue::Gauge(_) => SeriesKind::Gauge,
            PointValue::Histogram(_) => SeriesKind::Histogram,
        }
    }

    /// Adds what a later span knows. One of another kind changes nothing.
    pub(in crate::ops) fn merge(&mut self, later: &PointValue) {
        match (self, later) {
            (PointValue::Counter(sum), PointValue::Counter(later)) => sum.merge(later),
            (PointValue::Gauge(sum), PointValue::Gauge(later)) => sum.merge(later),
            (PointValue::Histogram(sum), PointValue::Histogram(later)) => sum.merge(later),
            _ => {}
        }
    }
}

impl OldPoint {
    /// Returns the number of the span, the value and the seconds, if the value is that of a counter.
    pub(super) fn into_counter(self) -> Option<(u64, Added, u32)> {
        match self.value {
            PointValue::Counter(value) => Some((self.span, value, self.seconds)),
            _ => None,
        }
    }

    /// Returns the same for a gauge.
    pub(super) fn into_gauge(self) -> Option<(u64, GaugePoint, u32)> {
        match self.value {
            PointValue::Gauge(value) => Some((self.span, value, self.seconds)),
            _ => None,
        }
    }

    /// Returns the same for a histogram.
    pub(super) fn into_histogram(self) -> Option<(u64, PackedHistogram, u32)> {
        match self.value {
            PointValue::Histogram(value) => Some((self.span, value, self.seconds)),
            _ => None,
        }
    }

    /// Returns the merged point of several, under a number; none of none.
    pub(in crate::ops) fn merged<'a>(
        span: u64,
        points: impl IntoIterator<Item = &'a OldPoint>,
    ) -> Option<OldPoint> {
        let mut points = points.into_iter();
        let first = points.next()?.clone();
        let sum = points.fold(first, |mut sum, point| {
            sum.value.merge(&point.value);
            sum.seconds = sum.seconds.saturating_add(point.seconds);
            sum
        });
        Some(OldPoint { span, ..sum })
    }
}

/// Packs the points of a block, ascending, whose spans begin at `first`. `full` is the seconds of a span.
pub(in crate::ops) fn pack_block(first: u64, full: u32, points: &[OldPoint]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let mut next = first;
    let mut rest = points;
    while let [point, others @ ..] = rest {
        let follows = |(at, other): (usize, &OldPoint)| {
            let is_next = other.span == point.span + at as u64 + 1;
            is_next && other.seconds == point.seconds && is_same(&other.value, &point.value)
        };
        let more = others.iter().enumerate();
        let more = more.take_while(|each| follows(*each)).count();
        let is_partial = u64::from(point.seconds != full) * IS_PARTIAL;
        let is_repeated = u64::from(more > 0) * IS_REPEATED;
        let gap = point.span.saturating_sub(next) << GAP_SHIFT;
        push(&mut bytes, gap | is_partial | is_repeated);
        if is_partial > 0 {
            push(&mut bytes, point.seconds.into());
        }
        pack_value(&mut bytes, &point.value);
        if is_repeated > 0 {
            push(&mut bytes, more as u64);
        }
        next = point.span + more as u64 + 1;
        rest = &others[more..];
    }
    bytes
}

/// Unpacks a block of at most `spans` points: as many as are sound, since the bytes come from outside.
pub(in crate::ops) fn unpack_block(
    kind: SeriesKind,
    first: u64,
    spans: u64,
    full: u32,
    bytes: &[u8],
) -> Vec<OldPoint> {
    let mut points = Vec::new();
    let [VERSION, rest @ ..] = bytes else {
        return points;
    };
    let mut rest = rest;
    let (mut next, end) = (first, first.saturating_add(spans));
    while !rest.is_empty() {
        let Some((gap, point, more)) = unpack_run(kind, full, &mut rest) else {
            break;
        };
        let from = next.saturating_add(gap);
        let until = from.saturating_add(more).saturating_add(1);
        if until > end {
            break;
        }
        points.extend((from..until).map(|span| OldPoint {
            span,
            ..point.clone()
        }));
        next = until;
    }
    points
}

/// Returns the spans that are missing before a run, its point, and how many more there are like it.
fn unpack_run(kind: SeriesKind, full: u32, bytes: &mut &[u8]) -> Option<(u64, OldPoint, u64)> {
    let head = pop_checked(bytes)?;
    let seconds = match head & IS_PARTIAL {
        0 => full,
        _ => u32::try_from(pop_checked(bytes)?).ok()?.max(1),
    };
    let value = unpack_value(kind, bytes)?;
    let more = match head & IS_REPEATED {
        0 => 0,
        _ => pop_checked(bytes)?,
    };
    let point = OldPoint {
        span: 0,
        value,
        seconds,
    };
    Some((head >> GAP_SHIFT, point, more))
}

/// Returns whether two values are packed alike, `NaN` included.
fn is_same(a: &PointValue, b: &PointValue) -> bool {
    match (a, b) {
        (PointValue::Gauge(a), PointValue::Gauge(b)) => {
            let bits =
                |gauge: &GaugePoint| [gauge.last(), gauge.min(), gauge.max()].map(f64::to_bits);
            bits(a) == bits(b)
        }
        _ => a == b,
    }
}

/// Appends a value, whose kind is known from elsewhere.
pub(in crate::ops) fn pack_value(bytes: &mut Vec<u8>, value: &PointValue) {
    match value {
        PointValue::Counter(added) => push(bytes, added.get()),
        PointValue::Gauge(gauge) => pack_gauge(bytes, gauge),
        PointValue::Histogram(histogram) => histogram.to_bytes(bytes),
    }
}

/// Takes a value off the front of bytes that come from outside: none if they are not one.
pub(in crate::ops) fn unpack_value(kind: SeriesKind, bytes: &mut &[u8]) -> Option<PointValue> {
    Some(match kind {
        SeriesKind::Counter => PointValue::Counter(Added::new(pop_checked(bytes)?)),
        SeriesKind::Gauge => PointValue::Gauge(unpack_gauge(bytes)?),
        SeriesKind::Histogram => PointValue::Histogram(PackedHistogram::from_bytes(bytes)?),
    })
}

fn pack_gauge(bytes: &mut Vec<u8>, gauge: &GaugePoint) {
    let values = [gauge.last(), gauge.min(), gauge.max()];
    let is_steady = values
        .iter()
        .all(|value| value.to_bits() == values[0].to_bits());
    let values = &values[..if is_steady { 1 } else { 3 }];
    let is_whole = values.iter().all(|value| {
        let is_whole = value.trunc() == *value && value.abs() < MAX_WHOLE;
        // Minus zero would lose its sign.
        is_whole && (*value as i64 as f64).to_bits() == value.to_bits()
    });
    let form = [(is_whole, IS_WHOLE), (is_steady, IS_STEADY)];
    let form = form.map(|(is_so, bit)| u8::from(is_so) * bit);
    bytes.push(form[0] | form[1]);
    for value in values {
        match is_whole {
            true => push(bytes, zigzag(*value as i64)),
            false => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }
}

fn unpack_gauge(bytes: &mut &[u8]) -> Option<GaugePoint> {
    let (form, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut value = || {
        if form & IS_WHOLE > 0 {
            return Some(unzigzag(pop_checked(bytes)?) as f64);
        }
        let (value, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(f64::from_le_bytes(*value))
    };
    let last = value()?;
    if form & IS_STEADY > 0 {
        return Some(GaugePoint::of(last, last, last));
    }
    Some(GaugePoint::of(last, value()?, value()?))
}

/// Returns a number that is small for a small one of either sign.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> (i64::BITS - 1))) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
