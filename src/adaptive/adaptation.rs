use std::time::Duration;

use tokio::time::Instant;

use super::{Limit, LimitReport, Window, limit_reporter::LimitReporter, samples::Samples};
use crate::call::catch_hook;

/// A limit that adapts itself: the algorithm, with the calls that it has not judged yet.
#[derive(Debug)]
pub(crate) struct Adaptation {
    algorithm: Box<dyn Limit>,
    min: u32,
    max: u32,
    limit: f64,
    samples: Samples,
    reporter: LimitReporter,
}

/// The result of a window that changes the limit, or what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adapted {
    /// The limit from now on.
    pub(crate) limit: u32,
    /// The report of it, for when the limit is in force.
    pub(crate) report: Option<LimitReport>,
}

/// The calls in flight when a call ended, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) in_flight: u32,
    pub(crate) limit: u32,
}

impl Adaptation {
    pub(crate) fn new(algorithm: Box<dyn Limit>, (min, max): (u32, u32), limit: u32) -> Self {
        Adaptation {
            algorithm,
            min,
            max,
            limit: f64::from(limit),
            samples: Samples::new(),
            reporter: LimitReporter::new(limit),
        }
    }

    /// Adds a call that the peer answered after so long, and returns what changes.
    #[inline]
    pub(crate) fn on_answer(
        &mut self,
        time: Duration,
        load: Load,
        now: Instant,
    ) -> Option<Adapted> {
        self.samples
            .add(time, load.in_flight, load.in_flight >= load.limit);
        self.adapt(load, now)
    }

    /// Adds a call that tells of an overload, and returns what changes.
    pub(crate) fn on_overload(&mut self, load: Load, now: Instant) -> Option<Adapted> {
        let is_full = load.in_flight >= load.limit;
        self.samples.add_overload(load.in_flight, is_full);
        self.adapt(load, now)
    }

    #[inline]
    fn adapt(&mut self, load: Load, now: Instant) -> Option<Adapted> {
        let window = self.samples.take_window(now)?;
        self.judge(&window, load, now)
    }

    #[cold]
    fn judge(&mut self, window: &Window, load: Load, now: Instant) -> Option<Adapted> {
        // Set by an operator meanwhile.
        if self.limit as u32 != load.limit {
            self.limit = f64::from(load.limit);
            self.reporter.set_known(load.limit);
        }
        if let Some(limit) = self.propose(window) {
            self.limit = limit.clamp(f64::from(self.min), f64::from(self.max));
        }
        let limit = self.limit as u32;
        let report = self.reporter.report(limit, window.is_overloaded(), now);
        (limit != load.limit || report.is_some()).then_some(Adapted { limit, report })
    }

    /// Returns the limit that the algorithm proposes; `None` if it stays as it is.
    fn propose(&mut self, window: &Window) -> Option<f64> {
        // It may be the application's: one that panics leaves the limit as it is.
        let proposed = catch_hook(|| self.algorithm.update(self.limit, window))?;
        // What is not used says nothing about what could be.
        let is_used = f64::from(window.max_in_flight) * 2.0 >= self.limit;
        let is_followed = !proposed.is_nan() && (proposed <= self.limit || is_used);
        is_followed.then_some(proposed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptive::Window;

    #[derive(Debug)]
    struct Proposes(f64);

    impl Limit for Proposes {
        fn update(&mut self, _: f64, _: &Window) -> f64 {
            self.0
        }
    }

    fn after_a_window(proposed: f64, in_flight: u32) -> Option<u32> {
        adapted(proposed, in_flight).map(|adapted| adapted.limit)
    }

    fn adapted(proposed: f64, in_flight: u32) -> Option<Adapted> {
        let mut adaptation = Adaptation::new(Box::new(Proposes(proposed)), (5, 50), 20);
        let (start, load) = (
            Instant::now(),
            Load {
                in_flight,
                limit: 20,
            },
        );
        let time = Duration::from_millis(1);
        for _ in 0..50 {
            assert_eq!(adaptation.on_answer(time, load, start), None);
        }
        adaptation.on_answer(time, load, start + Duration::from_secs(1))
    }

    #[test]
    fn adaptation_keeps_the_limit_in_its_bounds() {
        for (proposed, limit) in [
            (30.9, Some(30)),
            (1e9, Some(50)),
            (-3.0, Some(5)),
            (20.9, None),
            (f64::NAN, None),
            (f64::INFINITY, Some(50)),
        ] {
            assert_eq!(after_a_window(proposed, 20), limit, "{proposed}");
        }
    }

    #[test]
    fn adaptation_reports_what_is_notable() {
        let report = |proposed| adapted(proposed, 20).and_then(|adapted| adapted.report);
        assert_eq!(report(24.0), None);
        let expected = LimitReport {
            from: 20,
            to: 30,
            reason: "peer_keeps_up",
        };
        assert_eq!(report(30.0), Some(expected));
    }

    #[test]
    fn adaptation_grows_no_limit_that_is_not_used() {
        assert_eq!(after_a_window(30.0, 9), None);
        assert_eq!(after_a_window(30.0, 10), Some(30));
        assert_eq!(after_a_window(10.0, 9), Some(10), "it falls");
    }
}
