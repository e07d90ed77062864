use std::time::Duration;

use super::{bucket::Bucket, pending_successes::MAX_PENDING};

/// Set if the window counts a number of calls.
const COUNT_BIT: u64 = 1 << 63;
const NUMBER_BITS: u32 = 8;
/// The maximum of a width, and the mask of what stands between the other two.
const MAX_VALUE: u64 = (COUNT_BIT - 1) >> NUMBER_BITS;

/// The shape of a window, in a word that threads read without the lock, so that what they read of it fits together: 1 bit
/// of kind, 55 bits of the width of a bucket in nanoseconds or of the maximum of pending successes, 8 bits of number.
///
/// Each shape that a breaker gets has the next number. Indices of buckets are compared only if they have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WindowShape(u64);

impl WindowShape {
    /// Returns the shape of a window of time. A bucket of more than a year is one of a year.
    pub(super) fn of_time(number: u8, window: Duration, buckets: usize) -> Self {
        // One bucket and a nanosecond at least, since both are divisors. Valid settings are far from that.
        let width = window.as_nanos() / buckets.max(1) as u128;
        let width = width.clamp(1, u128::from(MAX_VALUE)) as u64;
        WindowShape(width << NUMBER_BITS | u64::from(number))
    }

    /// Returns the shape of a window of calls, which has one bucket.
    pub(super) fn of_calls(number: u8, capacity: usize) -> Self {
        // A window full of successes does not change by another. Two tell that there is another success besides one
        // that becomes a failure.
        let max_pending = (capacity as u64).clamp(2, MAX_PENDING);
        WindowShape(COUNT_BIT | max_pending << NUMBER_BITS | u64::from(number))
    }

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        WindowShape(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) fn number(self) -> u8 {
        self.0 as u8
    }

    /// Returns the maximum number of pending successes. Of a count window, another one then changes nothing.
    #[inline]
    pub(super) fn max_pending(self) -> u64 {
        if self.is_count() {
            self.0 >> NUMBER_BITS & MAX_PENDING
        } else {
            MAX_PENDING
        }
    }

    /// Returns the bucket of a moment so long after the start of the breaker. A count window does not ask for the time:
    /// all calls fall into its first bucket.
    #[inline]
    pub(super) fn bucket_at(self, since_start: impl FnOnce() -> Duration) -> Bucket {
        let index = if self.is_count() {
            1
        } else {
            // The index 0 is that of a bucket that was never used. The cast wraps after 584 years.
            since_start().as_nanos() as u64 / self.value() + 1
        };
        let shape = self.number();
        Bucket { shape, index }
    }

    /// Returns the last moment of a bucket of a time window, since the start of the breaker.
    pub(super) fn last_moment(self, index: u64) -> Duration {
        Duration::from_nanos(index.saturating_mul(self.value()).saturating_sub(1))
    }

    /// Returns whether this is the shape of a count window.
    #[inline]
    pub(super) fn is_count(self) -> bool {
        self.0 & COUNT_BIT != 0
    }

    #[inline]
    fn value(self) -> u64 {
        self.0 >> NUMBER_BITS & MAX_VALUE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index_at(shape: WindowShape, nanos: u64) -> u64 {
        shape.bucket_at(|| Duration::from_nanos(nanos)).index
    }

    #[test]
    fn shape_of_time_has_the_width_of_a_bucket_and_its_number() {
        for number in [0, 1, 255] {
            let shape = WindowShape::of_time(number, Duration::from_nanos(70), 10);
            assert_eq!((shape.number(), shape.is_count()), (number, false));
            for (nanos, index) in [(0, 1), (6, 1), (7, 2), (69, 10), (70, 11)] {
                assert_eq!(index_at(shape, nanos), index, "after {nanos} ns");
                assert_eq!(
                    shape.bucket_at(|| Duration::from_nanos(nanos)).shape,
                    number
                );
            }
            assert_eq!(WindowShape::from_bits(shape.bits()), shape);
        }
    }

    #[test]
    fn bucket_begins_with_its_first_nanosecond() {
        let shape = WindowShape::of_time(9, Duration::from_secs(30), 10);
        let nano = Duration::from_nanos(1);
        for (time, index) in [(0, 1), (3, 2), (30, 11)] {
            let at = Duration::from_secs(time);
            let bucket = Bucket { shape: 9, index };
            assert_eq!(shape.bucket_at(|| at), bucket);
            let last = at + Duration::from_secs(3) - nano;
            assert_eq!(shape.bucket_at(|| last), bucket);
        }
    }

    #[test]
    fn shape_of_calls_has_one_bucket_and_does_not_ask_for_the_time() {
        for (capacity, max_pending) in [(1, 2), (2, 2), (3, 3), (10_000, 10_000)] {
            let shape = WindowShape::of_calls(7, capacity);
            assert_eq!((shape.max_pending(), shape.is_count()), (max_pending, true));
            let bucket = shape.bucket_at(|| unreachable!("asked for the time"));
            assert_eq!(bucket, Bucket { shape: 7, index: 1 });
        }
    }

    #[test]
    fn shape_bounds_the_width_of_a_bucket() {
        let shape = WindowShape::of_time(3, Duration::MAX, 1);
        assert_eq!((shape.number(), shape.max_pending()), (3, MAX_PENDING));
        assert_eq!(index_at(shape, MAX_VALUE - 1), 1);
        assert_eq!(index_at(shape, MAX_VALUE), 2);
        let shape = WindowShape::of_time(3, Duration::ZERO, 0);
        assert_eq!(index_at(shape, 5), 6);
    }

    #[test]
    fn last_moment_of_a_bucket_is_a_nanosecond_before_the_next() {
        let shape = WindowShape::of_time(3, Duration::from_nanos(70), 10);
        for (index, nanos) in [(0, 0), (1, 6), (2, 13)] {
            assert_eq!(shape.last_moment(index), Duration::from_nanos(nanos));
        }
        let longest = shape.last_moment(u64::MAX);
        assert_eq!(longest, Duration::from_nanos(u64::MAX - 1));
    }
}
