//! Half open: a few calls decide.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{events::Reason, window::Sample},
    Change, Core, Phase, later,
};

/// The places of the probes. A phase has no limit of its own; each probe has one.
///
/// At most as many places as there may be probes are ever taken, so no more probes are out at once either. A place
/// that is taken becomes free only if its probe says nothing.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// Grows to the number of probes as they come.
    places: Vec<Place>,
    probes: usize,
    in_flight: u32,
    good: u32,
    bad: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    /// On its way, and failed unless it has answered by then.
    Out {
        until: Instant,
    },
    Good,
    Bad,
    /// Failed because it has not answered in time; a good answer still counts.
    Overdue,
}

impl HalfOpen {
    fn new(probes: u32) -> Self {
        HalfOpen {
            places: Vec::new(),
            probes: probes as usize,
            in_flight: 0,
            good: 0,
            bad: 0,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn is_full(&self) -> bool {
        (self.in_flight + self.good + self.bad) as usize >= self.probes
    }

    /// Returns when the first of the probes that are out has failed, if none answers.
    pub(super) fn first_limit(&self) -> Option<Instant> {
        let limits = self.places.iter().filter_map(|place| match place {
            Place::Out { until } => Some(*until),
            _ => None,
        });
        limits.min()
    }

    /// Takes a place, if one is free.
    fn take(&mut self, place: Place) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let free = self.places.iter().position(|place| *place == Place::Free);
        let at = free.unwrap_or_else(|| {
            self.places.push(Place::Free);
            self.places.len() - 1
        });
        self.put(at, place);
        Some(at as u32)
    }

    pub(super) fn admit(&mut self, until: Instant) -> Option<u32> {
        self.take(Place::Out { until })
    }

    fn put(&mut self, at: usize, place: Place) {
        let Some(present) = self.places.get_mut(at) else {
            return;
        };
        match std::mem::replace(present, place) {
            Place::Free => {}
            Place::Out { .. } => self.in_flight -= 1,
            Place::Good => self.good -= 1,
            Place::Bad | Place::Overdue => self.bad -= 1,
        }
        match place {
            Place::Free => {}
            Place::Out { .. } => self.in_flight += 1,
            Place::Good => self.good += 1,
            Place::Bad | Place::Overdue => self.bad += 1,
        }
    }

    /// Notes what a probe has said. A good one replaces that it was overdue; a bad end of one that was good counts.
    fn settle(&mut self, at: usize, said: Option<bool>) {
        let Some(present) = self.places.get(at) else {
            return;
        };
        let place = match (present, said) {
            (Place::Out { .. } | Place::Overdue, Some(true)) => Place::Good,
            (Place::Out { .. } | Place::Good, Some(false)) => Place::Bad,
            (Place::Out { .. }, None) => Place::Free,
            _ => return,
        };
        self.put(at, place);
    }

    /// Counts probes as failed whose time is over.
    fn expire(&mut self, now: Instant) {
        for at in 0..self.places.len() {
            if matches!(self.places[at], Place::Out { until } if now >= until) {
                self.put(at, Place::Overdue);
            }
        }
    }
}

impl Core {
    pub(super) fn half_open(&mut self, now: Instant) -> Change {
        let phase = Phase::HalfOpen(HalfOpen::new(self.settings.probes));
        self.turn(phase, Reason::OpenTimeOver, now)
    }

    /// Counts probes as failed whose time is over, which may end the phase.
    pub(in super::super) fn expire(&mut self, now: Instant) -> Option<Change> {
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return None;
        };
        half_open.expire(now);
        self.decide(Reason::ProbeLimit, now)
    }

    /// Notes what a probe has said, at its head or its end; `None` gives it back. Whoever calls has checked the
    /// generation.
    pub(super) fn probed(
        &mut self,
        place: u32,
        sample: Option<Sample>,
        now: Instant,
    ) -> Option<Change> {
        let said = sample.map(|sample| self.is_good(sample));
        // A success in hand counts, late or not. Whatever else comes after its limit comes too late.
        if said == Some(true) {
            self.put(place, said);
            if let change @ Some(_) = self.decide(Reason::ProbesFailed, now) {
                return change;
            }
            return self.expire(now);
        }
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        self.put(place, said);
        self.decide(Reason::ProbesFailed, now)
    }

    /// A service that is not even ready takes a free place, and fails.
    pub(super) fn unready_probe(&mut self, now: Instant) -> Option<Change> {
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return None;
        };
        half_open.take(Place::Bad)?;
        self.decide(Reason::ProbesFailed, now)
    }

    pub(super) fn is_good(&self, sample: Sample) -> bool {
        let too_slow = sample.slow() && self.settings.slow_rate.is_some();
        !sample.failed() && !too_slow
    }

    fn put(&mut self, place: u32, said: Option<bool>) {
        if let Phase::HalfOpen(half_open) = &mut self.phase {
            half_open.settle(place as usize, said);
        }
    }

    /// Closes as soon as enough probes were good, opens as soon as that is out of reach.
    fn decide(&mut self, bad: Reason, now: Instant) -> Option<Change> {
        let Phase::HalfOpen(half_open) = &self.phase else {
            return None;
        };
        let needed = self.settings.probes_needed;
        if half_open.good >= needed {
            Some(self.close(Reason::ProbesSucceeded, now))
        } else if half_open.bad > self.settings.probes - needed {
            Some(self.trip(bad, now))
        } else {
            None
        }
    }

    /// Returns how long a caller had better stay away that found all places taken: until the first probe has failed,
    /// but not longer than a circuit opens for. It is a hint, and probes are usually fast.
    pub(super) fn wait_for_probes(&self, until: Instant, now: Instant) -> Duration {
        let wait = until.saturating_duration_since(now);
        wait.min(self.settings.open_time)
    }

    pub(super) fn probe_until(&self, now: Instant) -> Instant {
        later(now, self.settings.probe_limit)
    }
}
