use std::borrow::Cow;

use super::{point::Point, ring::Ring};

/// The resolutions in seconds, each with its number of points: 1 s for 5 min, 10 s for 1 h, 1 min for 24 h.
pub const TIERS: [(u64, usize); 3] = [(1, 300), (10, 360), (60, 1_440)];

/// The most old points of a ring: a week of minutes, 90 days of hours, and those that have begun.
#[cfg(feature = "ops-sqlite")]
const MAX_OLD_MINUTES: usize = 10_081;
#[cfg(feature = "ops-sqlite")]
const MAX_OLD_HOURS: usize = 2_161;

/// The latest points of one series in three resolutions.
///
/// One point per second goes in. Points of 10 s are merged from those of 1 s, points of 1 min from those of 10 s, once their
/// time is over; until then they are merged when they are asked for.
///
/// ```
/// use tower_keep::ops::series::{Added, TieredRing};
///
/// let mut ring = TieredRing::new();
/// for second in 100..130 {
///     ring.push(second, Added::new(2));
/// }
/// let added = |tier, span| ring.point(tier, span).map(|(point, seconds)| (point.get(), seconds));
/// assert_eq!(added(0, 129), Some((2, 1)));
/// assert_eq!(added(1, 11), Some((20, 10)), "110 s to 119 s");
/// assert_eq!(added(1, 13), None, "a gap");
/// ```
#[derive(Clone, Debug)]
pub struct TieredRing<T> {
    /// With a point goes the number of seconds that it has seen, since the others were gaps.
    seconds: Ring<T>,
    tens: Ring<Covered<T>>,
    minutes: Ring<Covered<T>>,
    /// The part of a minute that an earlier process has seen, until that minute is over.
    carried: Option<Box<(u64, Covered<T>)>>,
    /// Only in a ring that was made of old points.
    hours: Ring<Covered<T>>,
}

/// The resolutions of rings in seconds, those of [`TIERS`] first; the last one is only in old points.
pub(super) const RESOLUTIONS: [u64; 4] = [TIERS[0].0, TIERS[1].0, TIERS[2].0, 3_600];

/// A point with the number of seconds that have a point.
#[derive(Clone, Debug)]
struct Covered<T>(T, u32);

impl<T: Point> Point for Covered<T> {
    fn merge(&mut self, later: &Self) {
        self.0.merge(&later.0);
        self.1 += later.1;
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl<T: Point> Default for TieredRing<T> {
    fn default() -> Self {
        TieredRing::new()
    }
}

impl<T: Point> TieredRing<T> {
    /// Creates a ring without points.
    ///
    /// ```
    /// use tower_keep::ops::series::{GaugePoint, TieredRing};
    ///
    /// assert_eq!(TieredRing::<GaugePoint>::new().last(), None);
    /// ```
    pub fn new() -> Self {
        TieredRing {
            seconds: Ring::new(TIERS[0].1),
            tens: Ring::new(TIERS[1].1),
            minutes: Ring::new(TIERS[2].1),
            carried: None,
            hours: Ring::new(1),
        }
    }

    /// Creates a ring of old points: of minutes and of hours, ascending, each with the seconds that it has seen.
    #[cfg(feature = "ops-sqlite")]
    pub(crate) fn of_old(
        minutes: impl IntoIterator<Item = (u64, T, u32)>,
        hours: impl IntoIterator<Item = (u64, T, u32)>,
    ) -> Self {
        TieredRing {
            minutes: ring(minutes, MAX_OLD_MINUTES),
            hours: ring(hours, MAX_OLD_HOURS),
            ..TieredRing::new()
        }
    }

    /// Adds minutes that an earlier process has seen, ascending, each with its seconds. Those that the ring knows stay as they
    /// are; the one that is not over is merged. A ring without points takes none.
    #[cfg(feature = "ops-sqlite")]
    pub(crate) fn restore(&mut self, earlier: impl IntoIterator<Item = (u64, T, u32)>) {
        let Some(last) = self.seconds.last() else {
            return;
        };
        let now = last / TIERS[2].0;
        let known = std::mem::replace(&mut self.minutes, Ring::new(TIERS[2].1));
        let first = known.first().unwrap_or(now);
        for (minute, point, seconds) in earlier {
            let covered = Covered(point, seconds);
            if minute < first {
                self.minutes.push(minute, covered);
            } else if minute == now && self.carried.is_none() {
                self.carried = Some(Box::new((minute, covered)));
            }
        }
        let spans = known.first().zip(known.last());
        for minute in spans.map_or(0..0, |(first, last)| first..last + 1) {
            if let Some(covered) = known.get(minute) {
                self.minutes.push(minute, covered.clone());
            }
        }
    }

    /// Returns the minutes from one on, that of now included, each with the seconds that it has seen.
    #[cfg(feature = "ops-sqlite")]
    pub(crate) fn minutes_from(&self, from: u64) -> impl Iterator<Item = (u64, T, u32)> {
        let now = self.last().map(|last| last / TIERS[2].0);
        let first = self.minutes.first().or(now).unwrap_or(0).max(from);
        let minutes = first..now.map_or(0, |now| now + 1);
        minutes.filter_map(|minute| {
            let (point, seconds) = self.point(2, minute)?;
            Some((minute, point.into_owned(), seconds))
        })
    }

    /// Adds the point of a second of Unix time. That of the last second or of an earlier one is merged into the last point.
    pub fn push(&mut self, second: u64, point: T) {
        if let Some(last) = self.seconds.last() {
            // Before the new point, which may push out what is merged here.
            let over = last / TIERS[1].0;
            if second / TIERS[1].0 > over
                && let Some(covered) = self.ten(over)
            {
                self.tens.push(over, covered);
            }
            let over = last / TIERS[2].0;
            if second / TIERS[2].0 > over
                && let Some(covered) = self.minute(over)
            {
                self.minutes.push(over, covered);
                self.carried = None;
            }
        }
        self.seconds.push(second, point);
    }

    /// Returns the last second that has a point.
    pub fn last(&self) -> Option<u64> {
        self.seconds.last()
    }

    /// Returns the point of a span of a tier (its place in [`TIERS`]), and how many of its seconds have a point.
    ///
    /// Spans are numbered: that of the Unix time `t` at a resolution of 10 s has the number `t / 10`.
    pub fn point(&self, tier: usize, span: u64) -> Option<(Cow<'_, T>, u32)> {
        let kept = match tier {
            0 => return Some((Cow::Borrowed(self.seconds.get(span)?), 1)),
            1 => self.tens.get(span),
            2 => self.minutes.get(span),
            _ => self.hours.get(span),
        };
        if let Some(Covered(point, seconds)) = kept {
            return Some((Cow::Borrowed(point), *seconds));
        }
        let Covered(point, seconds) = match tier {
            1 => self.ten(span)?,
            2 => self.minute(span)?,
            _ => return None,
        };
        Some((Cow::Owned(point), seconds))
    }

    /// Returns the point of ten seconds: the kept one, or that of the seconds until now.
    fn ten(&self, span: u64) -> Option<Covered<T>> {
        if let Some(kept) = self.tens.get(span) {
            return Some(kept.clone());
        }
        let first = span.checked_mul(TIERS[1].0)?;
        let (point, seconds) = self.seconds.merged(first, first + TIERS[1].0 - 1)?;
        Some(Covered(point, seconds as u32))
    }

    /// Returns the point of a minute: the kept one, or that of what is kept of its parts.
    fn minute(&self, span: u64) -> Option<Covered<T>> {
        if let Some(kept) = self.minutes.get(span) {
            return Some(kept.clone());
        }
        let tens = TIERS[2].0 / TIERS[1].0;
        let first = span.checked_mul(tens)?;
        let carried = self.carried.as_ref().filter(|carried| carried.0 == span);
        let carried = carried.map(|carried| carried.1.clone());
        let parts = (first..first + tens).filter_map(|ten| self.ten(ten));
        carried.into_iter().chain(parts).reduce(|mut sum, part| {
            sum.merge(&part);
            sum
        })
    }

    /// Returns the bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let old = self.hours.heap_bytes();
        self.seconds.heap_bytes() + self.tens.heap_bytes() + self.minutes.heap_bytes() + old
    }
}

#[cfg(feature = "ops-sqlite")]
fn ring<T: Point>(points: impl IntoIterator<Item = (u64, T, u32)>, max: usize) -> Ring<Covered<T>> {
    let mut ring = Ring::new(max);
    for (span, point, seconds) in points {
        ring.push(span, Covered(point, seconds));
    }
    ring
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::series::Added;

    fn get(ring: &TieredRing<Added>, tier: usize, span: u64) -> Option<(u64, u32)> {
        ring.point(tier, span)
            .map(|(added, seconds)| (added.get(), seconds))
    }

    #[test]
    fn tiers_hold_the_documented_times() {
        let mut ring = TieredRing::new();
        let day = 24 * 3_600;
        let start = 60_000;
        for second in start..start + day + 60 {
            ring.push(second, Added::new(1));
        }
        let end = start + day + 60;
        assert_eq!(ring.last(), Some(end - 1));
        assert_eq!(get(&ring, 0, end - 1), Some((1, 1)));
        assert_eq!(get(&ring, 0, end - 300), Some((1, 1)));
        assert_eq!(get(&ring, 0, end - 301), None);
        // The last ten seconds and the last minute are not over: they are merged on demand, beside the full ring.
        assert_eq!(get(&ring, 1, end / 10 - 1), Some((10, 10)));
        assert_eq!(get(&ring, 1, end / 10 - 361), Some((10, 10)));
        assert_eq!(get(&ring, 1, end / 10 - 362), None);
        assert_eq!(get(&ring, 2, end / 60 - 1), Some((60, 60)));
        assert_eq!(get(&ring, 2, end / 60 - 1_441), Some((60, 60)));
        assert_eq!(get(&ring, 2, end / 60 - 1_442), None);
        assert!(ring.heap_bytes() < 64 * 1_024, "{}", ring.heap_bytes());
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut ring = TieredRing::new();
        for second in [0, 1, 12, 90] {
            ring.push(second, Added::new(1));
        }
        assert_eq!(get(&ring, 0, 2), None);
        assert_eq!(get(&ring, 1, 0), Some((2, 2)));
        assert_eq!(get(&ring, 1, 1), Some((1, 1)));
        assert_eq!(get(&ring, 1, 2), None);
        assert_eq!(get(&ring, 2, 0), Some((3, 3)));
        assert_eq!(get(&ring, 2, 1), Some((1, 1)), "not over");
        assert_eq!(get(&ring, 2, 2), None);
        assert_eq!(get(&ring, 2, u64::MAX), None);
        assert_eq!(get(&ring, 1, u64::MAX), None);
    }

    #[test]
    fn point_after_a_long_gap_does_not_lose_what_was_before() {
        let mut ring = TieredRing::new();
        (0..5).for_each(|second| ring.push(second, Added::new(1)));
        ring.push(1_000, Added::new(1));
        assert_eq!(get(&ring, 0, 4), None, "further back than 5 min");
        assert_eq!(get(&ring, 1, 0), Some((5, 5)));
        assert_eq!(get(&ring, 2, 0), Some((5, 5)));
        // Longer than the tens reach; they are forgotten when the first ten seconds after it are over.
        ring.push(10_000, Added::new(1));
        ring.push(10_010, Added::new(1));
        assert_eq!(get(&ring, 1, 0), None);
        assert_eq!(get(&ring, 2, 0), Some((5, 5)));
        assert_eq!(get(&ring, 2, 16), Some((1, 1)));
    }

    #[test]
    fn clock_that_was_set_back_loses_nothing() {
        let mut ring = TieredRing::new();
        ring.push(25, Added::new(1));
        ring.push(7, Added::new(2));
        assert_eq!(get(&ring, 0, 25), Some((3, 1)));
        assert_eq!(get(&ring, 1, 0), None);
        assert_eq!(get(&ring, 2, 0), Some((3, 1)));
    }

    /// Returns the minutes of a ring with what was added and the seconds.
    #[cfg(feature = "ops-sqlite")]
    fn minutes(ring: &TieredRing<Added>) -> Vec<(u64, u64, u32)> {
        let minutes = ring.minutes_from(0);
        minutes
            .map(|(minute, added, seconds)| (minute, added.get(), seconds))
            .collect()
    }

    #[cfg(feature = "ops-sqlite")]
    proptest::proptest! {
        #[test]
        fn ring_of_two_processes_has_the_minutes_of_one(
            gaps in proptest::collection::vec((1..90_u64, 0..9_u64), 2..300),
            at in proptest::prelude::any::<proptest::sample::Index>(),
        ) {
            let mut second = 6_000;
            let points = gaps.iter().map(|(gap, added)| {
                second += gap;
                (second, Added::new(*added))
            });
            let points: Vec<_> = points.collect();
            let (before, after) = points.split_at(1 + at.index(points.len() - 1));
            let (mut one, mut first, mut second) = (TieredRing::new(), TieredRing::new(), TieredRing::new());
            points.iter().for_each(|(second, point)| one.push(*second, *point));
            before.iter().for_each(|(second, point)| first.push(*second, *point));
            for (n, (at, point)) in after.iter().enumerate() {
                second.push(*at, *point);
                if n == 0 {
                    second.restore(first.minutes_from(0));
                    // What is asked twice is added once.
                    second.restore(first.minutes_from(0));
                }
            }
            proptest::prop_assert_eq!(minutes(&second), minutes(&one));
        }
    }

    #[cfg(feature = "ops-sqlite")]
    #[test]
    fn ring_of_old_points_has_those_of_minutes_and_hours() {
        let point = |span| (span, Added::new(span), 60);
        let ring = TieredRing::of_old((5..9).map(point), [3, 7].map(point));
        assert_eq!(
            [4, 5, 8].map(|span| get(&ring, 2, span)),
            [None, Some((5, 60)), Some((8, 60))]
        );
        assert_eq!(
            [3, 4, 7].map(|span| get(&ring, 3, span)),
            [Some((3, 60)), None, Some((7, 60))]
        );
        assert_eq!(ring.last(), None);
    }
}
