use std::time::Duration;

use tokio::time::Instant;

use super::LimitReport;

/// The share of the limit by which it has to change: smaller steps are what an algorithm makes all day.
const NOTABLE_SHARE: f64 = 0.25;
/// The least change: of a limit of 3, the next one is a third away.
const NOTABLE_CALLS: u32 = 2;
/// The time from one report to the next, so that a limit that goes up and down by much fills no journal.
const PAUSE: Duration = Duration::from_secs(10);

/// The limit as people know it, and when they may hear of it again.
#[derive(Debug)]
pub(super) struct LimitReporter {
    known: u32,
    next_at: Option<Instant>,
}

impl LimitReporter {
    pub(super) fn new(limit: u32) -> Self {
        LimitReporter {
            known: limit,
            next_at: None,
        }
    }

    /// Takes a limit for known that others have set, who know it.
    pub(super) fn set_known(&mut self, limit: u32) {
        self.known = limit;
    }

    /// Returns what to report of the limit after a window. A change within the pause is reported after it, if it still holds.
    pub(super) fn report(
        &mut self,
        limit: u32,
        is_overloaded: bool,
        now: Instant,
    ) -> Option<LimitReport> {
        let change = limit.abs_diff(self.known);
        let share = f64::from(change) / f64::from(self.known.max(1));
        let is_notable = change >= NOTABLE_CALLS && share >= NOTABLE_SHARE;
        if !is_notable || self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let from = std::mem::replace(&mut self.known, limit);
        self.next_at = Some(now + PAUSE);
        let reason = match (limit > from, is_overloaded) {
            (true, _) => "peer_keeps_up",
            (false, true) => "peer_overloaded",
            (false, false) => "calls_slower",
        };
        Some(LimitReport {
            from,
            to: limit,
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(from: u32, to: u32, reason: &'static str) -> Option<LimitReport> {
        Some(LimitReport { from, to, reason })
    }

    #[test]
    fn report_is_of_a_quarter_or_more_and_of_two_calls_at_least() {
        let start = Instant::now();
        for (from, to, is_reported) in [
            (20, 24, false),
            (20, 25, true),
            (20, 16, false),
            (20, 15, true),
            (3, 4, false),
            (3, 5, true),
            (1, 2, false),
            (2, 1, false),
            (3, 1, true),
            (20, 20, false),
        ] {
            let report = LimitReporter::new(from).report(to, false, start);
            assert_eq!(report.is_some(), is_reported, "{from} {to}");
        }
    }

    #[test]
    fn report_has_the_limit_of_the_last_one_and_a_reason() {
        let start = Instant::now();
        let mut reporter = LimitReporter::new(20);
        let reported = reporter.report(10, true, start);
        assert_eq!(reported, report(20, 10, "peer_overloaded"));
        assert_eq!(reporter.report(11, false, start + 60 * SECOND), None);
        let reported = reporter.report(13, true, start + 61 * SECOND);
        assert_eq!(reported, report(10, 13, "peer_keeps_up"));
        let reported = reporter.report(9, false, start + 71 * SECOND);
        assert_eq!(reported, report(13, 9, "calls_slower"));
    }

    #[test]
    fn change_within_the_pause_is_reported_after_it_if_it_holds() {
        let start = Instant::now();
        let mut reporter = LimitReporter::new(20);
        reporter.report(10, true, start).expect("a report");
        assert_eq!(reporter.report(40, false, start + 9 * SECOND), None);
        assert_eq!(reporter.report(11, false, start + 10 * SECOND), None);
        assert_eq!(reporter.report(40, false, start + 9 * SECOND), None);
        let reported = reporter.report(40, false, start + 10 * SECOND);
        assert_eq!(reported, report(10, 40, "peer_keeps_up"));
    }

    #[test]
    fn limit_that_others_have_set_is_known() {
        let start = Instant::now();
        let mut reporter = LimitReporter::new(20);
        reporter.set_known(100);
        assert_eq!(reporter.report(100, false, start), None);
        let reported = reporter.report(50, false, start);
        assert_eq!(reported, report(100, 50, "calls_slower"));
    }

    proptest! {
        /// Whatever an algorithm does, a journal gets six reports a minute, and never one that says nothing.
        #[test]
        fn reports_are_a_pause_apart_and_follow_each_other(
            limits in prop::collection::vec((0..4_000_u64, 1..300_u32), 1..300),
        ) {
            let mut now = Instant::now();
            let mut reporter = LimitReporter::new(20);
            let mut last: Option<(Instant, u32)> = None;
            for (millis, limit) in limits {
                now += Duration::from_millis(millis);
                let Some(report) = reporter.report(limit, false, now) else { continue };
                prop_assert_eq!(report.to, limit);
                prop_assert!(report.from.abs_diff(limit) * 4 >= report.from);
                prop_assert_eq!(report.from, last.map_or(20, |(_, limit)| limit));
                prop_assert!(last.is_none_or(|(at, _)| now >= at + PAUSE));
                last = Some((now, limit));
            }
        }
    }
}
