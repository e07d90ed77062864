//! When a circuit opens, lets probes through and closes. Decides only: no clock, no lock, no await, no log.

mod half_open;
mod orders;
mod pass;
mod streak;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    events::Reason,
    settings::Settings,
    state::State,
    switch::Position,
    window::{Counts, Sample, Ticks, Window},
};
use crate::guard::Refuses;

use half_open::HalfOpen;
pub(super) use pass::{Counted, Pass, Probe, Standing};
use streak::Streak;

/// How far the open time has grown; beyond, every factor has met its limit.
const MAX_LEVEL: u32 = 64;

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
pub(super) struct Change {
    /// Counts the transitions, from 1.
    pub(super) number: u64,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: Reason,
    pub(super) counts: Counts,
    pub(super) open_for: Option<Duration>,
}

/// Whether a call passes; `Refused` says for how long to stay away, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Passes(Pass),
    Refused(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Core {
    settings: Settings,
    ticks: Ticks,
    window: Window,
    phase: Phase,
    /// Grows with every transition, and when a closed circuit is reset; a result that bears another number is too late.
    generation: u64,
    transitions: u64,
    streak: Streak,
    level: u32,
    /// What it was told by hand, and by a switch. The switch comes first.
    by_hand: Position,
    by_switch: Position,
    random: fastrand::Rng,
}

impl Core {
    pub(super) fn new(settings: Settings, ticks: Ticks, by_switch: Position, now: Instant) -> Self {
        let random = settings
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Core {
            window: settings.window.make(),
            settings,
            ticks,
            phase: match by_switch {
                Position::Normal => Phase::Closed { since: now },
                Position::ForcedOpen => Phase::ForcedOpen,
                Position::Disabled => Phase::Disabled,
            },
            by_hand: Position::Normal,
            by_switch,
            generation: 0,
            transitions: 0,
            streak: Streak::default(),
            level: 0,
            random,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        self.window.counts(self.ticks.at(now))
    }

    /// Returns how many transitions there have been.
    pub(super) fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Returns how many calls have failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak.len()
    }

    /// Returns which run of successes it is; see [`Streak`].
    pub(super) fn run(&self) -> u32 {
        self.streak.run()
    }

    pub(super) fn probes_in_flight(&self) -> u32 {
        match &self.phase {
            Phase::HalfOpen(half_open) => half_open.in_flight(),
            _ => 0,
        }
    }

    /// Returns whether all places of a half-open phase are taken.
    pub(super) fn is_full(&self) -> bool {
        matches!(&self.phase, Phase::HalfOpen(half_open) if half_open.is_full())
    }

    /// Returns which of the calls that came now would be refused. Right where probes that are overdue have
    /// [expired](Self::expire).
    pub(super) fn refuses(&self, now: Instant) -> Refuses {
        match &self.phase {
            Phase::Closed { .. } | Phase::Disabled => Refuses::No,
            Phase::ForcedOpen => Refuses::Yes,
            Phase::Open { until } if now < *until => Refuses::Until(*until),
            Phase::Open { .. } => Refuses::Some,
            Phase::HalfOpen(half_open) => match half_open.first_limit(now, self.patience()) {
                Some(until) if half_open.is_full() => Refuses::Until(until),
                _ => Refuses::Some,
            },
        }
    }

    /// Refuses a call of a circuit that is open for longer: that changes nothing.
    #[inline]
    pub(super) fn refuses_outright(&self, now: Instant) -> Option<Answer> {
        match self.phase {
            Phase::Open { until } if now < until => Some(Answer::Refused(Some(until - now))),
            Phase::ForcedOpen => Some(Answer::Refused(None)),
            _ => None,
        }
    }

    /// Lets a call pass, which may begin or end a half-open phase, or refuses it. `has_upload` says that its request has a
    /// body which its caller may stall.
    pub(super) fn admit(&mut self, now: Instant, has_upload: bool) -> (Answer, Option<Change>) {
        let mut change = self.expire(now);
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            change = Some(self.half_open(now));
        }
        (self.answer(now, has_upload), change)
    }

    fn answer(&mut self, now: Instant, has_upload: bool) -> Answer {
        let until = self.probe_until(now);
        // Whoever comes first would always be one of those who stall, if they are many.
        let is_unlucky = has_upload && self.has_stalled() && self.random.bool();
        let (generation, standing) = match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => (self.generation, Standing::Passing),
            Phase::HalfOpen(_) if is_unlucky => return self.refused(now),
            Phase::HalfOpen(half_open) => match half_open.admit(now, until) {
                Some(probe) => (self.generation, Standing::Probe(probe)),
                None => return self.refused(now),
            },
            Phase::Open { .. } | Phase::ForcedOpen => return self.refused(now),
        };
        Answer::Passes(Pass {
            generation,
            standing,
        })
    }

    fn refused(&self, now: Instant) -> Answer {
        Answer::Refused(match (self.refuses(now), &self.phase) {
            (Refuses::Until(until), Phase::HalfOpen(_)) => Some(self.wait_for_probes(until, now)),
            (Refuses::Until(until), _) => Some(until.saturating_duration_since(now)),
            _ => None,
        })
    }

    /// Successes that were counted elsewhere since the last failure.
    pub(super) fn successes(&mut self, tick: u64, times: u64) {
        if matches!(self.phase, Phase::Closed { .. }) {
            self.streak.succeed(times);
            self.window.record(tick, Sample::Success, times);
        }
    }

    /// Counts the head of a response: a probe is settled by it, a call of a closed circuit only by a good one, since
    /// the cause of a bad one is better known at its end.
    pub(super) fn head(
        &mut self,
        pass: &mut Pass,
        sample: Option<Sample>,
        now: Instant,
    ) -> Option<Change> {
        if pass.generation != self.generation {
            return None;
        }
        match (pass.standing, sample) {
            (Standing::Probe(probe), _) => {
                // One that has no place any more is counted for good.
                pass.standing = match sample {
                    Some(_) if self.has_place(probe) => Standing::Probed(probe),
                    _ => Standing::Void,
                };
                self.probed(probe, sample, now)
            }
            (Standing::Passing, Some(good)) if !good.failed() => {
                pass.standing = Standing::Counted(Counted {
                    tick: self.ticks.at(now) as u32,
                    run: self.streak.run(),
                    slow: good.slow(),
                });
                self.count(good, now)
            }
            _ => None,
        }
    }

    /// Counts the end of a call; `None` says nothing, and gives a probe back.
    pub(super) fn settle(
        &mut self,
        pass: Pass,
        sample: Option<Sample>,
        now: Instant,
    ) -> Option<Change> {
        if pass.generation != self.generation {
            return None;
        }
        match pass.standing {
            Standing::Void => None,
            Standing::Probe(probe) | Standing::Probed(probe) => self.probed(probe, sample, now),
            Standing::Passing => self.count(sample?, now),
            Standing::Counted(counted) if sample?.failed() => self.convert(counted, now),
            Standing::Counted(_) => None,
        }
    }

    /// The service could not even become ready: a failure that had no permit.
    pub(super) fn unready(&mut self, now: Instant) -> Option<Change> {
        match self.phase {
            Phase::Closed { .. } => self.count(Sample::Failure, now),
            Phase::HalfOpen(_) => self.unready_probe(now),
            _ => None,
        }
    }

    fn count(&mut self, sample: Sample, now: Instant) -> Option<Change> {
        if !matches!(self.phase, Phase::Closed { .. }) {
            return None;
        }
        let tick = self.ticks.at(now);
        self.window.record(tick, sample, 1);
        if sample.failed() {
            self.streak.fail();
        } else {
            self.streak.succeed(1);
        }
        self.trip_if_reached(sample, tick, now)
    }

    /// A success that was counted at its head has turned out to be a failure.
    fn convert(&mut self, counted: Counted, now: Instant) -> Option<Change> {
        if !matches!(self.phase, Phase::Closed { .. }) {
            return None;
        }
        let tick = self.ticks.at(now);
        let sample = if counted.slow {
            Sample::SlowFailure
        } else {
            Sample::Failure
        };
        self.window.convert(counted.tick, sample, tick);
        self.streak.convert(counted.run);
        self.trip_if_reached(sample, tick, now)
    }

    fn trip_if_reached(&mut self, sample: Sample, tick: u64, now: Instant) -> Option<Change> {
        let reason = self.reason_to_open(sample, tick)?;
        Some(self.trip(reason, now))
    }

    /// Rates are looked at when something failed or was slow, not at every success.
    fn reason_to_open(&self, sample: Sample, tick: u64) -> Option<Reason> {
        if !sample.failed() && !sample.slow() {
            return None;
        }
        let Settings {
            consecutive,
            failure_rate,
            slow_rate,
            min_calls,
            ..
        } = self.settings;
        if consecutive.is_some_and(|limit| self.streak.len() >= limit) {
            return Some(Reason::ConsecutiveFailures);
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
            Some(Reason::FailureRate)
        } else if reached(counts.slow, slow_rate) {
            Some(Reason::SlowRate)
        } else {
            None
        }
    }

    fn close(&mut self, reason: Reason, now: Instant) -> Change {
        let change = self.turn(Phase::Closed { since: now }, reason, now);
        self.clear();
        change
    }

    fn clear(&mut self) {
        self.window.clear();
        self.streak = Streak::default();
    }

    fn trip(&mut self, reason: Reason, now: Instant) -> Change {
        self.decay(now);
        let jitter = 1.0 + self.settings.open_jitter * self.random.f64();
        let wait = Duration::try_from_secs_f64(self.open_time().as_secs_f64() * jitter);
        self.level = (self.level + 1).min(MAX_LEVEL);
        self.open(wait.unwrap_or(self.settings.max_open_time), reason, now)
    }

    fn open(&mut self, wait: Duration, reason: Reason, now: Instant) -> Change {
        let until = later(now, wait);
        let mut change = self.turn(Phase::Open { until }, reason, now);
        change.open_for = Some(until - now);
        change
    }

    /// How long the circuit opens at the present level, before jitter.
    fn open_time(&self) -> Duration {
        let Settings {
            open_time,
            open_growth,
            max_open_time,
            ..
        } = self.settings;
        let grown = open_time.as_secs_f64() * open_growth.powi(self.level as i32);
        Duration::try_from_secs_f64(grown).map_or(max_open_time, |grown| grown.min(max_open_time))
    }

    /// A step back for each open time that the circuit has stayed closed; to be done before it opens.
    fn decay(&mut self, now: Instant) {
        let Phase::Closed { since } = self.phase else {
            return;
        };
        let mut healthy = now.saturating_duration_since(since);
        while self.level > 0 {
            let Some(rest) = healthy.checked_sub(self.open_time()) else {
                return;
            };
            healthy = rest;
            self.level -= 1;
        }
    }

    fn turn(&mut self, phase: Phase, reason: Reason, now: Instant) -> Change {
        let (from, counts) = (self.state(), self.counts(now));
        self.phase = phase;
        self.generation += 1;
        self.transitions += 1;
        Change {
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
pub(super) fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}
