//! Time as the limiter counts it.

use std::time::Duration;

use tokio::time::Instant;

use crate::util::duration::saturating_nanos;

/// The nanoseconds of a tick, as a power of two: 16. With 54 bits, nine years fit beside what else is in the word.
const NANOS_SHIFT: u32 = 4;
/// The number of bits of a time.
pub(super) const TICK_BITS: u32 = 54;
/// The latest time: nine years.
pub(super) const MAX_TICKS: u64 = (1 << TICK_BITS) - 1;

/// The ticks of a second: a whole number, so that its parts can be rounded alone.
const TICKS_PER_SECOND: u64 = 1_000_000_000 >> NANOS_SHIFT;
/// Nine years.
const MAX_SECONDS: u64 = MAX_TICKS / TICKS_PER_SECOND;

const _: () = assert!(TICKS_PER_SECOND << NANOS_SHIFT == 1_000_000_000);

/// Returns the ticks of a duration, rounded down; nine years stand for anything longer.
#[inline]
pub(super) fn ticks(time: Duration) -> u64 {
    // Not by way of all nanoseconds, which have 128 bits: each call does this.
    match time.as_secs() {
        seconds if seconds < MAX_SECONDS => {
            seconds * TICKS_PER_SECOND + u64::from(time.subsec_nanos() >> NANOS_SHIFT)
        }
        _ => MAX_TICKS,
    }
}

/// Returns the ticks of a duration, rounded up.
pub(super) fn ticks_up(time: Duration) -> u64 {
    (saturating_nanos(time).div_ceil(1 << NANOS_SHIFT)).min(MAX_TICKS)
}

/// Returns the duration of so many ticks.
#[inline]
pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks << NANOS_SHIFT)
}

/// Returns the ticks from the start to this moment; 0 for one before the start.
#[inline]
pub(super) fn ticks_since(start: Instant, now: Instant) -> u64 {
    ticks(now.saturating_duration_since(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_down_or_up_and_saturate() {
        let nanos = Duration::from_nanos;
        assert_eq!([nanos(15), nanos(16), nanos(33)].map(ticks), [0, 1, 2]);
        assert_eq!(ticks(nanos(999_999_999)), 62_499_999);
        assert_eq!(ticks(nanos(3_000_000_031)), 3 * 62_500_000 + 1);
        let nine_years = Duration::from_secs(MAX_SECONDS);
        assert_eq!(ticks(nine_years), MAX_TICKS);
        assert_eq!(
            ticks(nine_years - nanos(1)),
            MAX_SECONDS * TICKS_PER_SECOND - 1
        );
        assert_eq!([nanos(1), nanos(16), nanos(33)].map(ticks_up), [1, 1, 3]);
        assert_eq!(ticks(Duration::MAX), MAX_TICKS);
        assert_eq!(ticks_up(Duration::MAX), MAX_TICKS);
        assert_eq!(duration(625_000), Duration::from_millis(10));
        assert!(duration(MAX_TICKS) > Duration::from_secs(9 * 365 * 86_400));
    }
}
