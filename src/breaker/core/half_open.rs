//! Half open: a few calls decide.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{events::Reason, window::Sample},
    Change, Core, Pass, Phase, Probe, Standing, later,
};
use crate::protocol::upload::Upload;

/// A probe keeps its place for this part of its limit although its caller stalls.
const PATIENCE: u32 = 10;

/// The places of the probes. A phase has no limit of its own; each probe has one.
///
/// At most as many places as there may be probes are ever taken. A place that is taken becomes free only if its probe
/// says nothing, or if its caller stalls: strangers who send their bodies slowly must not keep a circuit from closing.
/// What such a probe says in the end still counts.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// Grows to the number of probes as they come.
    places: Vec<Place>,
    probes: usize,
    in_flight: u32,
    good: u32,
    bad: u32,
    /// The last number that was given to a probe.
    number: u32,
    /// A probe had to give its place back. From then on every other body is refused, so that those who come first do not
    /// take all places.
    has_stalled: bool,
}

#[derive(Debug)]
struct Place {
    number: u32,
    is: Is,
    upload: Option<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Free,
    /// On its way, and failed unless it has answered by then.
    Out {
        began: Instant,
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
            number: 0,
            has_stalled: false,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn is_full(&self) -> bool {
        (self.in_flight + self.good + self.bad) as usize >= self.probes
    }

    /// Returns when the first of the probes that are out has failed if none answers, or may have to give its place back.
    pub(super) fn first_limit(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let limits = self.places.iter().filter_map(|place| match place.is {
            Is::Out { began, until } if place.upload.is_some() => {
                let next = later(began, patience).max(later(now, patience / 2));
                Some(next.min(until))
            }
            Is::Out { until, .. } => Some(until),
            _ => None,
        });
        limits.min()
    }

    /// Takes a place, if one is free.
    fn take(&mut self, is: Is) -> Option<Probe> {
        if self.is_full() {
            return None;
        }
        let free = self.places.iter().position(|place| place.is == Is::Free);
        let at = free.unwrap_or_else(|| {
            self.places.push(Place {
                number: 0,
                is: Is::Free,
                upload: None,
            });
            self.places.len() - 1
        });
        self.number += 1;
        self.places[at].number = self.number;
        self.put(at, is);
        Some(Probe {
            place: at as u32,
            number: self.number,
        })
    }

    pub(super) fn admit(&mut self, began: Instant, until: Instant) -> Option<Probe> {
        self.take(Is::Out { began, until })
    }

    fn put(&mut self, at: usize, is: Is) {
        let Some(place) = self.places.get_mut(at) else {
            return;
        };
        // Set once a probe is out, and for that probe only.
        place.upload = None;
        match std::mem::replace(&mut place.is, is) {
            Is::Free => {}
            Is::Out { .. } => self.in_flight -= 1,
            Is::Good => self.good -= 1,
            Is::Bad | Is::Overdue => self.bad -= 1,
        }
        match is {
            Is::Free => {}
            Is::Out { .. } => self.in_flight += 1,
            Is::Good => self.good += 1,
            Is::Bad | Is::Overdue => self.bad += 1,
        }
    }

    /// Returns the place of a probe that still has one.
    fn place_of(&self, probe: Probe) -> Option<&Place> {
        let place = self.places.get(probe.place as usize)?;
        (place.number == probe.number && place.is != Is::Free).then_some(place)
    }

    /// Notes what a probe has said. A good one replaces that it was overdue; a bad end of one that was good counts.
    fn settle(&mut self, probe: Probe, said: Option<bool>) {
        let Some(place) = self.place_of(probe) else {
            match said {
                Some(true) => self.good += 1,
                Some(false) => self.bad += 1,
                None => {}
            }
            return;
        };
        let is = match (place.is, said) {
            (Is::Out { .. } | Is::Overdue, Some(true)) => Is::Good,
            (Is::Out { .. } | Is::Good, Some(false)) => Is::Bad,
            (Is::Out { .. }, None) => Is::Free,
            _ => return,
        };
        self.put(probe.place as usize, is);
    }

    /// Counts probes as failed whose time is over. Those whose callers have stalled for most of the time give their places
    /// back once that has lasted for long enough.
    fn expire(&mut self, now: Instant, patience: Duration) {
        for at in 0..self.places.len() {
            let Is::Out { began, until } = self.places[at].is else {
                continue;
            };
            let stalls = |upload: &Upload| upload.blames_caller_for_timeout(began, now);
            let is_stalled = now >= later(began, patience.min(until - began))
                && self.places[at].upload.as_ref().is_some_and(stalls);
            if is_stalled {
                self.has_stalled = true;
                self.put(at, Is::Free);
            } else if now >= until {
                self.put(at, Is::Overdue);
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
    #[inline]
    pub(in super::super) fn expire(&mut self, now: Instant) -> Option<Change> {
        match self.phase {
            Phase::HalfOpen(_) => self.expire_probes(now),
            _ => None,
        }
    }

    fn expire_probes(&mut self, now: Instant) -> Option<Change> {
        let patience = self.patience();
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return None;
        };
        half_open.expire(now, patience);
        self.decide(Reason::ProbeLimit, now)
    }

    /// A probe has a body that comes from a caller.
    pub(in super::super) fn watch_upload(&mut self, pass: Pass, upload: Upload) {
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return;
        };
        if let Standing::Probe(probe) = pass.standing
            && pass.generation == self.generation
            && let Some(place) = half_open.places.get_mut(probe.place as usize)
            && place.number == probe.number
        {
            place.upload = Some(upload);
        }
    }

    /// Returns whether the probe has not had to give its place back.
    pub(super) fn has_place(&self, probe: Probe) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.place_of(probe).is_some())
    }

    /// Returns whether a probe of this phase had to give its place back.
    pub(super) fn has_stalled(&self) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.has_stalled)
    }

    /// Returns for how long a probe keeps its place although its caller stalls.
    pub(super) fn patience(&self) -> Duration {
        self.settings.probe_limit / PATIENCE
    }

    /// Notes what a probe has said, at its head or its end; `None` gives it back. Whoever calls has checked the
    /// generation.
    pub(super) fn probed(
        &mut self,
        probe: Probe,
        sample: Option<Sample>,
        now: Instant,
    ) -> Option<Change> {
        let said = sample.map(|sample| self.is_good(sample));
        // A success in hand counts, late or not. Whatever else comes after its limit comes too late.
        if said == Some(true) {
            self.put(probe, said);
            if let change @ Some(_) = self.decide(Reason::ProbesFailed, now) {
                return change;
            }
            return self.expire(now);
        }
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        self.put(probe, said);
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
        half_open.take(Is::Bad)?;
        self.decide(Reason::ProbesFailed, now)
    }

    pub(super) fn is_good(&self, sample: Sample) -> bool {
        let too_slow = sample.slow() && self.settings.slow_rate.is_some();
        !sample.failed() && !too_slow
    }

    fn put(&mut self, probe: Probe, said: Option<bool>) {
        if let Phase::HalfOpen(half_open) = &mut self.phase {
            half_open.settle(probe, said);
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
