//! A breaker as slow and plain as can be: it keeps every call with the time that it counts at, and adds up.

use std::{collections::BTreeSet, time::Duration};

use tower_keep::{
    Outcome,
    breaker::{CircuitState, SwitchMode},
    call::Evidence,
};

use super::{
    parts::{Call, Is, Phase, Probe, Seen},
    settings::{Ratio, Settings},
};

#[derive(Clone)]
pub struct Model {
    pub settings: Settings,
    pub phase: Phase,
    pub generation: u64,
    seen: Vec<Seen>,
    /// The number of windows before.
    shape: u64,
    /// The number of probes of the half-open phase, and how many must be good.
    pub probing: (usize, usize),
    /// Failures in a row, and the good calls since the last of them.
    row: u32,
    since: Vec<u64>,
    calls: u64,
    level: u32,
    /// The override by hand, and that of the switch, which comes first.
    by_hand: SwitchMode,
    by_switch: SwitchMode,
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
            seen: Vec::new(),
            shape: 0,
            probing: (0, 0),
            row: 0,
            since: Vec::new(),
            calls: 0,
            level: 0,
            by_hand: SwitchMode::Normal,
            by_switch: SwitchMode::Normal,
            random: fastrand::Rng::with_seed(settings.seed),
        }
    }

    pub fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen(_) => CircuitState::HalfOpen,
            Phase::Forced => CircuitState::ForcedOpen,
            Phase::Disabled => CircuitState::Disabled,
        }
    }

    pub fn in_a_row(&self) -> u32 {
        if self.since.is_empty() { self.row } else { 0 }
    }

    pub fn probes_in_flight(&self) -> usize {
        match &self.phase {
            Phase::HalfOpen(probes) => probes.iter().filter(|probe| probe.is == Is::Out).count(),
            _ => 0,
        }
    }

    pub fn window(&self, now: Duration) -> Vec<Seen> {
        match self.settings.count_window {
            Some(limit) => self.seen[self.seen.len().saturating_sub(limit)..].to_vec(),
            None => {
                let current =
                    |seen: &&Seen| seen.bucket + self.settings.buckets as u128 > self.bucket(now);
                self.seen.iter().filter(current).copied().collect()
            }
        }
    }

    fn turn(&mut self, phase: Phase) {
        if matches!(phase, Phase::Closed { .. }) {
            self.seen.clear();
            self.since.clear();
            self.row = 0;
        }
        self.phase = phase;
        self.generation += 1;
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

    /// Counts as failed the probes whose time is over. Whether that has ended the phase.
    pub fn expire(&mut self, now: Duration) -> bool {
        if let Phase::HalfOpen(probes) = &mut self.phase {
            let out = probes.iter_mut().filter(|probe| probe.is == Is::Out);
            out.filter(|probe| now >= probe.until)
                .for_each(|probe| probe.is = Is::Overdue);
        }
        self.decide(now)
    }

    /// Returns whether the probes end the phase.
    fn decide(&mut self, now: Duration) -> bool {
        let Phase::HalfOpen(probes) = &self.phase else {
            return false;
        };
        let good = probes.iter().filter(|probe| probe.is == Is::Good).count();
        let bad = |probe: &&Probe| matches!(probe.is, Is::Bad | Is::Overdue);
        let bad = probes.iter().filter(bad).count();
        let (all, needed) = self.probing;
        if good >= needed {
            self.close(now);
        } else if all - bad < needed {
            self.trip(now);
        } else {
            return false;
        }
        true
    }

    pub fn admit(&mut self, now: Duration) -> Option<Call> {
        self.expire(now);
        if matches!(self.phase, Phase::Open { until } if now >= until) {
            self.turn(Phase::HalfOpen(Vec::new()));
            let Settings { probes, .. } = self.settings;
            self.probing = (probes as usize, self.settings.needed() as usize);
        }
        self.calls += 1;
        let mut call = Call {
            id: self.calls,
            generation: self.generation,
            began: now,
            is_probe: false,
            counted: None,
            done: false,
        };
        match &mut self.phase {
            Phase::Closed { .. } | Phase::Disabled => Some(call),
            Phase::HalfOpen(probes) if probes.len() < self.probing.0 => {
                probes.push(Probe {
                    call: call.id,
                    until: now + self.settings.probe_limit(),
                    is: Is::Out,
                });
                call.is_probe = true;
                Some(call)
            }
            _ => None,
        }
    }

    fn is_slow(&self, call: &Call, now: Duration) -> bool {
        let limit = self.settings.slow_call.map(Duration::from_millis);
        limit.is_some_and(|limit| now - call.began >= limit)
    }

    /// The head of its response has come.
    pub fn head(&mut self, call: &mut Call, evidence: Evidence, now: Duration) {
        if call.generation != self.generation || call.counted.is_some() || call.done {
            return;
        }
        let slow = self.is_slow(call, now);
        match (&self.phase, evidence) {
            (Phase::Closed { .. }, Evidence::Healthy) => {
                call.counted = Some((now, slow, self.shape));
                self.count(call.id, false, slow, now);
            }
            (Phase::HalfOpen(_), _) => {
                let said = self.said(evidence, slow);
                if said == Some(true) {
                    call.counted = Some((now, slow, self.shape));
                } else {
                    call.done = true;
                    call.is_probe &= said.is_some();
                }
                self.probed(call.id, said, now);
            }
            _ => {}
        }
    }

    pub fn settle(&mut self, call: Call, outcome: Outcome, evidence: Evidence, now: Duration) {
        if call.generation != self.generation || call.done {
            return;
        }
        let slow = self.is_slow(&call, now);
        let evidence = match evidence {
            Evidence::Inconclusive
                if outcome == Outcome::Cancelled && slow && call.counted.is_none() =>
            {
                Evidence::Unhealthy
            }
            evidence => evidence,
        };
        let failed = evidence == Evidence::Unhealthy;
        match (&self.phase, call.counted) {
            (Phase::Closed { .. }, None) if evidence != Evidence::Inconclusive => {
                self.count(call.id, failed, slow, now);
            }
            (Phase::Closed { .. }, Some((at, slow, shape))) if failed => {
                self.take_back((shape == self.shape).then_some(at), slow, now);
                self.since.retain(|good| *good != call.id);
                self.failed(now);
            }
            (Phase::HalfOpen(_), None) => self.probed(call.id, self.said(evidence, slow), now),
            (Phase::HalfOpen(_), Some(_)) if failed => self.probed(call.id, Some(false), now),
            _ => {}
        }
    }

    /// The service could not become ready.
    pub fn unready(&mut self, now: Duration) {
        if self.expire(now) {
            return;
        }
        match &mut self.phase {
            Phase::Closed { .. } => self.count(0, true, false, now),
            Phase::HalfOpen(probes) if probes.len() < self.probing.0 => {
                probes.push(Probe {
                    call: 0,
                    until: now,
                    is: Is::Bad,
                });
                self.decide(now);
            }
            _ => {}
        }
    }

    fn said(&self, evidence: Evidence, slow: bool) -> Option<bool> {
        match evidence {
            Evidence::Healthy => Some(!(slow && self.settings.slow_rate.is_some())),
            Evidence::Unhealthy => Some(false),
            Evidence::Inconclusive => None,
        }
    }

    fn probed(&mut self, call: u64, said: Option<bool>, now: Duration) {
        // A success in hand counts, however late. What else is late comes too late.
        if said != Some(true) && self.expire(now) {
            return;
        }
        let Phase::HalfOpen(probes) = &mut self.phase else {
            return;
        };
        let at = probes.iter().position(|probe| probe.call == call);
        let at = at.expect("it has not been given back");
        match (probes[at].is, said) {
            (Is::Out, None) => drop(probes.remove(at)),
            (Is::Out | Is::Overdue, Some(true)) => probes[at].is = Is::Good,
            (Is::Out | Is::Good, Some(false)) => probes[at].is = Is::Bad,
            _ => {}
        }
        if !self.decide(now) {
            self.expire(now);
        }
    }

    fn count(&mut self, call: u64, failed: bool, slow: bool, now: Duration) {
        self.seen.push(Seen {
            bucket: self.bucket(now),
            failed,
            slow,
        });
        if failed {
            return self.failed(now);
        }
        self.since.push(call);
        if slow && self.has_to_open(now) {
            self.trip(now);
        }
    }

    fn failed(&mut self, now: Duration) {
        self.row = self.in_a_row() + 1;
        self.since.clear();
        if self.has_to_open(now) {
            self.trip(now);
        }
    }

    /// A good head has turned out to be the beginning of a failure.
    fn take_back(&mut self, at: Option<Duration>, slow: bool, now: Duration) {
        let mut failure = Seen {
            bucket: self.bucket(now),
            failed: true,
            slow,
        };
        let Some(at) = at.or(self.settings.count_window.map(|_| now)) else {
            return self.take_latest_back(failure, now);
        };
        let at = self.bucket(at);
        let oldest = self.seen.len() - self.window(now).len();
        let found = self.seen.iter().rposition(|seen| {
            let its = seen.bucket == at && seen.slow == slow;
            !seen.failed && (its || self.settings.count_window.is_some())
        });
        match (
            found.filter(|found| *found >= oldest),
            self.settings.count_window,
        ) {
            (Some(found), Some(_)) => {
                failure.slow = self.seen[found].slow;
                self.seen[found] = failure;
            }
            (Some(found), None) => {
                self.seen.remove(found);
                self.seen.push(failure);
            }
            (None, _) => self.seen.push(failure),
        }
    }

    /// The same where nobody knows any more which bucket it was counted in.
    fn take_latest_back(&mut self, failure: Seen, now: Duration) {
        let expired = self.seen.len() - self.window(now).len();
        let good = self
            .seen
            .iter_mut()
            .skip(expired)
            .filter(|seen| !seen.failed);
        match good.max_by_key(|seen| seen.bucket) {
            Some(good) => good.failed = true,
            None => self.seen.push(failure),
        }
    }

    /// Takes the calls over that the window has.
    pub fn apply(&mut self, settings: Settings, now: Duration) {
        let before = self.settings;
        let mut seen = self.window(now);
        self.settings = settings;
        if settings.shape() == before.shape() {
            return;
        }
        self.shape += 1;
        match (before.count_window, settings.count_window) {
            (None, None) => {
                for call in &mut seen {
                    let end = before.bucket() * (call.bucket as u32 + 1) - Duration::from_nanos(1);
                    call.bucket = self.bucket(end.min(now));
                }
            }
            (None, Some(_)) => seen = spread(&seen),
            (Some(_), _) => seen
                .iter_mut()
                .for_each(|call| call.bucket = self.bucket(now)),
        }
        self.seen = seen;
    }

    fn bucket(&self, now: Duration) -> u128 {
        now.as_nanos() / self.settings.bucket().as_nanos()
    }

    fn has_to_open(&self, now: Duration) -> bool {
        let s = &self.settings;
        let window = self.window(now);
        let failures = window.iter().filter(|seen| seen.failed).count();
        let slow = window.iter().filter(|seen| seen.slow).count();
        let reached = |ratio: Option<Ratio>, part| {
            window.len() >= s.min_calls
                && ratio.is_some_and(|ratio| ratio.reached(part, window.len()))
        };
        s.in_a_row.is_some_and(|limit| self.in_a_row() >= limit)
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

    pub fn by_hand(&mut self, position: SwitchMode, now: Duration) {
        self.by_hand = position;
        if position != SwitchMode::Normal {
            return self.obey(now);
        }
        self.level = 0;
        if self.by_switch == SwitchMode::Normal {
            self.close(now);
        }
    }

    pub fn by_switch(&mut self, position: SwitchMode, now: Duration) {
        self.by_switch = position;
        self.obey(now);
    }

    fn obey(&mut self, now: Duration) {
        let told = match self.by_switch {
            SwitchMode::Normal => self.by_hand,
            thrown => thrown,
        };
        let held = matches!(self.phase, Phase::Forced | Phase::Disabled);
        match told {
            SwitchMode::ForcedOpen if self.phase != Phase::Forced => self.turn(Phase::Forced),
            SwitchMode::Disabled if self.phase != Phase::Disabled => self.turn(Phase::Disabled),
            SwitchMode::Normal if held => {
                self.level = 0;
                self.close(now);
            }
            _ => {}
        }
    }
}

/// The calls in the order of their buckets; those of a bucket in an order in which it fails, and is slow, evenly.
fn spread(seen: &[Seen]) -> Vec<Seen> {
    let mut all = Vec::new();
    let buckets: BTreeSet<_> = seen.iter().map(|call| call.bucket).collect();
    for bucket in buckets {
        let calls: Vec<_> = seen.iter().filter(|call| call.bucket == bucket).collect();
        let (mut failed, mut slow) = (0, 0);
        for number in 1..=calls.len() {
            // As many so far as its share of all.
            let due = |part: usize| part * number / calls.len();
            let failures = due(calls.iter().filter(|call| call.failed).count());
            let slows = due(calls.iter().filter(|call| call.slow).count());
            all.push(Seen {
                bucket,
                failed: failures > failed,
                slow: slows > slow,
            });
            (failed, slow) = (failures, slows);
        }
    }
    all
}
