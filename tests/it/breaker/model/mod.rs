//! The breaker against a naive model: a list of calls, each with the bucket of time that it counts in.

mod parts;
mod reference;
mod regressions;
mod settings;

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use tower_keep::{
    CircuitBreaker, Guard, Outcome,
    breaker::{CircuitState, Switch, SwitchMode},
    call::{CallClock, CallEnd, Evidence},
    guard::{Admit, Head},
    protocol::WireFormat,
};

use parts::{Call, Phase};
use reference::Model;
use settings::{Ratio, Settings};

/// The longest that a peer tells it to stay open.
const TOLD: u64 = 500;

const POSITIONS: [SwitchMode; 3] = [
    SwitchMode::Normal,
    SwitchMode::ForcedOpen,
    SwitchMode::Disabled,
];

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// Shows the head of a response to one of the calls that are out.
    Head(usize, Evidence),
    /// Settles one of them; the evidence follows from the outcome unless it is given.
    Settle(usize, Outcome, Option<Evidence>),
    /// Loses one: `mem::forget`, or a call that hangs for ever.
    Lose(usize),
    Unready,
    Advance(u64),
    /// Forced open, disabled or reset.
    ByHand(SwitchMode),
    Switch(SwitchMode),
    OpenFor(u64),
    Shadow(bool),
    Apply(Settings),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop::sample::select(&Outcome::ALL[..]);
    let likely = prop_oneof![
        3 => Just(Outcome::Success),
        3 => Just(Outcome::Failure),
        2 => outcome
    ];
    let evidence = || prop::sample::select(&Evidence::ALL[..]);
    let healthy = prop_oneof![2 => Just(Evidence::Healthy), 1 => evidence()];
    let given = prop::option::weighted(0.3, evidence());
    let position = || prop::sample::select(&POSITIONS[..]);
    prop_oneof![
        20 => Just(Step::Admit),
        12 => (any::<usize>(), healthy).prop_map(|(which, evidence)| Step::Head(which, evidence)),
        20 => (any::<usize>(), likely, given)
            .prop_map(|(which, outcome, evidence)| Step::Settle(which, outcome, evidence)),
        1 => any::<usize>().prop_map(Step::Lose),
        2 => Just(Step::Unready),
        8 => (1..400_u64).prop_map(Step::Advance),
        2 => (1..5_000_u64).prop_map(Step::Advance),
        1 => position().prop_map(Step::ByHand),
        1 => position().prop_map(Step::Switch),
        2 => (1..TOLD).prop_map(Step::OpenFor),
        1 => any::<bool>().prop_map(Step::Shadow),
    ]
}

fn step_or_settings() -> impl Strategy<Value = Step> {
    prop_oneof![12 => step(), 1 => settings().prop_map(Step::Apply)]
}

fn ratio() -> impl Strategy<Value = Ratio> {
    prop_oneof![
        Just(Ratio(1, 1)),
        (1..10_u32).prop_map(|part| Ratio(part, 10))
    ]
}

prop_compose! {
    fn limits()(
        count_window in prop::option::of(4..12_usize),
        min_calls in 1..=4_usize,
        failure_rate in prop::option::of(ratio()),
        in_a_row in prop::option::of(1..7_u32),
        slow_call in prop::option::of(50..300_u64),
        slow_rate in prop::option::of(ratio()),
    ) -> Settings {
        Settings {
            bucket: 100,
            buckets: 5,
            count_window,
            min_calls,
            failure_rate,
            in_a_row,
            slow_call,
            // Means nothing without the other.
            slow_rate: slow_rate.filter(|_| slow_call.is_some()),
            open: 1,
            growth: 1,
            most_open: 1,
            jitter: 0.0,
            probes: 1,
            probe_ratio: Ratio(1, 1),
            probe_limit: None,
            seed: 0,
        }
    }
}

prop_compose! {
    fn settings()(
        limits in limits(),
        open in 50..500_u64,
        longer in 0..2_000_u64,
        growth in 1..4_u32,
        jitter in prop_oneof![Just(0.0), 0.0..=1.0],
        probes in 1..6_u32,
        probe_ratio in ratio(),
        probe_limit in prop::option::weighted(0.95, 20..600_u64),
        (bucket, buckets) in prop_oneof![3 => Just((100, 5)), 2 => (20..300_u64, 1..12_usize)],
        seed: u64,
    ) -> Settings {
        let most_open = open + longer;
        Settings {
            bucket, buckets, open, growth, most_open, jitter, probes, probe_ratio, probe_limit, seed, ..limits
        }
    }
}

/// A call on its way, in both worlds.
struct Out {
    permit: <CircuitBreaker as Guard>::Permit,
    /// None for one that a shadow let pass.
    call: Option<Call>,
    began: Duration,
}

struct Pair {
    breaker: CircuitBreaker,
    switch: Switch,
    model: Model,
    start: Instant,
    now: Duration,
    out: Vec<Out>,
}

impl Pair {
    fn new(settings: Settings) -> Pair {
        let switch = Switch::new();
        let builder = settings.builder().switch(&switch);
        Pair {
            breaker: builder.build().expect("sound settings"),
            switch,
            model: Model::new(settings),
            start: Instant::now(),
            now: Duration::ZERO,
            out: Vec::new(),
        }
    }

    fn moment(&self, at: Duration) -> CallClock {
        CallClock::at(self.start + at)
    }

    /// Returns whether calls that are rejected are rejected in earnest.
    fn rejects(&self) -> bool {
        !self.breaker.is_shadow() || self.model.state() == CircuitState::ForcedOpen
    }

    fn admit(&mut self) -> bool {
        let call = self.model.admit(self.now);
        let result = self.breaker.admit(&mut (), &self.moment(self.now));
        assert_eq!(result.is_ok(), call.is_some() || !self.rejects());
        if let Ok(permit) = result {
            self.out.push(Out {
                permit,
                call,
                began: self.now,
            });
        }
        call.is_some()
    }

    fn take(&mut self, which: usize) -> Option<Out> {
        let left = self.out.len();
        (left > 0).then(|| self.out.swap_remove(which % left))
    }

    fn head(&mut self, which: usize, evidence: Evidence) {
        let Some(mut out) = self.take(which) else {
            return;
        };
        if let Some(call) = &mut out.call {
            self.model.head(call, evidence, self.now);
        }
        let (now, began) = (self.moment(self.now), self.moment(out.began).now());
        let mut head = Head {
            wire: WireFormat::Plain,
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: &mut http::HeaderMap::new(),
            extensions: &mut http::Extensions::new(),
            outcome: Outcome::Success,
            evidence,
            clock: &now,
            admitted_at: Some(began),
        };
        self.breaker.on_head(&mut out.permit, &mut head);
        self.out.push(out);
    }

    fn settle(&mut self, which: usize, outcome: Outcome, evidence: Option<Evidence>) {
        let Some(out) = self.take(which) else { return };
        let (now, began) = (self.moment(self.now), self.moment(out.began).now());
        let mut end = CallEnd::new(outcome, &now).with_admitted_at(began);
        if let Some(evidence) = evidence {
            end = end.with_evidence(evidence);
        }
        if let Some(call) = out.call {
            self.model.settle(call, outcome, end.evidence(), self.now);
        }
        self.breaker.on_end(out.permit, &end);
    }

    async fn advance(&mut self, by: Duration) {
        tokio::time::advance(by).await;
        self.now += by;
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Admit => drop(self.admit()),
            Step::Head(which, evidence) => self.head(which, evidence),
            Step::Settle(which, outcome, evidence) => self.settle(which, outcome, evidence),
            Step::Lose(which) => drop(self.take(which)),
            Step::Unready => {
                Guard::on_not_ready(&self.breaker);
                self.model.unready(self.now);
            }
            Step::Advance(by) => self.advance(Duration::from_millis(by)).await,
            Step::ByHand(position) => {
                match position {
                    SwitchMode::ForcedOpen => self.breaker.force_open(),
                    SwitchMode::Disabled => self.breaker.disable(),
                    _ => self.breaker.reset(),
                }
                self.model.by_hand(position, self.now);
            }
            Step::Switch(position) => {
                self.switch.set_mode(position);
                self.model.by_switch(position, self.now);
            }
            Step::OpenFor(time) => {
                let time = Duration::from_millis(time);
                self.breaker.open_for(time);
                self.model.open_for(time, self.now);
            }
            Step::Shadow(on) => self.breaker.set_shadow(on),
            Step::Apply(settings) => {
                let values = settings.values();
                self.breaker.apply(&values).expect("sound settings");
                assert_eq!(self.breaker.settings(), values);
                self.model.apply(settings, self.now);
            }
        }
    }

    fn check(&mut self) {
        self.model.expire(self.now);
        assert_eq!(self.breaker.state(), self.model.state());
        let rejects = self.model.clone().admit(self.now).is_none() && self.rejects();
        assert_eq!(self.breaker.is_rejecting(), rejects);
        match &self.model.phase {
            Phase::Closed { .. } => {
                let (counts, window) = (self.breaker.counts(), self.model.window(self.now));
                let failures = window.iter().filter(|seen| seen.failed).count();
                let slow = window.iter().filter(|seen| seen.slow).count();
                let expected = [window.len(), failures, slow].map(|count| count as u64);
                assert_eq!([counts.calls, counts.failures, counts.slow], expected);
                assert_eq!(self.breaker.consecutive_failures(), self.model.in_a_row());
            }
            Phase::HalfOpen(_) => {
                let in_flight = self.model.probes_in_flight();
                assert_eq!(self.breaker.probes_in_flight() as usize, in_flight);
                // Those that are overdue are still on their way.
                let generation = self.model.generation;
                let calls = self.out.iter().filter_map(|out| out.call);
                let probes = calls.filter(|call| call.is_probe && call.generation == generation);
                assert!(probes.count() <= self.model.probing.0);
            }
            _ => {}
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

/// After each step, both worlds are the same.
fn agrees(settings: Settings, steps: Vec<Step>) {
    paused(async {
        let mut pair = Pair::new(settings);
        for step in steps {
            pair.run(step).await;
            pair.check();
        }
    });
}

/// Within: what a peer told, the limit of probes that are lost, the longest open time with its jitter, and as many
/// calls as there must be good probes, with one for each phase to notice that it is over. Good heads are enough: no
/// body ever ends.
fn closes(settings: Settings, steps: Vec<Step>, pace: u64) {
    paused(async {
        let mut pair = Pair::new(settings);
        for step in steps {
            pair.run(step).await;
        }
        pair.check();
        if matches!(
            pair.model.state(),
            CircuitState::ForcedOpen | CircuitState::Disabled
        ) {
            pair.run(Step::Switch(SwitchMode::Normal)).await;
            pair.run(Step::ByHand(SwitchMode::Normal)).await;
        }
        // Whatever is still out stays out: a hung call must not hold it up for ever.
        pair.out.clear();
        let longest_open = settings.most_open as f64 * (1.0 + settings.jitter);
        let bound = TOLD + settings.probe_limit().as_millis() as u64 + longest_open as u64;
        for _ in 0..bound / pace + u64::from(settings.needed()) + 4 {
            pair.advance(Duration::from_millis(pace)).await;
            if pair.admit() {
                pair.head(0, Evidence::Healthy);
            }
            pair.out.clear();
            pair.check();
        }
        assert_eq!(pair.breaker.state(), CircuitState::Closed);
    });
}

proptest! {
    /// The model at all times is what a breaker would be that was built with the settings of the time.
    #[test]
    fn breaker_matches_reference_model_while_settings_are_applied(
        settings in settings(),
        steps in prop::collection::vec(step_or_settings(), 1..200),
    ) {
        agrees(settings, steps);
    }

    #[test]
    fn breaker_matches_reference_model(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        agrees(settings, steps);
    }

    #[test]
    fn breaker_closes_from_any_state_on_success(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..120),
        pace in 1..2_000_u64,
    ) {
        closes(settings, steps, pace);
    }
}
