//! Half open: a few calls decide.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{events::Reason, window::Verdict},
    Change, Core, Phase, Trying, later,
};

impl Core {
    pub(super) fn tried(&mut self, verdict: Verdict, now: Instant) -> Option<Change> {
        let slow_is_bad = self.settings.slow_rate.is_some();
        let Phase::Trying(trying) = &mut self.phase else {
            return None;
        };
        if verdict.failed() || (verdict.slow() && slow_is_bad) {
            trying.bad += 1;
        } else {
            trying.good += 1;
        }
        if trying.good >= self.settings.probes_needed {
            Some(self.close(Reason::ProbesSucceeded, now))
        } else if trying.bad > self.settings.probes - self.settings.probes_needed {
            Some(self.trip(Reason::ProbesFailed, now))
        } else {
            None
        }
    }

    /// What the probes say when their time is over: those still out have failed. `None` if there were none.
    pub(super) fn verdict_at_limit(&self, trying: &Trying) -> Option<bool> {
        let all = trying.good + trying.bad + trying.in_flight;
        (all > 0).then(|| f64::from(trying.good) / f64::from(all) >= self.settings.probe_ratio)
    }

    pub(super) fn expire(&mut self, now: Instant) -> Option<Change> {
        let limit = self.probe_limit();
        let Phase::Trying(trying) = &self.phase else {
            return None;
        };
        if now < trying.until {
            return None;
        }
        match self.verdict_at_limit(trying) {
            Some(true) => Some(self.close(Reason::ProbesSucceeded, now)),
            Some(false) => Some(self.trip(Reason::ProbeLimit, now)),
            // Nobody came, or every probe was given back: nothing is known, and nothing is out that could
            // come late. The phase begins anew, or a caller that comes rarely would never get through.
            None => {
                self.phase = Phase::Trying(Trying {
                    until: later(now, limit),
                    in_flight: 0,
                    good: 0,
                    bad: 0,
                });
                None
            }
        }
    }

    fn probe_limit(&self) -> Duration {
        self.settings.probe_limit.unwrap_or(self.settings.open_time)
    }

    pub(super) fn try_out(&mut self, now: Instant) -> Change {
        let until = later(now, self.probe_limit());
        let phase = Phase::Trying(Trying {
            until,
            in_flight: 0,
            good: 0,
            bad: 0,
        });
        self.turn(phase, Reason::OpenTimeOver, now)
    }
}
