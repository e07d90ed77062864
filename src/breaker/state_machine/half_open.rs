use std::time::Duration;

use tokio::time::Instant;

use crate::{
    breaker::{permit::PermitState, transition::TransitionReason, window::saturating_add},
    protocol::upload::Upload,
};

/// The probes of one half-open phase.
///
/// The phase itself has no timeout, but each probe has one. A probe takes a slot until the phase ends, unless it has no
/// result or its caller stalls the upload: callers that send their bodies slowly must not keep a circuit from closing.
/// The result of a probe that has lost its slot still counts.
#[derive(Debug)]
pub(super) struct HalfOpen {
    /// The numbers of the settings when the phase began: it ends by the same.
    max_probes: u32,
    required: u32,
    in_flight: Vec<Probe>,
    /// The ordinals of probes that have failed because they have timed out. A late success still counts.
    overdue: Vec<u32>,
    succeeded: u32,
    /// Failed probes, overdue ones included.
    failed: u32,
    last_ordinal: u32,
    /// True once a probe has lost its slot because its caller stalled.
    has_stalled: bool,
}

/// A probe that has neither a result nor timed out.
#[derive(Debug)]
struct Probe {
    ordinal: u32,
    started_at: Instant,
    deadline: Instant,
    upload: Option<Upload>,
}

impl Probe {
    fn is_stalled(&self, now: Instant, stall_timeout: Duration) -> bool {
        // Not later than the deadline, which the clock may have cut short.
        let timeout = stall_timeout.min(self.deadline - self.started_at);
        now >= saturating_add(self.started_at, timeout)
            && self
                .upload
                .as_ref()
                .is_some_and(|upload| upload.blames_caller_for_timeout(self.started_at, now))
    }
}

impl HalfOpen {
    pub(super) fn new(max_probes: u32, required: u32) -> Self {
        HalfOpen {
            max_probes,
            required,
            in_flight: Vec::new(),
            overdue: Vec::new(),
            succeeded: 0,
            failed: 0,
            last_ordinal: 0,
            has_stalled: false,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.len() as u32
    }

    /// Returns the reason to end the phase: enough probes have succeeded, or that is out of reach, for the other reason.
    fn end_reason(&self, failed: TransitionReason) -> Option<TransitionReason> {
        if self.succeeded >= self.required {
            Some(TransitionReason::ProbesSucceeded)
        } else if self.failed > self.max_probes - self.required {
            // Even if all others succeed, they are too few.
            Some(failed)
        } else {
            None
        }
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Returns whether all slots are taken.
    pub(super) fn is_full(&self) -> bool {
        // Probes with a result keep their slots: a phase has no more than `max_probes` that count.
        self.in_flight() + self.succeeded + self.failed >= self.max_probes
    }

    /// Takes a slot for a probe, if one is free.
    pub(super) fn admit(&mut self, now: Instant, deadline: Instant) -> Option<PermitState> {
        if self.is_full() {
            return None;
        }
        self.last_ordinal += 1;
        let ordinal = self.last_ordinal;
        self.in_flight.push(Probe {
            ordinal,
            started_at: now,
            deadline,
            upload: None,
        });
        Some(PermitState::Probe { ordinal })
    }

    /// Takes a slot for a failure without a call, if one is free. Returns the reason to end the phase, if there is one.
    pub(super) fn on_not_ready(
        &mut self,
        now: Instant,
        stall_timeout: Duration,
    ) -> Option<TransitionReason> {
        // Overdue probes come first. If they end the phase, there is no slot left to take.
        if let reason @ Some(_) = self.expire(now, stall_timeout) {
            return reason;
        }
        if !self.is_full() {
            self.failed += 1;
        }
        self.end_reason(TransitionReason::ProbesFailed)
    }

    /// Returns when the first probe in flight times out or may lose its slot.
    pub(super) fn next_deadline(&self, now: Instant, stall_timeout: Duration) -> Option<Instant> {
        let deadlines = self.in_flight.iter().map(|probe| {
            if probe.upload.is_none() {
                return probe.deadline;
            }
            // An upload that has not stalled yet is looked at again after half of the timeout.
            let next_check = saturating_add(probe.started_at, stall_timeout)
                .max(saturating_add(now, stall_timeout / 2));
            next_check.min(probe.deadline)
        });
        deadlines.min()
    }

    pub(super) fn watch_upload(&mut self, probe: PermitState, upload: Upload) {
        if let Some(index) = self.index_in_flight(probe) {
            self.in_flight[index].upload = Some(upload);
        }
    }

    /// Returns the state of the permit of a probe after its head. A probe that has lost its slot is counted for good by its
    /// head: its body can no longer change that.
    pub(super) fn state_after_head(
        &self,
        probe: PermitState,
        succeeded: Option<bool>,
    ) -> PermitState {
        match succeeded {
            Some(succeeded) if self.is_tracked(probe) => PermitState::ProbeCounted { succeeded },
            _ => PermitState::Uncounted,
        }
    }

    /// Returns whether the probe has not lost its slot.
    fn is_tracked(&self, probe: PermitState) -> bool {
        self.index_in_flight(probe).is_some() || self.index_overdue(probe).is_some()
    }

    /// Records the result of a probe, at its head or its end; `None` gives its slot back. Returns the reason to end the
    /// phase, if there is one.
    pub(super) fn on_result(
        &mut self,
        probe: PermitState,
        succeeded: Option<bool>,
        now: Instant,
        stall_timeout: Duration,
    ) -> Option<TransitionReason> {
        // A success counts however late it is, so it is recorded before overdue probes expire. Every other result is
        // too late once its probe is overdue.
        if succeeded == Some(true) {
            self.record(probe, succeeded);
            let reason = self.end_reason(TransitionReason::ProbesFailed);
            return reason.or_else(|| self.expire(now, stall_timeout));
        }
        if let reason @ Some(_) = self.expire(now, stall_timeout) {
            return reason;
        }
        self.record(probe, succeeded);
        self.end_reason(TransitionReason::ProbesFailed)
    }

    /// Records a result. A success replaces a timeout, and the failure of a body replaces the success of its head.
    fn record(&mut self, probe: PermitState, succeeded: Option<bool>) {
        if let PermitState::ProbeCounted { succeeded: before } = probe {
            if before && succeeded == Some(false) {
                self.succeeded -= 1;
                self.failed += 1;
            }
            return;
        }
        if let Some(index) = self.index_overdue(probe) {
            // It has been counted as failed. Only a success is news.
            if succeeded == Some(true) {
                self.overdue.swap_remove(index);
                self.failed -= 1;
                self.succeeded += 1;
            }
            return;
        }
        // One that is neither lost its slot because its caller stalled. Its result counts all the same.
        if let Some(index) = self.index_in_flight(probe) {
            self.in_flight.swap_remove(index);
        }
        match succeeded {
            Some(true) => self.succeeded += 1,
            Some(false) => self.failed += 1,
            None => {}
        }
    }

    /// Counts probes as failed that have timed out, and takes the slots of those whose callers stall. Returns the reason to
    /// end the phase, if there is one.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        stall_timeout: Duration,
    ) -> Option<TransitionReason> {
        let HalfOpen {
            in_flight,
            overdue,
            failed,
            has_stalled,
            ..
        } = self;
        in_flight.retain(|probe| {
            // A caller that stalls until the timeout is to blame for it, so this comes first.
            if probe.is_stalled(now, stall_timeout) {
                *has_stalled = true;
                return false;
            }
            let is_overdue = now >= probe.deadline;
            if is_overdue {
                overdue.push(probe.ordinal);
                *failed += 1;
            }
            !is_overdue
        });
        self.end_reason(TransitionReason::ProbeTimeout)
    }

    fn index_in_flight(&self, probe: PermitState) -> Option<usize> {
        let mut probes = self.in_flight.iter();
        probes.position(|other| {
            probe
                == PermitState::Probe {
                    ordinal: other.ordinal,
                }
        })
    }

    fn index_overdue(&self, probe: PermitState) -> Option<usize> {
        let mut overdue = self.overdue.iter();
        overdue.position(|other| probe == PermitState::Probe { ordinal: *other })
    }
}
