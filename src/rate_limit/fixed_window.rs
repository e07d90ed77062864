//! A fixed window in one number, as [`gcra`](super::gcra): the start of the last window of which something is taken, and within that the
//! cells, each as an interval. A window that is full has the number of the next one, of which nothing is taken.

use super::{
    quota::{Denial, Grant, Quota},
    ticks::MAX_TICKS,
};

pub(super) fn take(
    quota: Quota,
    state: u64,
    now: u64,
    cells: u32,
    max_wait: u64,
) -> Result<Grant, Denial> {
    let window = quota.capacity;
    let cost = quota.interval.saturating_mul(u64::from(cells));
    if cost > window {
        return Err(Denial::Never);
    }
    let mut taken = state.max(now - now % window);
    if taken % window + cost > window {
        // The rest of that window is lost: calls that belong together come together.
        taken += window - taken % window;
    }
    let wait = (taken - taken % window).saturating_sub(now);
    if wait > max_wait || taken + cost > MAX_TICKS {
        return Err(Denial::After(wait));
    }
    Ok(Grant {
        state: taken + cost,
        wait,
    })
}

pub(super) fn available(quota: Quota, state: u64, now: u64) -> u64 {
    let window = quota.capacity;
    let taken = state.max(now - now % window);
    match taken - taken % window > now {
        true => 0,
        false => (window - taken % window) / quota.interval,
    }
}

/// Returns the number of a limit of which nothing is left before the first window that begins after the pause.
pub(super) fn empty(quota: Quota, state: u64, now: u64, pause: u64) -> u64 {
    let end = now.saturating_add(pause.max(1));
    let next = end.div_ceil(quota.capacity).saturating_mul(quota.capacity);
    state.max(next.min(MAX_TICKS))
}

/// Returns when all is there again: the end of the last window of which something is taken.
pub(super) fn full_at(quota: Quota, state: u64) -> u64 {
    state.div_ceil(quota.capacity) * quota.capacity
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::{
        RateAlgorithm,
        algorithm_tests::{play, taker},
    };

    const QUOTA: Quota = Quota::new(RateAlgorithm::FixedWindow, 10, 3);

    #[test]
    fn window_has_its_burst_at_any_time_of_it() {
        let mut take = taker(QUOTA);
        assert_eq!(take(29, 3, 0), Ok(0));
        assert_eq!(take(29, 1, 0), Err(Denial::After(1)));
        assert_eq!(take(30, 2, 0), Ok(0), "twice the burst in two ticks");
        assert_eq!(take(31, 2, 0), Err(Denial::After(29)));
        assert_eq!(take(31, 1, 0), Ok(0));
        assert_eq!(take(40, 4, 99), Err(Denial::Never));
        assert_eq!([take(40, 2, 99), take(40, 2, 99)], [Ok(20), Ok(50)]);
    }

    #[test]
    fn available_and_the_time_until_more_are_those_of_the_window() {
        for (state, now, available, until_next) in [
            (0, 0, 3, 0),
            (0, 95, 3, 0),
            (100, 95, 2, 25),
            (120, 95, 0, 25),
            (130, 95, 0, 25),
            (150, 95, 0, 55),
        ] {
            assert_eq!(QUOTA.available(state, now), available, "{state}");
            assert_eq!(QUOTA.until_next(state, now), until_next, "{state}");
        }
        assert_eq!(QUOTA.empty(0, 95, 0), 120);
        assert_eq!(QUOTA.empty(0, 95, 25), 120);
        assert_eq!(QUOTA.empty(0, 95, 26), 150);
        assert_eq!(QUOTA.empty(500, 95, 25), 500);
    }

    proptest! {
        #[test]
        fn fixed_window_admits_at_most_the_burst(
            interval in 1..20_u64, burst in 1..8_u32, max_wait in 0..200_u64,
            steps in prop::collection::vec((0..40_u64, 0..9_u32), 1..60),
        ) {
            let quota = Quota::new(RateAlgorithm::FixedWindow, interval, burst);
            let mut windows: HashMap<u64, u32> = HashMap::new();
            play(quota, max_wait, steps, |at, cells, is_taken| {
                if is_taken {
                    let taken = windows.entry(at / quota.capacity).or_default();
                    *taken += cells;
                    prop_assert!(*taken <= burst);
                }
                Ok(())
            })?;
        }
    }
}
