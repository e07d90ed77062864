//! When a circuit opens, lets probes through and closes. Decides only: no clock, no lock, no await, no log.

mod failure_streak;
mod half_open;
mod overrides;
mod raw_permit;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    settings::Settings,
    state::CircuitState,
    switch::SwitchMode,
    transition::TransitionReason,
    window::{BucketClock, CallCounts, CallSample, Window},
};
use crate::guard::Rejects;

use failure_streak::FailureStreak;
use half_open::HalfOpen;
pub(super) use raw_permit::{CountedSuccess, PermitState, ProbeId, RawPermit};

/// How far the open time has grown; beyond, every factor has met its limit.
const MAX_BACKOFF_LEVEL: u32 = 64;

#[derive(Debug)]
enum Phase {
    Closed { since: Instant },
    Open { until: Instant },
    HalfOpen(HalfOpen),
    ForcedOpen,
    Disabled,
}

/// A transition, to be reported exactly once.
#[derive(Debug)]
pub(super) struct StateChange {
    /// Counts the transitions, from 1.
    pub(super) number: u64,
    pub(super) from: CircuitState,
    pub(super) to: CircuitState,
    pub(super) reason: TransitionReason,
    pub(super) counts: CallCounts,
    pub(super) open_for: Option<Duration>,
}

/// Whether a call passes; `Refused` says for how long to stay away, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdmissionDecision {
    Admit(RawPermit),
    Reject(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct StateMachine {
    settings: Settings,
    bucket_clock: BucketClock,
    window: Window,
    phase: Phase,
    /// Grows with every transition, and when a closed circuit is reset; a result that bears another number is too late.
    generation: u64,
    transitions: u64,
    streak: FailureStreak,
    backoff_level: u32,
    /// What it was told by hand, and by a switch. The switch comes first.
    manual_mode: SwitchMode,
    switch_mode: SwitchMode,
    random: fastrand::Rng,
}

impl StateMachine {
    pub(super) fn new(
        settings: Settings,
        ticks: BucketClock,
        by_switch: SwitchMode,
        now: Instant,
    ) -> Self {
        let random = settings
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        StateMachine {
            window: settings.window.build(),
            settings,
            bucket_clock: ticks,
            phase: match by_switch {
                SwitchMode::Normal => Phase::Closed { since: now },
                SwitchMode::ForcedOpen => Phase::ForcedOpen,
                SwitchMode::Disabled => Phase::Disabled,
            },
            manual_mode: SwitchMode::Normal,
            switch_mode: by_switch,
            generation: 0,
            transitions: 0,
            streak: FailureStreak::default(),
            backoff_level: 0,
            random,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen(_) => CircuitState::HalfOpen,
            Phase::ForcedOpen => CircuitState::ForcedOpen,
            Phase::Disabled => CircuitState::Disabled,
        }
    }

    pub(super) fn counts(&self, now: Instant) -> CallCounts {
        self.window.counts(self.bucket_clock.bucket_at(now))
    }

    /// Returns how many transitions there have been.
    pub(super) fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Returns how many calls have failed in a row.
    pub(super) fn consecutive_failures(&self) -> u32 {
        self.streak.len()
    }

    /// Returns which run of successes it is; see [`FailureStreak`].
    pub(super) fn run_id(&self) -> u32 {
        self.streak.run_id()
    }

    pub(super) fn probes_in_flight(&self) -> u32 {
        match &self.phase {
            Phase::HalfOpen(half_open) => half_open.in_flight(),
            _ => 0,
        }
    }

    /// Returns whether all places of a half-open phase are taken.
    pub(super) fn is_probing_at_limit(&self) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.is_full())
    }

    /// Returns which of the calls that came now would be refused. Right where probes that are overdue have
    /// [expired](Self::expire).
    pub(super) fn rejects(&self, now: Instant) -> Rejects {
        match &self.phase {
            Phase::Closed { .. } | Phase::Disabled => Rejects::None,
            Phase::ForcedOpen => Rejects::All,
            Phase::Open { until } if now < *until => Rejects::AllUntil(*until),
            Phase::Open { .. } => Rejects::Some,
            Phase::HalfOpen(half_open) => {
                match half_open.next_deadline(now, self.stall_timeout()) {
                    Some(until) if half_open.is_full() => Rejects::AllUntil(until),
                    _ => Rejects::Some,
                }
            }
        }
    }

    /// Refuses a call of a circuit that is open for longer: that changes nothing.
    #[inline]
    pub(super) fn reject_if_open(&self, now: Instant) -> Option<AdmissionDecision> {
        match self.phase {
            Phase::Open { until } if now < until => {
                Some(AdmissionDecision::Reject(Some(until - now)))
            }
            Phase::ForcedOpen => Some(AdmissionDecision::Reject(None)),
            _ => None,
        }
    }

    /// Lets a call pass, which may begin or end a half-open phase, or refuses it. `has_upload` says that its request has a
    /// body which its caller may stall.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        has_upload: bool,
    ) -> (AdmissionDecision, Option<StateChange>) {
        let mut change = self.expire(now);
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            change = Some(self.start_probing(now));
        }
        (self.decide(now, has_upload), change)
    }

    fn decide(&mut self, now: Instant, has_upload: bool) -> AdmissionDecision {
        let until = self.probe_deadline(now);
        // Whoever comes first would always be one of those who stall, if they are many.
        let is_unlucky = has_upload && self.has_stalled() && self.random.bool();
        let (generation, standing) = match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => (self.generation, PermitState::Admitted),
            Phase::HalfOpen(_) if is_unlucky => return self.reject(now),
            Phase::HalfOpen(half_open) => match half_open.admit(now, until) {
                Some(probe) => (self.generation, PermitState::Probe(probe)),
                None => return self.reject(now),
            },
            Phase::Open { .. } | Phase::ForcedOpen => return self.reject(now),
        };
        AdmissionDecision::Admit(RawPermit {
            generation,
            state: standing,
        })
    }

    fn reject(&self, now: Instant) -> AdmissionDecision {
        AdmissionDecision::Reject(match (self.rejects(now), &self.phase) {
            (Rejects::AllUntil(until), Phase::HalfOpen(_)) => {
                Some(self.probe_retry_after(until, now))
            }
            (Rejects::AllUntil(until), _) => Some(until.saturating_duration_since(now)),
            _ => None,
        })
    }

    /// Successes that were counted elsewhere since the last failure.
    pub(super) fn record_successes(&mut self, tick: u64, times: u64) {
        if matches!(self.phase, Phase::Closed { .. }) {
            self.streak.record_successes(times);
            self.window.record(tick, CallSample::Success, times);
        }
    }

    /// Counts the head of a response: a probe is settled by it, a call of a closed circuit only by a good one, since
    /// the cause of a bad one is better known at its end.
    pub(super) fn on_head(
        &mut self,
        pass: &mut RawPermit,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<StateChange> {
        if pass.generation != self.generation {
            return None;
        }
        match (pass.state, sample) {
            (PermitState::Probe(probe), _) => {
                // One that has no place any more is counted for good.
                pass.state = match sample {
                    Some(_) if self.is_tracked(probe) => PermitState::ProbeCounted(probe),
                    _ => PermitState::Uncounted,
                };
                self.record_probe(probe, sample, now)
            }
            (PermitState::Admitted, Some(good)) if !good.is_failure() => {
                pass.state = PermitState::Counted(CountedSuccess {
                    bucket: self.bucket_clock.bucket_at(now) as u32,
                    run_id: self.streak.run_id(),
                    slow: good.is_slow(),
                });
                self.record(good, now)
            }
            _ => None,
        }
    }

    /// Counts the end of a call; `None` says nothing, and gives a probe back.
    pub(super) fn on_end(
        &mut self,
        pass: RawPermit,
        sample: Option<CallSample>,
        now: Instant,
    ) -> Option<StateChange> {
        if pass.generation != self.generation {
            return None;
        }
        match pass.state {
            PermitState::Uncounted => None,
            PermitState::Probe(probe) | PermitState::ProbeCounted(probe) => {
                self.record_probe(probe, sample, now)
            }
            PermitState::Admitted => self.record(sample?, now),
            PermitState::Counted(counted) if sample?.is_failure() => {
                self.success_to_failure(counted, now)
            }
            PermitState::Counted(_) => None,
        }
    }

    /// The service could not even become ready: a failure that had no permit.
    pub(super) fn on_not_ready(&mut self, now: Instant) -> Option<StateChange> {
        match self.phase {
            Phase::Closed { .. } => self.record(CallSample::Failure, now),
            Phase::HalfOpen(_) => self.record_not_ready_probe(now),
            _ => None,
        }
    }

    fn record(&mut self, sample: CallSample, now: Instant) -> Option<StateChange> {
        if !matches!(self.phase, Phase::Closed { .. }) {
            return None;
        }
        let tick = self.bucket_clock.bucket_at(now);
        self.window.record(tick, sample, 1);
        if sample.is_failure() {
            self.streak.record_failure();
        } else {
            self.streak.record_successes(1);
        }
        self.trip_if_threshold_reached(sample, tick, now)
    }

    /// A success that was counted at its head has turned out to be a failure.
    fn success_to_failure(&mut self, counted: CountedSuccess, now: Instant) -> Option<StateChange> {
        if !matches!(self.phase, Phase::Closed { .. }) {
            return None;
        }
        let tick = self.bucket_clock.bucket_at(now);
        let sample = if counted.slow {
            CallSample::SlowFailure
        } else {
            CallSample::Failure
        };
        self.window.success_to_failure(counted.bucket, sample, tick);
        self.streak.success_to_failure(counted.run_id);
        self.trip_if_threshold_reached(sample, tick, now)
    }

    fn trip_if_threshold_reached(
        &mut self,
        sample: CallSample,
        tick: u64,
        now: Instant,
    ) -> Option<StateChange> {
        let reason = self.reason_to_open(sample, tick)?;
        Some(self.trip(reason, now))
    }

    /// Rates are looked at when something failed or was slow, not at every success.
    fn reason_to_open(&self, sample: CallSample, tick: u64) -> Option<TransitionReason> {
        if !sample.is_failure() && !sample.is_slow() {
            return None;
        }
        let Settings {
            consecutive_failures: consecutive,
            failure_rate,
            slow_rate,
            min_calls,
            ..
        } = self.settings;
        if consecutive.is_some_and(|limit| self.streak.len() >= limit) {
            return Some(TransitionReason::ConsecutiveFailures);
        }
        let counts = self.window.counts(tick);
        if counts.calls < u64::from(min_calls) {
            return None;
        }
        // Dividing gives the very number that was written down: 3 of 30 are 0.1.
        let reached = |part: u64, limit: Option<f64>| {
            limit.is_some_and(|limit| part as f64 / counts.calls as f64 >= limit)
        };
        if reached(counts.failures, failure_rate) {
            Some(TransitionReason::FailureRate)
        } else if reached(counts.slow, slow_rate) {
            Some(TransitionReason::SlowRate)
        } else {
            None
        }
    }

    fn close(&mut self, reason: TransitionReason, now: Instant) -> StateChange {
        let change = self.transition(Phase::Closed { since: now }, reason, now);
        self.clear_counts();
        change
    }

    fn clear_counts(&mut self) {
        self.window.clear();
        self.streak = FailureStreak::default();
    }

    fn trip(&mut self, reason: TransitionReason, now: Instant) -> StateChange {
        self.decay_backoff(now);
        let jitter = 1.0 + self.settings.open_jitter * self.random.f64();
        let wait = Duration::try_from_secs_f64(self.current_open_time().as_secs_f64() * jitter);
        self.backoff_level = (self.backoff_level + 1).min(MAX_BACKOFF_LEVEL);
        self.open_for(wait.unwrap_or(self.settings.max_open_time), reason, now)
    }

    fn open_for(&mut self, wait: Duration, reason: TransitionReason, now: Instant) -> StateChange {
        let until = saturating_add(now, wait);
        let mut change = self.transition(Phase::Open { until }, reason, now);
        change.open_for = Some(until - now);
        change
    }

    /// How long the circuit opens at the present level, before jitter.
    fn current_open_time(&self) -> Duration {
        let Settings {
            open_time,
            open_backoff: open_growth,
            max_open_time,
            ..
        } = self.settings;
        let grown = open_time.as_secs_f64() * open_growth.powi(self.backoff_level as i32);
        Duration::try_from_secs_f64(grown).map_or(max_open_time, |grown| grown.min(max_open_time))
    }

    /// A step back for each open time that the circuit has stayed closed; to be done before it opens.
    fn decay_backoff(&mut self, now: Instant) {
        let Phase::Closed { since } = self.phase else {
            return;
        };
        let mut healthy = now.saturating_duration_since(since);
        while self.backoff_level > 0 {
            let Some(rest) = healthy.checked_sub(self.current_open_time()) else {
                return;
            };
            healthy = rest;
            self.backoff_level -= 1;
        }
    }

    fn transition(&mut self, phase: Phase, reason: TransitionReason, now: Instant) -> StateChange {
        let (from, counts) = (self.state(), self.counts(now));
        self.phase = phase;
        self.generation += 1;
        self.transitions += 1;
        StateChange {
            number: self.transitions,
            from,
            to: self.state(),
            reason,
            counts,
            open_for: None,
        }
    }
}

/// A time so far off that no clock can name it is a century away.
pub(super) fn saturating_add(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}
