//! Decides when a circuit opens, admits probes and closes. Decides only: no clock, no lock, no await, no log.

mod call_stats;
mod failure_streak;
mod half_open;
mod open_backoff;
mod phase;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    call_counts::CallCounts,
    call_sample::CallSample,
    config::BreakerConfig,
    permit::{BreakerPermit, PermitState},
    settings::BreakerSettings,
    state::CircuitState,
    switch::SwitchMode,
    transition::{Transition, TransitionReason},
    window::saturating_add,
    window_shape::WindowShape,
};
use crate::{call::Label, guard::Rejects, protocol::upload::Upload};
use call_stats::CallStats;
use half_open::HalfOpen;
use open_backoff::OpenBackoff;
use phase::Phase;

/// The state of one circuit. Steps that may change the state return the transition, to be reported exactly once.
#[derive(Debug)]
pub(super) struct StateMachine {
    name: Label,
    key: Option<Label>,
    config: BreakerConfig,
    stats: CallStats,
    phase: Phase,
    /// Grows with every transition, and with every reset of a closed circuit. A result that bears another generation
    /// is too late to count.
    generation: u64,
    /// The number of the latest transition.
    transitions: u64,
    backoff: OpenBackoff,
    /// The override that is set on the breaker itself.
    manual_mode: SwitchMode,
    /// The override of its switch, which comes first.
    switch_mode: SwitchMode,
    random: fastrand::Rng,
}

impl StateMachine {
    pub(super) fn new(
        (name, key): (Label, Option<Label>),
        config: BreakerConfig,
        seed: Option<u64>,
        switch_mode: SwitchMode,
        now: Instant,
    ) -> Self {
        let random = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        StateMachine {
            name,
            key,
            stats: CallStats::new(&config, now),
            config,
            phase: Phase::of_mode(switch_mode, now),
            generation: 0,
            transitions: 0,
            backoff: OpenBackoff::default(),
            manual_mode: SwitchMode::Normal,
            switch_mode,
            random,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn window_shape(&self) -> WindowShape {
        self.stats.shape()
    }

    pub(super) fn settings(&self) -> &BreakerSettings {
        &self.config.settings
    }

    /// Returns the shape of the window that these settings ask for, or `None` if it is the present window.
    pub(super) fn other_shape(&self, config: &BreakerConfig) -> Option<WindowShape> {
        if config.settings.has_window_of(&self.config.settings) {
            return None;
        }
        let number = self.window_shape().number().wrapping_add(1);
        Some(config.window_shape(number))
    }

    /// Applies other settings. `shape` is that of [`other_shape`](Self::other_shape).
    ///
    /// Opens and closes nothing: thresholds are evaluated when the next failure or slow call is recorded, an open circuit
    /// keeps its end, and a half-open phase ends by the number of probes with which it began.
    pub(super) fn apply(
        &mut self,
        config: BreakerConfig,
        shape: Option<WindowShape>,
        now: Instant,
    ) {
        if let Some(shape) = shape {
            self.stats.reshape(&config, shape, now);
        }
        self.config = config;
    }

    pub(super) fn state(&self) -> CircuitState {
        self.phase.state()
    }

    pub(super) fn counts(&self, now: Instant) -> CallCounts {
        self.stats.counts(now)
    }

    /// Returns how many transitions there have been.
    pub(super) fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Returns how many calls have failed in a row.
    pub(super) fn consecutive_failures(&self) -> u32 {
        self.stats.consecutive_failures()
    }

    /// Returns the ID of the present run of successes.
    pub(super) fn run_id(&self) -> u32 {
        self.stats.run_id()
    }

    pub(super) fn probes_in_flight(&self) -> u32 {
        self.phase.half_open().map_or(0, HalfOpen::in_flight)
    }

    /// Returns whether the circuit is half open and all slots for probes are taken.
    pub(super) fn is_probing_at_limit(&self) -> bool {
        self.phase.half_open().is_some_and(HalfOpen::is_full)
    }

    /// Returns which calls would be rejected now. Overdue probes must have been [expired](Self::expire) before.
    pub(super) fn rejects(&self, now: Instant) -> Rejects {
        self.phase.rejects(now, self.config.stall_timeout())
    }

    /// Checks that the circuit is not open for some time to come, without changing it.
    ///
    /// # Errors
    ///
    /// The time until a call may be admitted, if it is known.
    #[inline]
    pub(super) fn check_not_open(&self, now: Instant) -> Result<(), Option<Duration>> {
        self.phase.check_not_open(now)
    }

    /// Admits or rejects a call, which may begin or end a half-open phase. `has_upload` says that the request has a body
    /// which its caller may stall. The error is the time after which to retry, if it is known.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        has_upload: bool,
    ) -> (Result<BreakerPermit, Option<Duration>>, Option<Transition>) {
        // At most one of the two: a circuit that has just opened is open for some time to come.
        let mut transition = self.expire(now);
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            transition = Some(self.start_probing(now));
        }
        (self.decide(now, has_upload), transition)
    }

    fn decide(
        &mut self,
        now: Instant,
        has_upload: bool,
    ) -> Result<BreakerPermit, Option<Duration>> {
        let (generation, settings) = (self.generation, &self.config.settings);
        let deadline = saturating_add(now, settings.probe_timeout);
        let random = &mut self.random;
        match self.phase.admit(now, deadline, has_upload, random) {
            Some(state) => Ok(BreakerPermit { generation, state }),
            None => {
                let stall_timeout = self.config.stall_timeout();
                Err(self
                    .phase
                    .retry_after(now, stall_timeout, settings.open_time))
            }
        }
    }

    /// Records successes that the fast path has counted since the last failure.
    pub(super) fn record_successes(&mut self, bucket: u64, times: u64) {
        if self.phase.is_closed() {
            self.stats.record_successes(bucket, times);
        }
    }

    /// Records the head of a response. It decides a probe. In a closed circuit only a good head counts: the cause of
    /// a failure is better known at the end of the call.
    pub(super) fn on_head(
        &mut self,
        permit: &mut BreakerPermit,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        match (permit.state, sample) {
            (state @ PermitState::Probe { .. }, _) => {
                let succeeded = sample.map(|sample| self.config.is_probe_success(sample));
                // Before the result is recorded, which may end the phase.
                permit.state = self.phase.half_open()?.state_after_head(state, succeeded);
                self.record_probe(state, sample, now)
            }
            (PermitState::Admitted, Some(success)) if !success.is_failure() => {
                permit.state = self.stats.success_at(now, success.is_slow());
                self.record(success, now)
            }
            _ => None,
        }
    }

    /// Records the end of a call. `None` is no evidence, and gives the slot of a probe back.
    pub(super) fn on_end(
        &mut self,
        permit: &BreakerPermit,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<Transition> {
        if permit.generation != self.generation {
            return None;
        }
        match permit.state {
            PermitState::Uncounted => None,
            state @ (PermitState::Probe { .. } | PermitState::ProbeCounted { .. }) => {
                self.record_probe(state, sample, now)
            }
            PermitState::Admitted => self.record(sample?, now),
            success @ PermitState::Success { .. } if sample?.is_failure() => {
                self.success_to_failure(success, now)
            }
            // Has been counted at its head.
            PermitState::Success { .. } => None,
        }
    }

    /// Records that the service failed to become ready: a failure without a permit. Half open, it takes a free slot.
    pub(super) fn on_not_ready(&mut self, now: Instant) -> Option<Transition> {
        match self.phase {
            Phase::Closed { .. } => self.record(CallSample::Failure, now),
            Phase::HalfOpen(_) => self.update_probes(now, HalfOpen::on_not_ready),
            _ => None,
        }
    }

    fn record(&mut self, sample: CallSample, now: Instant) -> Option<Transition> {
        // Calls of a disabled circuit come here as well, with its generation.
        if !self.phase.is_closed() {
            return None;
        }
        self.stats.record(sample, now);
        self.trip_if_threshold_reached(sample, now)
    }

    /// Turns a success that was counted at its head into a failure: its body has broken.
    fn success_to_failure(&mut self, success: PermitState, now: Instant) -> Option<Transition> {
        if !self.phase.is_closed() {
            return None;
        }
        let failure = self.stats.success_to_failure(success, now)?;
        self.trip_if_threshold_reached(failure, now)
    }

    fn trip_if_threshold_reached(
        &mut self,
        sample: CallSample,
        now: Instant,
    ) -> Option<Transition> {
        let reason = self.stats.threshold_reached(&self.config, sample, now)?;
        Some(self.trip(reason, now))
    }

    fn start_probing(&mut self, now: Instant) -> Transition {
        let phase = Phase::HalfOpen(HalfOpen::new(
            self.config.settings.probes,
            self.config.probes_required,
        ));
        self.transition(phase, TransitionReason::OpenTimeElapsed, now)
    }

    /// Counts overdue probes as failed, which may end the half-open phase.
    #[inline]
    pub(super) fn expire(&mut self, now: Instant) -> Option<Transition> {
        self.update_probes(now, HalfOpen::expire)
    }

    /// Watches the upload of a probe, which its caller may stall.
    pub(super) fn watch_upload(&mut self, permit: &BreakerPermit, upload: Upload) {
        if let Phase::HalfOpen(half_open) = &mut self.phase
            && permit.generation == self.generation
        {
            half_open.watch_upload(permit.state, upload);
        }
    }

    /// Records the result of a probe, at its head or its end; `None` gives its slot back. The caller has checked the
    /// generation.
    fn record_probe(
        &mut self,
        probe: PermitState,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<Transition> {
        let succeeded = sample.map(|sample| self.config.is_probe_success(sample));
        self.update_probes(now, |probes, now, stall_timeout| {
            probes.on_result(probe, succeeded, now, stall_timeout)
        })
    }

    /// Runs a step of the half-open phase, if the circuit is in one. The step gets the stall timeout and may end the phase.
    fn update_probes(
        &mut self,
        now: Instant,
        step: impl FnOnce(&mut HalfOpen, Instant, Duration) -> Option<TransitionReason>,
    ) -> Option<Transition> {
        let probes = self.phase.half_open_mut()?;
        let reason = step(probes, now, self.config.stall_timeout())?;
        Some(match reason {
            TransitionReason::ProbesSucceeded => self.close(reason, now),
            failed => self.trip(failed, now),
        })
    }

    /// Opens the circuit until then, if that is later than it would be open anyway. Overrides stay.
    pub(super) fn open_until(&mut self, until: Instant, now: Instant) -> Option<Transition> {
        self.open_with_reason(TransitionReason::Manual, until, now)
    }

    /// Opens the circuit for as long as a peer asks for in its answer to a call of this generation. While the circuit
    /// is open, any answer may prolong that; otherwise an answer of an earlier generation does not count.
    pub(super) fn open_on_retry_after(
        &mut self,
        generation: u64,
        wait: Duration,
        now: Instant,
    ) -> Option<Transition> {
        let is_late = generation != self.generation && !matches!(self.phase, Phase::Open { .. });
        if is_late {
            return None;
        }
        self.open_with_reason(TransitionReason::RetryAfter, saturating_add(now, wait), now)
    }

    fn open_with_reason(
        &mut self,
        reason: TransitionReason,
        until: Instant,
        now: Instant,
    ) -> Option<Transition> {
        match &mut self.phase {
            Phase::ForcedOpen | Phase::Disabled => None,
            Phase::Open { until: present } => {
                *present = until.max(*present);
                None
            }
            // Would be over as soon as it began.
            Phase::Closed { .. } | Phase::HalfOpen(_) if until <= now => None,
            // Without backoff and jitter: the program or the peer has named the time.
            _ => {
                self.decay_backoff(now);
                Some(self.open_for(until - now, reason, now))
            }
        }
    }

    pub(super) fn force_open(&mut self, now: Instant) -> Option<Transition> {
        self.manual_mode = SwitchMode::ForcedOpen;
        self.apply_override(TransitionReason::ForcedOpen, now)
    }

    pub(super) fn disable(&mut self, now: Instant) -> Option<Transition> {
        self.manual_mode = SwitchMode::Disabled;
        self.apply_override(TransitionReason::Disabled, now)
    }

    pub(super) fn set_switch_mode(&mut self, mode: SwitchMode, now: Instant) -> Option<Transition> {
        self.switch_mode = mode;
        self.apply_override(TransitionReason::Switch, now)
    }

    /// Closes the circuit and forgets everything, unless its switch overrides that. A closed circuit changes no state,
    /// but its generation grows, so that late results do not count.
    pub(super) fn reset(&mut self, now: Instant) -> Option<Transition> {
        self.manual_mode = SwitchMode::Normal;
        self.backoff.reset();
        if self.switch_mode != SwitchMode::Normal {
            return None;
        }
        if let Phase::Closed { since } = &mut self.phase {
            *since = now;
            self.generation += 1;
            self.stats.clear();
            return None;
        }
        Some(self.close(TransitionReason::Reset, now))
    }

    fn apply_override(&mut self, reason: TransitionReason, now: Instant) -> Option<Transition> {
        let mode = match self.switch_mode {
            SwitchMode::Normal => self.manual_mode,
            set => set,
        };
        if mode == self.phase.mode() {
            return None;
        }
        if mode != SwitchMode::Normal {
            return Some(self.transition(Phase::of_mode(mode, now), reason, now));
        }
        // What the circuit was before is out of date, so it starts again.
        self.backoff.reset();
        Some(self.close(reason, now))
    }

    fn close(&mut self, reason: TransitionReason, now: Instant) -> Transition {
        let transition = self.transition(Phase::Closed { since: now }, reason, now);
        self.stats.clear();
        transition
    }

    /// Opens the circuit for the open time with backoff and jitter.
    fn trip(&mut self, reason: TransitionReason, now: Instant) -> Transition {
        self.decay_backoff(now);
        let wait = self.backoff.next_open_time(&self.config, &mut self.random);
        self.open_for(wait, reason, now)
    }

    fn open_for(&mut self, wait: Duration, reason: TransitionReason, now: Instant) -> Transition {
        let until = saturating_add(now, wait);
        let mut transition = self.transition(Phase::Open { until }, reason, now);
        // Not the wait, which the clock may not be able to represent.
        transition.open_for = Some(until - now);
        transition
    }

    /// Lowers the backoff by a level for each open time that the circuit has stayed closed. Must come before it opens.
    fn decay_backoff(&mut self, now: Instant) {
        if let Phase::Closed { since } = self.phase {
            let healthy = now.saturating_duration_since(since);
            self.backoff.decay(healthy, &self.config);
        }
    }

    fn transition(&mut self, phase: Phase, reason: TransitionReason, now: Instant) -> Transition {
        // Counted before the phase changes: closing clears the window.
        let (from, counts) = (self.state(), self.counts(now));
        self.phase = phase;
        self.generation += 1;
        self.transitions += 1;
        Transition {
            breaker: self.name.clone(),
            key: self.key.clone(),
            number: self.transitions,
            from,
            to: self.state(),
            reason,
            counts,
            open_for: None,
            last_error: None,
            shadow: false,
        }
    }
}
