//! The generic cell rate algorithm: a token bucket in one number.
//!
//! The number is the *theoretical arrival time*: when the bucket is full again if nothing more is taken from it. A cell
//! (token) takes one interval of time to come back, so that a backlog of so many cells is a time in the future.

use super::{
    quota::{Denial, Grant, Quota},
    ticks::MAX_TICKS,
};

/// Takes cells that are there now, and returns the next state: what nearly all calls get, in a few instructions. `None` does not say
/// why there are none, nor for how long: [`take`] does.
#[inline]
pub(super) fn take_now(
    (interval, capacity): (u64, u64),
    arrival: u64,
    now: u64,
    cells: u32,
) -> Option<u64> {
    let cost = interval.saturating_mul(u64::from(cells));
    let next = arrival.max(now).saturating_add(cost);
    // More cells than the burst end after that as well.
    (next <= (now + capacity).min(MAX_TICKS)).then_some(next)
}

/// Takes cells that are there now, or within the wait.
pub(super) fn take(
    quota: Quota,
    arrival: u64,
    now: u64,
    cells: u32,
    max_wait: u64,
) -> Result<Grant, Denial> {
    let cost = quota.interval.saturating_mul(u64::from(cells));
    // Neither sum overflows: each part is a time of at most 54 bits, but for the cost, which is compared first.
    if cost > quota.capacity {
        return Err(Denial::Never);
    }
    let next = arrival.max(now) + cost;
    let wait = next.saturating_sub(now + quota.capacity);
    if wait > max_wait || next > MAX_TICKS {
        return Err(Denial::After(wait));
    }
    Ok(Grant { state: next, wait })
}

/// Returns the arrival time of an empty bucket, from which the next cell can be taken after the pause, or after an interval
/// if that is longer.
pub(super) fn empty(quota: Quota, arrival: u64, now: u64, pause: u64) -> u64 {
    let next_cell = now.saturating_add(pause.max(quota.interval));
    let empty = next_cell.saturating_add(quota.capacity - quota.interval);
    arrival.max(empty.min(MAX_TICKS))
}

/// Returns the arrival time of a bucket of another quota with as many cells missing, parts of a cell included.
pub(super) fn convert(quota: Quota, arrival: u64, now: u64, to: Quota) -> u64 {
    let backlog = arrival.saturating_sub(now);
    let scaled = u128::from(backlog) * u128::from(to.interval);
    let backlog = scaled.div_ceil(u128::from(quota.interval));
    // A full bucket stays full, however long it has been.
    if backlog == 0 {
        return arrival;
    }
    let until = u128::from(now) + backlog;
    u64::try_from(until).map_or(MAX_TICKS, |until| until.min(MAX_TICKS))
}

/// Returns how many cells there are now.
pub(super) fn available(quota: Quota, arrival: u64, now: u64) -> u64 {
    let backlog = arrival.saturating_sub(now);
    quota.capacity.saturating_sub(backlog) / quota.interval
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::{
        RateAlgorithm,
        algorithm_tests::{play, taker},
    };

    const QUOTA: Quota = quota(10, 3);

    const fn quota(interval: u64, burst: u32) -> Quota {
        Quota::new(RateAlgorithm::Gcra, interval, burst)
    }

    /// Takes cells at each of the times, and returns how long each waits, or for what it is denied.
    fn take_all(steps: &[(u64, u32)], max_wait: u64) -> Vec<Result<u64, Denial>> {
        let mut take = taker(QUOTA);
        let take = |(now, cells): &(u64, u32)| take(*now, *cells, max_wait);
        steps.iter().map(take).collect()
    }

    #[test]
    fn burst_is_admitted_at_once_and_then_one_cell_for_each_interval() {
        let steps = [
            0, 0, 0, 0, 9, 10, 10, 19, 25, 30, 1_000, 1_000, 1_000, 1_000,
        ];
        let taken = take_all(&steps.map(|now| (now, 1)), 0);
        let admitted = [
            true, true, true, false, false, true, false, false, true, true, true, true, true, false,
        ];
        assert_eq!(
            taken.iter().map(Result::is_ok).collect::<Vec<_>>(),
            admitted
        );
        assert_eq!(taken[3], Err(Denial::After(10)));
        assert_eq!(taken[4], Err(Denial::After(1)));
        assert_eq!(taken[7], Err(Denial::After(1)));
    }

    #[test]
    fn weights_take_as_many_cells_and_never_more_than_the_burst() {
        let steps = [(0, 2), (0, 2), (0, 1), (0, 4), (0, 0), (5, 3), (30, 3)];
        let expected = [
            Ok(0),
            Err(Denial::After(10)),
            Ok(0),
            Err(Denial::Never),
            Ok(0),
            Err(Denial::After(25)),
            Ok(0),
        ];
        assert_eq!(take_all(&steps, 0), expected);
    }

    #[test]
    fn waits_grow_by_an_interval_up_to_the_longest_one() {
        let taken = take_all(&[(0, 1); 7], 30);
        let expected = [
            Ok(0),
            Ok(0),
            Ok(0),
            Ok(10),
            Ok(20),
            Ok(30),
            Err(Denial::After(40)),
        ];
        assert_eq!(taken, expected);
    }

    #[test]
    fn empty_bucket_has_its_next_cell_after_the_pause_or_an_interval() {
        for (pause, first) in [(0, 10), (9, 10), (11, 11), (100, 100)] {
            let arrival = QUOTA.empty(0, 1_000, pause);
            assert_eq!(QUOTA.available(arrival, 1_000), 0);
            assert_eq!(QUOTA.available(arrival, 1_000 + first - 1), 0, "{pause}");
            assert_eq!(QUOTA.available(arrival, 1_000 + first), 1, "{pause}");
        }
        assert_eq!(QUOTA.empty(5_000, 1_000, 0), 5_000);
        assert_eq!(QUOTA.empty(0, 1_000, MAX_TICKS), MAX_TICKS);
    }

    #[test]
    fn available_and_the_time_until_more_follow_the_backlog() {
        for (backlog, available, until_next) in [
            (0, 3, 0),
            (1, 2, 1),
            (10, 2, 10),
            (11, 1, 1),
            (30, 0, 10),
            (35, 0, 15),
        ] {
            assert_eq!(QUOTA.available(100 + backlog, 100), available, "{backlog}");
            assert_eq!(
                QUOTA.until_next(100 + backlog, 100),
                until_next,
                "{backlog}"
            );
        }
        assert_eq!(QUOTA.burst(), 3);
    }

    proptest! {
        #[test]
        fn cells_that_are_there_now_are_taken_as_with_a_wait_of_none(
            interval in 1..1_000_u64, burst in 1..10_u32, arrival in 0..20_000_u64, now in 0..20_000_u64,
            cells in prop_oneof![0..12_u32, Just(u32::MAX)], is_late: bool,
        ) {
            // Near the last time as well.
            let late = if is_late { MAX_TICKS - 20_000 } else { 0 };
            let (quota, arrival, now) = (quota(interval, burst), late + arrival, late + now);
            let taken = take_now((interval, quota.capacity), arrival, now, cells);
            let expected = take(quota, arrival, now, cells, 0).ok();
            prop_assert_eq!(taken, expected.map(|grant| grant.state));
        }

        /// The bound that a limiter is for: burst + time / interval in any stretch of time, waits included.
        #[test]
        fn gcra_admits_at_most_the_burst_and_what_came_back_in_any_time(
            interval in 1..50_u64, burst in 1..8_u32, max_wait in 0..200_u64,
            steps in prop::collection::vec((0..60_u64, 0..9_u32), 1..60),
        ) {
            let quota = quota(interval, burst);
            let mut used: Vec<(u64, u64)> = Vec::new();
            play(quota, max_wait, steps, |at, cells, is_taken| {
                if is_taken {
                    used.push((at, u64::from(cells)));
                }
                Ok(())
            })?;
            for from in 0..used.len() {
                let mut cells = 0;
                for to in from..used.len() {
                    cells += used[to].1;
                    prop_assert!(cells <= u64::from(burst) + (used[to].0 - used[from].0) / interval);
                }
            }
        }

        /// A caller that asks all the time gets what the bound allows.
        #[test]
        fn saturating_caller_gets_all_that_the_bound_allows(interval in 1..50_u64, burst in 1..8_u32) {
            let quota = quota(interval, burst);
            let (mut arrival, mut admitted) = (0, 0_u32);
            for now in 0..=20 * interval {
                while let Ok(grant) = quota.take(arrival, now, 1, 0) {
                    arrival = grant.state;
                    admitted += 1;
                }
            }
            prop_assert_eq!(admitted, burst + 20);
        }

    }

    #[test]
    fn full_bucket_stays_full_when_its_quota_changes() {
        assert_eq!(QUOTA.convert(5, 1_000, quota(99, 1)), 5);
        let slow = quota(MAX_TICKS / 2, 1);
        assert_eq!(QUOTA.convert(1_010, 1_000, slow), 1_000 + MAX_TICKS / 2);
        assert_eq!(QUOTA.convert(1_030, 1_000, slow), MAX_TICKS);
    }
}
