//! A breaker as slow and plain as can be: it keeps every outcome with its time, and adds up.

use std::time::Duration;

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{CircuitBreakerBuilder, Position, State},
};

pub const BUCKET: Duration = Duration::from_millis(100);
pub const BUCKETS: usize = 5;

/// Exact: so many of so many.
#[derive(Clone, Copy, Debug)]
pub struct Ratio(pub u32, pub u32);

impl Ratio {
    fn reached(self, part: usize, all: usize) -> bool {
        part * self.1 as usize >= self.0 as usize * all
    }

    fn float(self) -> f64 {
        f64::from(self.0) / f64::from(self.1)
    }
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub count_window: Option<usize>,
    pub min_calls: usize,
    pub failure_rate: Option<Ratio>,
    pub in_a_row: Option<u32>,
    pub slow_call: Option<u64>,
    pub slow_rate: Option<Ratio>,
    pub open: u64,
    pub growth: u32,
    pub most_open: u64,
    pub jitter: f64,
    pub probes: u32,
    pub probe_ratio: Ratio,
    pub probe_limit: Option<u64>,
    pub seed: u64,
}

impl Settings {
    pub fn builder(&self) -> CircuitBreakerBuilder {
        let builder = CircuitBreaker::builder("model");
        let mut builder = match self.count_window {
            Some(calls) => builder.count_window(calls),
            None => builder.time_window(BUCKET * BUCKETS as u32, BUCKETS),
        };
        if let Some(limit) = self.probe_limit {
            builder = builder.probe_limit(Duration::from_millis(limit));
        }
        builder
            .minimum_calls(self.min_calls as u32)
            .failure_rate(self.failure_rate.map(Ratio::float))
            .consecutive_failures(self.in_a_row)
            .slow_call(self.slow_call.map(Duration::from_millis))
            .slow_rate(self.slow_rate.map(Ratio::float))
            .open_time(Duration::from_millis(self.open))
            .open_growth(f64::from(self.growth))
            .max_open_time(Duration::from_millis(self.most_open))
            .open_jitter(self.jitter)
            .probes(self.probes)
            .probe_ratio(self.probe_ratio.float())
            .seed(self.seed)
    }

    pub fn probe_limit(&self) -> Duration {
        Duration::from_millis(self.probe_limit.unwrap_or(self.open))
    }

    /// The fewest good probes that are enough.
    pub fn needed(&self) -> u32 {
        let enough = |good: &u32| {
            self.probe_ratio
                .reached(*good as usize, self.probes as usize)
        };
        (1..=self.probes).find(enough).expect("all of them")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Closed { since: Duration },
    Open { until: Duration },
    Trying(Trying),
    Forced,
    Disabled,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trying {
    until: Duration,
    pub out: u32,
    good: u32,
    bad: u32,
}

impl Trying {
    fn all(&self) -> u32 {
        self.out + self.good + self.bad
    }
}

#[derive(Clone, Copy)]
pub struct Seen {
    bucket: u128,
    pub failed: bool,
    pub slow: bool,
}

#[derive(Clone)]
pub struct Model {
    pub settings: Settings,
    pub phase: Phase,
    pub generation: u64,
    pub row: u32,
    seen: Vec<Seen>,
    level: u32,
    /// What it was told by hand, and by the switch, which comes first.
    by_hand: Position,
    by_switch: Position,
    random: fastrand::Rng,
}

impl Model {
    pub fn new(settings: Settings) -> Model {
        Model {
            settings,
            phase: Phase::Closed {
                since: Duration::ZERO,
            },
            generation: 0,
            row: 0,
            seen: Vec::new(),
            level: 0,
            by_hand: Position::Normal,
            by_switch: Position::Normal,
            random: fastrand::Rng::with_seed(settings.seed),
        }
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::Trying(_) => State::HalfOpen,
            Phase::Forced => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }

    pub fn window(&self, now: Duration) -> Vec<Seen> {
        match self.settings.count_window {
            Some(limit) => self.seen[self.seen.len().saturating_sub(limit)..].to_vec(),
            None => {
                let current = |seen: &&Seen| seen.bucket + BUCKETS as u128 > bucket(now);
                self.seen.iter().filter(current).copied().collect()
            }
        }
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        if matches!(phase, Phase::Closed { .. }) {
            self.seen.clear();
            self.row = 0;
        }
    }

    fn close(&mut self, now: Duration) {
        self.turn(Phase::Closed { since: now });
    }

    fn open_time(&self) -> Duration {
        let s = &self.settings;
        let factor = (0..self.level).fold(1, |all: u64, _| all.saturating_mul(s.growth.into()));
        Duration::from_millis(s.open.saturating_mul(factor).min(s.most_open))
    }

    fn rest(&mut self, now: Duration) {
        let Phase::Closed { since } = self.phase else {
            return;
        };
        let mut well = now - since;
        while self.level > 0 && well >= self.open_time() {
            well -= self.open_time();
            self.level -= 1;
        }
    }

    fn trip(&mut self, now: Duration) {
        self.rest(now);
        let factor = 1.0 + self.settings.jitter * self.random.f64();
        let wait = Duration::from_secs_f64(self.open_time().as_secs_f64() * factor);
        self.level += 1;
        self.turn(Phase::Open { until: now + wait });
    }

    fn trying(&self, now: Duration) -> Phase {
        let until = now + self.settings.probe_limit();
        Phase::Trying(Trying {
            until,
            out: 0,
            good: 0,
            bad: 0,
        })
    }

    /// Whether the probes' time was over, and what they had said ended the phase.
    fn expire(&mut self, now: Duration) -> bool {
        match self.phase {
            Phase::Trying(trying) if now >= trying.until => {
                let (good, all) = (trying.good as usize, trying.all() as usize);
                if all == 0 {
                    self.phase = self.trying(now);
                    return false;
                }
                if self.settings.probe_ratio.reached(good, all) {
                    self.close(now);
                } else {
                    self.trip(now);
                }
                true
            }
            _ => false,
        }
    }

    pub fn admit(&mut self, now: Duration) -> bool {
        self.expire(now);
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            self.turn(self.trying(now));
        }
        match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => true,
            Phase::Open { .. } | Phase::Forced => false,
            Phase::Trying(trying) => {
                let free = trying.all() < self.settings.probes;
                trying.out += u32::from(free);
                free
            }
        }
    }

    pub fn settle(&mut self, generation: u64, outcome: Outcome, took: Duration, now: Duration) {
        if generation != self.generation || self.expire(now) {
            return;
        }
        let limit = self.settings.slow_call.map(Duration::from_millis);
        let slow = limit.is_some_and(|limit| took >= limit);
        let failed = match outcome {
            Outcome::Ignored | Outcome::Rejected => None,
            Outcome::Cancelled => slow.then_some(true),
            outcome => Some(outcome != Outcome::Success),
        };
        if let Phase::Trying(trying) = &mut self.phase {
            trying.out -= 1;
        }
        if let Some(failed) = failed {
            self.count(failed, slow, now);
        }
    }

    /// The service could not become ready.
    pub fn unready(&mut self, now: Duration) {
        if self.expire(now) {
            return;
        }
        if !matches!(self.phase, Phase::Trying(trying) if trying.all() >= self.settings.probes) {
            self.count(true, false, now);
        }
    }

    fn count(&mut self, failed: bool, slow: bool, now: Duration) {
        match &mut self.phase {
            Phase::Closed { .. } => {
                let bucket = bucket(now);
                self.seen.push(Seen {
                    bucket,
                    failed,
                    slow,
                });
                self.row = if failed { self.row + 1 } else { 0 };
                if self.has_to_open(failed || slow, now) {
                    self.trip(now);
                }
            }
            Phase::Trying(trying) => {
                let bad = failed || (slow && self.settings.slow_rate.is_some());
                *(if bad {
                    &mut trying.bad
                } else {
                    &mut trying.good
                }) += 1;
                let (good, bad, needed) = (trying.good, trying.bad, self.settings.needed());
                if good == needed {
                    self.close(now);
                } else if self.settings.probes - bad < needed {
                    self.trip(now);
                }
            }
            _ => {}
        }
    }

    fn has_to_open(&self, wrong: bool, now: Duration) -> bool {
        let s = &self.settings;
        let window = self.window(now);
        let failures = window.iter().filter(|seen| seen.failed).count();
        let slow = window.iter().filter(|seen| seen.slow).count();
        let reached = |ratio: Option<Ratio>, part| {
            wrong
                && window.len() >= s.min_calls
                && ratio.is_some_and(|ratio| ratio.reached(part, window.len()))
        };
        s.in_a_row.is_some_and(|limit| self.row >= limit)
            || reached(s.failure_rate, failures)
            || reached(s.slow_rate, slow)
    }

    pub fn open_for(&mut self, time: Duration, now: Duration) {
        match &mut self.phase {
            Phase::Open { until } => *until = (*until).max(now + time),
            Phase::Forced | Phase::Disabled => {}
            _ => {
                self.rest(now);
                self.turn(Phase::Open { until: now + time });
            }
        }
    }

    pub fn by_hand(&mut self, position: Position, now: Duration) {
        self.by_hand = position;
        if position != Position::Normal {
            return self.obey(now);
        }
        self.level = 0;
        if self.by_switch == Position::Normal {
            self.close(now);
        }
    }

    pub fn by_switch(&mut self, position: Position, now: Duration) {
        self.by_switch = position;
        self.obey(now);
    }

    fn obey(&mut self, now: Duration) {
        let told = match self.by_switch {
            Position::Normal => self.by_hand,
            thrown => thrown,
        };
        let held = matches!(self.phase, Phase::Forced | Phase::Disabled);
        match told {
            Position::ForcedOpen if self.phase != Phase::Forced => self.turn(Phase::Forced),
            Position::Disabled if self.phase != Phase::Disabled => self.turn(Phase::Disabled),
            Position::Normal if held => {
                self.level = 0;
                self.close(now);
            }
            _ => {}
        }
    }
}

fn bucket(now: Duration) -> u128 {
    now.as_nanos() / BUCKET.as_nanos()
}
