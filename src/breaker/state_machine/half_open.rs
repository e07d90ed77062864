//! Half open: a few calls decide.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{transition::TransitionReason, window::CallSample},
    PermitState, Phase, ProbeId, RawPermit, StateChange, StateMachine, saturating_add,
};
use crate::protocol::upload::Upload;

/// A probe keeps its place for this part of its limit although its caller stalls.
const STALL_DIVISOR: u32 = 10;

/// The places of the probes. A phase has no limit of its own; each probe has one.
///
/// At most as many places as there may be probes are ever taken. A place that is taken becomes free only if its probe
/// says nothing, or if its caller stalls: strangers who send their bodies slowly must not keep a circuit from closing.
/// What such a probe says in the end still counts.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// Grows to the number of probes as they come.
    entries: Vec<ProbeEntry>,
    max_probes: usize,
    in_flight: u32,
    succeeded: u32,
    failed: u32,
    /// The last number that was given to a probe.
    last_ordinal: u32,
    /// A probe had to give its place back. From then on every other body is refused, so that those who come first do not
    /// take all places.
    has_stalled: bool,
}

#[derive(Debug)]
struct ProbeEntry {
    ordinal: u32,
    state: ProbeState,
    upload: Option<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeState {
    Free,
    /// On its way, and failed unless it has answered by then.
    InFlight {
        began: Instant,
        until: Instant,
    },
    Succeeded,
    Failed,
    /// Failed because it has not answered in time; a good answer still counts.
    Overdue,
}

impl HalfOpen {
    fn new(probes: u32) -> Self {
        HalfOpen {
            entries: Vec::new(),
            max_probes: probes as usize,
            in_flight: 0,
            succeeded: 0,
            failed: 0,
            last_ordinal: 0,
            has_stalled: false,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn is_full(&self) -> bool {
        (self.in_flight + self.succeeded + self.failed) as usize >= self.max_probes
    }

    /// Returns when the first of the probes that are out has failed if none answers, or may have to give its place back.
    pub(super) fn next_deadline(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let limits = self.entries.iter().filter_map(|place| match place.state {
            ProbeState::InFlight { began, until } if place.upload.is_some() => {
                let next = saturating_add(began, patience).max(saturating_add(now, patience / 2));
                Some(next.min(until))
            }
            ProbeState::InFlight { until, .. } => Some(until),
            _ => None,
        });
        limits.min()
    }

    /// Takes a place, if one is free.
    fn claim(&mut self, is: ProbeState) -> Option<ProbeId> {
        if self.is_full() {
            return None;
        }
        let free = self
            .entries
            .iter()
            .position(|place| place.state == ProbeState::Free);
        let at = free.unwrap_or_else(|| {
            self.entries.push(ProbeEntry {
                ordinal: 0,
                state: ProbeState::Free,
                upload: None,
            });
            self.entries.len() - 1
        });
        self.last_ordinal += 1;
        self.entries[at].ordinal = self.last_ordinal;
        self.set_state(at, is);
        Some(ProbeId {
            index: at as u32,
            ordinal: self.last_ordinal,
        })
    }

    pub(super) fn admit(&mut self, began: Instant, until: Instant) -> Option<ProbeId> {
        self.claim(ProbeState::InFlight { began, until })
    }

    fn set_state(&mut self, at: usize, is: ProbeState) {
        let Some(place) = self.entries.get_mut(at) else {
            return;
        };
        // Set once a probe is out, and for that probe only.
        place.upload = None;
        match std::mem::replace(&mut place.state, is) {
            ProbeState::Free => {}
            ProbeState::InFlight { .. } => self.in_flight -= 1,
            ProbeState::Succeeded => self.succeeded -= 1,
            ProbeState::Failed | ProbeState::Overdue => self.failed -= 1,
        }
        match is {
            ProbeState::Free => {}
            ProbeState::InFlight { .. } => self.in_flight += 1,
            ProbeState::Succeeded => self.succeeded += 1,
            ProbeState::Failed | ProbeState::Overdue => self.failed += 1,
        }
    }

    /// Returns the place of a probe that still has one.
    fn entry(&self, probe: ProbeId) -> Option<&ProbeEntry> {
        let place = self.entries.get(probe.index as usize)?;
        (place.ordinal == probe.ordinal && place.state != ProbeState::Free).then_some(place)
    }

    /// Notes what a probe has said. A good one replaces that it was overdue; a bad end of one that was good counts.
    fn record(&mut self, probe: ProbeId, said: Option<bool>) {
        let Some(place) = self.entry(probe) else {
            match said {
                Some(true) => self.succeeded += 1,
                Some(false) => self.failed += 1,
                None => {}
            }
            return;
        };
        let is = match (place.state, said) {
            (ProbeState::InFlight { .. } | ProbeState::Overdue, Some(true)) => {
                ProbeState::Succeeded
            }
            (ProbeState::InFlight { .. } | ProbeState::Succeeded, Some(false)) => {
                ProbeState::Failed
            }
            (ProbeState::InFlight { .. }, None) => ProbeState::Free,
            _ => return,
        };
        self.set_state(probe.index as usize, is);
    }

    /// Counts probes as failed whose time is over. Those whose callers have stalled for most of the time give their places
    /// back once that has lasted for long enough.
    fn expire(&mut self, now: Instant, patience: Duration) {
        for at in 0..self.entries.len() {
            let ProbeState::InFlight { began, until } = self.entries[at].state else {
                continue;
            };
            let stalls = |upload: &Upload| upload.blames_caller_for_timeout(began, now);
            let is_stalled = now >= saturating_add(began, patience.min(until - began))
                && self.entries[at].upload.as_ref().is_some_and(stalls);
            if is_stalled {
                self.has_stalled = true;
                self.set_state(at, ProbeState::Free);
            } else if now >= until {
                self.set_state(at, ProbeState::Overdue);
            }
        }
    }
}

impl StateMachine {
    pub(super) fn start_probing(&mut self, now: Instant) -> StateChange {
        let phase = Phase::HalfOpen(HalfOpen::new(self.settings.probes));
        self.transition(phase, TransitionReason::OpenTimeElapsed, now)
    }

    /// Counts probes as failed whose time is over, which may end the phase.
    #[inline]
    pub(in super::super) fn expire(&mut self, now: Instant) -> Option<StateChange> {
        match self.phase {
            Phase::HalfOpen(_) => self.expire_probes(now),
            _ => None,
        }
    }

    fn expire_probes(&mut self, now: Instant) -> Option<StateChange> {
        let patience = self.stall_timeout();
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return None;
        };
        half_open.expire(now, patience);
        self.evaluate_probes(TransitionReason::ProbeTimeout, now)
    }

    /// A probe has a body that comes from a caller.
    pub(in super::super) fn watch_upload(&mut self, pass: RawPermit, upload: Upload) {
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return;
        };
        if let PermitState::Probe(probe) = pass.state
            && pass.generation == self.generation
            && let Some(place) = half_open.entries.get_mut(probe.index as usize)
            && place.ordinal == probe.ordinal
        {
            place.upload = Some(upload);
        }
    }

    /// Returns whether the probe has not had to give its place back.
    pub(super) fn is_tracked(&self, probe: ProbeId) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.entry(probe).is_some())
    }

    /// Returns whether a probe of this phase had to give its place back.
    pub(super) fn has_stalled(&self) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.has_stalled)
    }

    /// Returns for how long a probe keeps its place although its caller stalls.
    pub(super) fn stall_timeout(&self) -> Duration {
        self.settings.probe_timeout / STALL_DIVISOR
    }

    /// Notes what a probe has said, at its head or its end; `None` gives it back. Whoever calls has checked the
    /// generation.
    pub(super) fn record_probe(
        &mut self,
        probe: ProbeId,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<StateChange> {
        let said = sample.map(|sample| self.is_probe_success(sample));
        // A success in hand counts, late or not. Whatever else comes after its limit comes too late.
        if said == Some(true) {
            self.store_probe_result(probe, said);
            if let change @ Some(_) = self.evaluate_probes(TransitionReason::ProbesFailed, now) {
                return change;
            }
            return self.expire(now);
        }
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        self.store_probe_result(probe, said);
        self.evaluate_probes(TransitionReason::ProbesFailed, now)
    }

    /// A service that is not even ready takes a free place, and fails.
    pub(super) fn record_not_ready_probe(&mut self, now: Instant) -> Option<StateChange> {
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        let Phase::HalfOpen(half_open) = &mut self.phase else {
            return None;
        };
        half_open.claim(ProbeState::Failed)?;
        self.evaluate_probes(TransitionReason::ProbesFailed, now)
    }

    pub(super) fn is_probe_success(&self, sample: CallSample) -> bool {
        let too_slow = sample.is_slow() && self.settings.slow_rate.is_some();
        !sample.is_failure() && !too_slow
    }

    fn store_probe_result(&mut self, probe: ProbeId, said: Option<bool>) {
        if let Phase::HalfOpen(half_open) = &mut self.phase {
            half_open.record(probe, said);
        }
    }

    /// Closes as soon as enough probes were good, opens as soon as that is out of reach.
    fn evaluate_probes(&mut self, bad: TransitionReason, now: Instant) -> Option<StateChange> {
        let Phase::HalfOpen(half_open) = &self.phase else {
            return None;
        };
        let needed = self.settings.probes_required;
        if half_open.succeeded >= needed {
            Some(self.close(TransitionReason::ProbesSucceeded, now))
        } else if half_open.failed > self.settings.probes - needed {
            Some(self.trip(bad, now))
        } else {
            None
        }
    }

    /// Returns how long a caller had better stay away that found all places taken: until the first probe has failed,
    /// but not longer than a circuit opens for. It is a hint, and probes are usually fast.
    pub(super) fn probe_retry_after(&self, until: Instant, now: Instant) -> Duration {
        let wait = until.saturating_duration_since(now);
        wait.min(self.settings.open_time)
    }

    pub(super) fn probe_deadline(&self, now: Instant) -> Instant {
        saturating_add(now, self.settings.probe_timeout)
    }
}
