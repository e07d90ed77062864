//! The breaker against a naive model: a list of outcomes, each with the bucket of time that it fell into.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use tower_keep::{
    CircuitBreaker, Guard, Outcome,
    breaker::{BreakerPermit, Position, State, Switch},
    call::{End, Moment},
    guard::Admit,
};

const BUCKET: u64 = 100;
const BUCKETS: u64 = 5;
const OPEN: u64 = 300;
const SLOW: u64 = 150;
const MIN_CALLS: usize = 4;
const IN_A_ROW: u32 = 6;
const PROBES: u32 = 3;

const POSITIONS: [Position; 3] = [Position::Normal, Position::ForcedOpen, Position::Disabled];

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// Settles one of the permits that are out.
    Settle(usize, Outcome),
    Advance(u64),
    ForceOpen,
    Disable,
    Reset,
    Switch(Position),
    OpenFor(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(&Outcome::ALL[..]);
    let likely = prop_oneof![
        3 => Just(Outcome::Success),
        3 => Just(Outcome::Failure),
        2 => outcome
    ];
    prop_oneof![
        10 => Just(Step::Admit),
        10 => (any::<usize>(), likely).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        4 => (1..400_u64).prop_map(Step::Advance),
        1 => (1..5_000_u64).prop_map(Step::Advance),
        1 => prop_oneof![Just(Step::ForceOpen), Just(Step::Disable), Just(Step::Reset)],
        1 => prop::sample::select(&POSITIONS[..]).prop_map(Step::Switch),
        1 => (1..500_u64).prop_map(Step::OpenFor),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Closed,
    Open(u64),
    Trying {
        until: u64,
        out: u32,
        good: u32,
        bad: u32,
    },
    Forced,
    Disabled,
}

/// Outcomes as they came: bucket, failed, slow.
struct Model {
    count_window: Option<usize>,
    phase: Phase,
    generation: u32,
    seen: Vec<(u64, bool, bool)>,
    row: u32,
    /// What it was told by hand, and by the switch, which comes first.
    by_hand: Position,
    by_switch: Position,
}

impl Model {
    fn obey(&mut self) {
        let told = match self.by_switch {
            Position::Normal => self.by_hand,
            thrown => thrown,
        };
        let held = matches!(self.phase, Phase::Forced | Phase::Disabled);
        let phase = match told {
            Position::ForcedOpen => Phase::Forced,
            Position::Disabled => Phase::Disabled,
            _ if held => Phase::Closed,
            _ => return,
        };
        if self.phase != phase {
            self.turn(phase);
        }
    }

    fn window(&self, now: u64) -> Vec<(u64, bool, bool)> {
        match self.count_window {
            Some(limit) => self.seen[self.seen.len().saturating_sub(limit)..].to_vec(),
            None => {
                let current = |seen: &&(u64, bool, bool)| seen.0 + BUCKETS > now / BUCKET;
                self.seen.iter().filter(current).copied().collect()
            }
        }
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        if phase == Phase::Closed {
            self.seen.clear();
            self.row = 0;
        }
    }

    fn expire(&mut self, now: u64) {
        let Phase::Trying {
            until,
            out,
            good,
            bad,
        } = self.phase
        else {
            return;
        };
        if now >= until {
            match out + good + bad {
                0 => {
                    self.phase = Phase::Trying {
                        until: now + OPEN,
                        out,
                        good,
                        bad,
                    }
                }
                all if good * 2 >= all => self.turn(Phase::Closed),
                _ => self.turn(Phase::Open(now + OPEN)),
            }
        }
    }

    fn admit(&mut self, now: u64) -> bool {
        self.expire(now);
        if matches!(self.phase, Phase::Open(until) if now >= until) {
            self.turn(Phase::Trying {
                until: now + OPEN,
                out: 0,
                good: 0,
                bad: 0,
            });
        }
        match &mut self.phase {
            Phase::Closed | Phase::Disabled => true,
            Phase::Open(_) | Phase::Forced => false,
            Phase::Trying { out, good, bad, .. } => {
                let free = *out + *good + *bad < PROBES;
                *out += u32::from(free);
                free
            }
        }
    }

    fn settle(&mut self, generation: u32, outcome: Outcome, took: u64, now: u64) {
        if generation != self.generation {
            return;
        }
        let slow = took >= SLOW;
        let failed = match outcome {
            Outcome::Ignored | Outcome::Rejected => None,
            Outcome::Cancelled => slow.then_some(true),
            outcome => Some(outcome != Outcome::Success),
        };
        self.expire(now);
        if generation != self.generation {
            return;
        }
        match &mut self.phase {
            Phase::Closed => {
                let Some(failed) = failed else { return };
                self.seen.push((now / BUCKET, failed, slow));
                self.row = if failed { self.row + 1 } else { 0 };
                let window = self.window(now);
                let all = window.len();
                let bad = window.iter().filter(|seen| seen.1).count();
                let late = window.iter().filter(|seen| seen.2).count();
                let rates = all >= MIN_CALLS && (bad * 2 >= all || late * 10 >= all * 9);
                if self.row >= IN_A_ROW || ((failed || slow) && rates) {
                    self.turn(Phase::Open(now + OPEN));
                }
            }
            Phase::Trying { out, good, bad, .. } => {
                *out -= 1;
                match failed {
                    None => {}
                    Some(failed) if failed || slow => *bad += 1,
                    Some(_) => *good += 1,
                }
                match (*good, *bad) {
                    (2.., _) => self.turn(Phase::Closed),
                    (_, 2..) => self.turn(Phase::Open(now + OPEN)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open(_) => State::Open,
            Phase::Trying { .. } => State::HalfOpen,
            Phase::Forced => State::ForcedOpen,
            Phase::Disabled => State::Disabled,
        }
    }
}

/// A call on its way, in both worlds.
struct Out {
    permit: BreakerPermit,
    generation: u32,
    began: u64,
}

struct Pair {
    breaker: CircuitBreaker,
    switch: Switch,
    model: Model,
    start: Instant,
    now: u64,
    out: Vec<Out>,
}

impl Pair {
    fn new(count_window: Option<usize>) -> Pair {
        let switch = Switch::new();
        let builder = CircuitBreaker::builder("model").switch(&switch);
        let builder = match count_window {
            Some(calls) => builder.count_window(calls),
            None => builder.time_window(Duration::from_millis(BUCKET * BUCKETS), BUCKETS as usize),
        };
        let breaker = builder
            .minimum_calls(MIN_CALLS as u32)
            .consecutive_failures(IN_A_ROW)
            .slow_call(Duration::from_millis(SLOW))
            .slow_rate(0.9)
            .open_time(Duration::from_millis(OPEN))
            .open_growth(1.0)
            .open_jitter(0.0)
            .build()
            .expect("sound settings");
        let model = Model {
            count_window,
            phase: Phase::Closed,
            generation: 0,
            seen: Vec::new(),
            row: 0,
            by_hand: Position::Normal,
            by_switch: Position::Normal,
        };
        Pair {
            breaker,
            switch,
            model,
            start: Instant::now(),
            now: 0,
            out: Vec::new(),
        }
    }

    fn moment(&self, at: u64) -> Moment {
        Moment::at(self.start + Duration::from_millis(at))
    }

    fn admit(&mut self) -> bool {
        let passes = self.model.admit(self.now);
        let result = self.breaker.admit(&mut (), &self.moment(self.now));
        assert_eq!(result.is_ok(), passes);
        if let Ok(permit) = result {
            let (generation, began) = (self.model.generation, self.now);
            self.out.push(Out {
                permit,
                generation,
                began,
            });
        }
        passes
    }

    fn settle(&mut self, which: usize, outcome: Outcome) {
        if self.out.is_empty() {
            return;
        }
        let out = self.out.swap_remove(which % self.out.len());
        self.model
            .settle(out.generation, outcome, self.now - out.began, self.now);
        let (now, began) = (self.moment(self.now), self.moment(out.began).now());
        self.breaker
            .settle(out.permit, &End::new(outcome, &now).with_began(began));
    }

    async fn advance(&mut self, by: u64) {
        tokio::time::advance(Duration::from_millis(by)).await;
        self.now += by;
    }

    async fn run(&mut self, step: Step) {
        let forced = matches!(self.model.phase, Phase::Forced | Phase::Disabled);
        match step {
            Step::Admit => drop(self.admit()),
            Step::Settle(which, outcome) => self.settle(which, outcome),
            Step::Advance(by) => self.advance(by).await,
            Step::ForceOpen => {
                self.breaker.force_open();
                self.model.by_hand = Position::ForcedOpen;
                self.model.obey();
            }
            Step::Disable => {
                self.breaker.disable();
                self.model.by_hand = Position::Disabled;
                self.model.obey();
            }
            Step::Reset => {
                self.breaker.reset();
                self.model.by_hand = Position::Normal;
                if self.model.by_switch == Position::Normal {
                    self.model.turn(Phase::Closed);
                }
            }
            Step::Switch(position) => {
                self.switch.turn(position);
                self.model.by_switch = position;
                self.model.obey();
            }
            Step::OpenFor(time) => {
                self.breaker.open_for(Duration::from_millis(time));
                match &mut self.model.phase {
                    Phase::Open(until) => *until = (*until).max(self.now + time),
                    _ if forced => {}
                    _ => self.model.turn(Phase::Open(self.now + time)),
                }
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.breaker.state(), self.model.state());
        if self.model.phase == Phase::Closed {
            let (counts, window) = (self.breaker.counts(), self.model.window(self.now));
            assert_eq!(counts.calls as usize, window.len());
            assert_eq!(
                counts.failures as usize,
                window.iter().filter(|seen| seen.1).count()
            );
            assert_eq!(
                counts.slow as usize,
                window.iter().filter(|seen| seen.2).count()
            );
            assert_eq!(self.breaker.consecutive_failures(), self.model.row);
        }
        if let Phase::Trying { out, .. } = self.model.phase {
            assert_eq!(self.breaker.probes_in_flight(), out);
            assert!(out <= PROBES);
        }
    }
}

fn paused(run: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(run);
}

proptest! {
    #[test]
    fn it_does_what_a_list_of_outcomes_says(
        count_window in prop::option::of(4..12_usize),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        paused(async {
            let mut pair = Pair::new(count_window);
            for step in steps {
                pair.run(step).await;
                pair.check();
            }
        });
    }

    #[test]
    fn from_any_state_it_closes_if_calls_succeed_and_time_passes(
        steps in prop::collection::vec(step(), 1..80),
        pace in 1..2_000_u64,
    ) {
        paused(async {
            let mut pair = Pair::new(None);
            for step in steps {
                pair.run(step).await;
            }
            if matches!(pair.breaker.state(), State::ForcedOpen | State::Disabled) {
                pair.run(Step::Switch(Position::Normal)).await;
                pair.run(Step::Reset).await;
            }
            // Whatever is still out stays out: a hung call must not hold it up for ever.
            pair.out.clear();
            for _ in 0..(2_000 / pace + 8) {
                pair.advance(pace).await;
                if pair.admit() {
                    pair.settle(0, Outcome::Success);
                }
                pair.check();
            }
            assert_eq!(pair.breaker.state(), State::Closed);
        });
    }
}
