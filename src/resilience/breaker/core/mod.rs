//! When a circuit opens, lets probes through and closes. Decides only: no clock, no lock, no await, no log.

mod orders;
#[cfg(test)]
mod tests;
mod trial;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    events::Reason,
    settings::Settings,
    state::State,
    switch::Position,
    window::{Counts, Ticks, Verdict, Window},
};

/// How far the open time has grown; beyond, every factor has met its limit.
const MAX_LEVEL: u32 = 64;

#[derive(Debug)]
enum Phase {
    Closed { since: Instant },
    Open { until: Instant },
    Trying(Trying),
    ForcedOpen,
    Disabled,
}

/// A probe phase. Never more than the permitted number is in flight or has settled.
#[derive(Debug)]
struct Trying {
    until: Instant,
    in_flight: u32,
    good: u32,
    bad: u32,
}

/// A transition, to be reported exactly once.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: Reason,
    pub(super) counts: Counts,
    pub(super) open_for: Option<Duration>,
}

/// Whether a call passes; `Refused` says for how long at most, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Passes,
    Refused(Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Core {
    settings: Settings,
    ticks: Ticks,
    window: Window,
    phase: Phase,
    /// Grows with every transition; a result that bears another number is too late.
    generation: u64,
    streak: u32,
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
            streak: 0,
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
            Phase::Trying(_) => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        self.window.counts(self.ticks.at(now))
    }

    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    pub(super) fn probes_in_flight(&self) -> u32 {
        match &self.phase {
            Phase::Trying(trying) => trying.in_flight,
            _ => 0,
        }
    }

    /// Whether a call that came now would be refused, and for how long at most.
    pub(super) fn would_refuse(&self, now: Instant) -> Answer {
        match &self.phase {
            Phase::Closed { .. } | Phase::Disabled => Answer::Passes,
            Phase::ForcedOpen => Answer::Refused(None),
            Phase::Open { until } if now < *until => Answer::Refused(Some(*until - now)),
            Phase::Open { .. } => Answer::Passes,
            Phase::Trying(trying) if now < trying.until => {
                if trying.in_flight + trying.good + trying.bad < self.settings.probes {
                    Answer::Passes
                } else {
                    Answer::Refused(Some(trying.until - now))
                }
            }
            // The limit has passed; what `admit` makes of it depends on the probes.
            Phase::Trying(trying) => match self.verdict_at_limit(trying) {
                Some(false) => Answer::Refused(None),
                Some(true) | None => Answer::Passes,
            },
        }
    }

    /// Lets a call pass, which may begin or end a probe phase, or refuses it.
    pub(super) fn admit(&mut self, now: Instant) -> (Answer, Option<Change>) {
        let mut change = self.expire(now);
        if let Phase::Open { until } = self.phase
            && now >= until
        {
            change = Some(self.try_out(now));
        }
        let answer = self.would_refuse(now);
        if let (Answer::Passes, Phase::Trying(trying)) = (answer, &mut self.phase) {
            trying.in_flight += 1;
        }
        (answer, change)
    }

    /// Successes that were counted elsewhere since the last failure.
    pub(super) fn successes(&mut self, tick: u64, times: u64) {
        if times > 0 && matches!(self.phase, Phase::Closed { .. }) {
            self.streak = 0;
            self.window.record(tick, Verdict::Success, times);
        }
    }

    /// Counts the end of a call of this generation; `None` gives a probe back.
    pub(super) fn settle(
        &mut self,
        generation: u64,
        verdict: Option<Verdict>,
        now: Instant,
    ) -> Option<Change> {
        if generation != self.generation {
            return None;
        }
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        match &mut self.phase {
            Phase::Closed { .. } => self.count(verdict?, now),
            Phase::Trying(trying) => {
                trying.in_flight = trying.in_flight.saturating_sub(1);
                self.tried(verdict?, now)
            }
            _ => None,
        }
    }

    /// The service could not even become ready: a failure that had no permit.
    pub(super) fn unready(&mut self, now: Instant) -> Option<Change> {
        if let change @ Some(_) = self.expire(now) {
            return change;
        }
        match &mut self.phase {
            Phase::Closed { .. } => self.count(Verdict::Failure, now),
            Phase::Trying(trying)
                if trying.in_flight + trying.good + trying.bad < self.settings.probes =>
            {
                self.tried(Verdict::Failure, now)
            }
            _ => None,
        }
    }

    fn count(&mut self, verdict: Verdict, now: Instant) -> Option<Change> {
        let tick = self.ticks.at(now);
        self.window.record(tick, verdict, 1);
        self.streak = if verdict.failed() {
            self.streak.saturating_add(1)
        } else {
            0
        };
        let reason = self.reason_to_open(verdict, tick)?;
        Some(self.trip(reason, now))
    }

    fn reason_to_open(&self, verdict: Verdict, tick: u64) -> Option<Reason> {
        let Settings {
            consecutive,
            failure_rate,
            slow_rate,
            min_calls,
            ..
        } = self.settings;
        if consecutive.is_some_and(|limit| self.streak >= limit) {
            return Some(Reason::ConsecutiveFailures);
        }
        if !verdict.failed() && !verdict.slow() {
            return None;
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
        self.window.clear();
        self.streak = 0;
        change
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
        Change {
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
