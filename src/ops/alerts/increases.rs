use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime},
};

use super::parse::MAX_DROPPED_WINDOW;

/// The time between two readings that are kept.
const SPACING: Duration = Duration::from_secs(10);

/// Readings of counts that only grow, to know by how much they grew of late.
#[derive(Debug, Default)]
pub(super) struct Increases {
    readings: BTreeMap<&'static str, VecDeque<(SystemTime, u64)>>,
}

impl Increases {
    /// Takes in the counts of now.
    pub(super) fn read(&mut self, now: SystemTime, counts: &[(&'static str, u64)]) {
        for (what, count) in counts {
            let readings = self.readings.entry(what).or_default();
            let is_soon =
                |(at, _): &(SystemTime, u64)| now.duration_since(*at).unwrap_or_default() < SPACING;
            if readings.back().is_some_and(is_soon) {
                continue;
            }
            let is_old = |(at, _): &(SystemTime, u64)| {
                now.duration_since(*at).unwrap_or_default() > MAX_DROPPED_WINDOW + SPACING
            };
            while readings.front().is_some_and(is_old) {
                readings.pop_front();
            }
            readings.push_back((now, *count));
        }
    }

    /// Returns by how much a count has grown since the window began.
    pub(super) fn within(&self, now: SystemTime, window: Duration, what: &str, count: u64) -> u64 {
        let Some(readings) = self.readings.get(what) else {
            return 0;
        };
        let begin = now.checked_sub(window).unwrap_or(now);
        // The last one before the window, or the first one of all.
        let before = readings.iter().rev().find(|(at, _)| *at <= begin);
        let first = before.or(readings.front());
        count.saturating_sub(first.map_or(count, |(_, first)| *first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increase_is_that_of_the_window_and_ends_with_it() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let window = Duration::from_secs(60);
        let mut increases = Increases::default();
        let mut grown = Vec::new();
        for (second, count) in [(0, 5), (10, 5), (20, 8), (70, 8), (80, 8), (90, 8)] {
            increases.read(at(second), &[("series", count)]);
            grown.push(increases.within(at(second), window, "series", count));
        }
        assert_eq!(grown, [0, 0, 3, 3, 0, 0]);
        assert_eq!(increases.within(at(90), window, "frames", 7), 0);
        (0..100_000).for_each(|second| increases.read(at(100 + second), &[("series", 8)]));
        assert!(increases.readings["series"].len() <= 363);
    }
}
