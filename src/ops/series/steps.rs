use super::{
    Query,
    tiered_ring::{RESOLUTIONS, TIERS},
};

/// The seconds that the tiers of [`RESOLUTIONS`] reach back in old points: minutes for a week, then hours.
#[cfg(feature = "ops-sqlite")]
const OLD_REACH: [u64; 4] = [0, 0, 7 * 86_400, u64::MAX];

/// The steps of a query and the tier that has their points.
#[derive(Debug, PartialEq)]
pub(super) struct Steps {
    /// The Unix time at which the first step begins; a multiple of the resolution.
    start: u64,
    /// The seconds of a step; a multiple of the resolution.
    pub(super) length: u64,
    count: u64,
    /// The place in [`RESOLUTIONS`].
    pub(super) tier: usize,
}

impl Steps {
    /// Returns the steps of a query of what is in memory.
    pub(super) fn of(query: &Query, now: u64) -> Self {
        let reach = TIERS.map(|(resolution, points)| resolution * points as u64);
        Steps::of_tiers(query, now, &reach)
    }

    /// Returns the steps of a query of old points.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn of_old(query: &Query, now: u64) -> Self {
        Steps::of_tiers(query, now, &OLD_REACH)
    }

    /// Returns the steps of a query of tiers that reach so many seconds back.
    fn of_tiers(query: &Query, now: u64, reach: &[u64]) -> Self {
        let end = query.end_second().unwrap_or(now).min(now);
        let range = query.range_seconds();
        let first = (end + 1).saturating_sub(range);
        // The finest tier that still has the first second.
        let reaches = |reach: &u64| now < first.saturating_add(*reach);
        let last = reach.len() - 1;
        let finest = reach.iter().position(reaches).unwrap_or(last);
        let resolution = RESOLUTIONS[finest];
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
        let fits = |tier: &usize| length.is_multiple_of(RESOLUTIONS[*tier]);
        let tier = (finest..=last).rev().find(fits).unwrap_or(finest);
        let start = (end / length).saturating_sub(count - 1) * length;
        Steps {
            start,
            length,
            count,
            tier,
        }
    }

    /// Returns the Unix time of the first second, and of the one after the last.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn seconds(&self) -> (u64, u64) {
        (self.start, self.start + self.count * self.length)
    }

    /// Returns the time of each step with the numbers of its spans.
    pub(super) fn spans(&self) -> impl Iterator<Item = (u64, std::ops::Range<u64>)> {
        let resolution = RESOLUTIONS[self.tier];
        (0..self.count).map(move |step| {
            let start = self.start + step * self.length;
            (
                start,
                start / resolution..(start + self.length) / resolution,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: u64 = 1_000_019;

    fn query(range: u64, step: u64) -> Query {
        Query::new("load")
            .range(Duration::from_secs(range))
            .step(Duration::from_secs(step))
    }

    #[test]
    fn tier_is_the_one_that_reaches_back() {
        let steps = |range, step| {
            let Steps {
                start,
                length,
                count,
                tier,
            } = Steps::of(&query(range, step), NOW);
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

    #[cfg(feature = "ops-sqlite")]
    #[test]
    fn seconds_are_those_of_all_steps() {
        assert_eq!(
            Steps::of(&query(300, 15), NOW).seconds(),
            (999_720, 1_000_020)
        );
    }

    #[cfg(feature = "ops-sqlite")]
    #[test]
    fn old_points_are_those_of_minutes_for_a_week_and_then_of_hours() {
        let steps = |range, step| {
            let steps = Steps::of_old(&query(range, step), NOW);
            (steps.length, steps.count, steps.tier)
        };
        let day = 86_400;
        assert_eq!(steps(3_600, 10), (60, 60, 2));
        assert_eq!(steps(7 * day, 600), (600, 1_008, 2));
        assert_eq!(steps(7 * day, 3_600), (3_600, 168, 3));
        assert_eq!(steps(7 * day + 1, 600), (3_600, 169, 3));
        assert_eq!(steps(90 * day, 5_400), (7_200, 1_080, 3));
        assert_eq!(steps(90 * day, 90 * day).1, 1);
    }

    #[test]
    fn time_before_1970_is_none() {
        let steps = Steps::of(&query(300, 1), 10);
        assert_eq!((steps.start, steps.count), (0, 300));
    }

    #[test]
    fn steps_before_all_history_are_those_of_the_coarsest_tier() {
        let steps = Steps::of(&query(300, 1).end(NOW - 200_000), NOW);
        let expected = Steps {
            start: 799_740,
            length: 60,
            count: 5,
            tier: 2,
        };
        assert_eq!(steps, expected);
    }
}
