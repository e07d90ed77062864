use std::{collections::VecDeque, time::Duration};

/// Number of durations that average and worst are of: half an hour of checks each 30 s.
const CAPACITY: usize = 60;

/// The durations of the last 60 runs of a check.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentDurations(VecDeque<Duration>);

impl RecentDurations {
    pub(super) fn push(&mut self, duration: Duration) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(duration);
    }

    pub(super) fn last(&self) -> Option<Duration> {
        self.0.back().copied()
    }

    pub(super) fn average(&self) -> Option<Duration> {
        let count = u32::try_from(self.0.len())
            .ok()
            .filter(|&count| count > 0)?;
        let sum = self
            .0
            .iter()
            .fold(Duration::ZERO, |sum, &each| sum.saturating_add(each));
        Some(sum / count)
    }

    pub(super) fn worst(&self) -> Option<Duration> {
        self.0.iter().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn durations_have_last_average_and_worst_of_the_last_sixty() {
        let mut recent = RecentDurations::default();
        assert_eq!(
            (recent.last(), recent.average(), recent.worst()),
            (None, None, None)
        );
        recent.push(secs(600));
        recent.push(secs(0));
        let all = (recent.last(), recent.average(), recent.worst());
        assert_eq!(all, (Some(secs(0)), Some(secs(300)), Some(secs(600))));
        (0..58).for_each(|_| recent.push(secs(0)));
        assert_eq!(
            (recent.average(), recent.worst()),
            (Some(secs(10)), Some(secs(600)))
        );
        recent.push(secs(60));
        let all = (recent.last(), recent.average(), recent.worst());
        assert_eq!(all, (Some(secs(60)), Some(secs(1)), Some(secs(60))));
        assert_eq!(recent.0.len(), CAPACITY);
    }

    #[test]
    fn durations_that_overflow_their_sum_have_an_average() {
        let mut recent = RecentDurations::default();
        recent.push(Duration::MAX);
        recent.push(Duration::MAX);
        assert_eq!(recent.average(), Some(Duration::MAX / 2));
    }
}
