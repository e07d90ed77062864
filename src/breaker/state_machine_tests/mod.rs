//! One test for each rule of the table in the module guide, at its exact edge.

mod heads;
mod open_time;
mod opening;
mod probes;
mod settings;
mod stalls;
mod switches;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    CircuitBreaker, CircuitBreakerBuilder,
    call_counts::CallCounts,
    call_sample::CallSample,
    permit::BreakerPermit,
    state::CircuitState,
    state_machine::StateMachine,
    switch::SwitchMode,
    transition::{Transition, TransitionReason},
};
use crate::{call::Label, guard::Rejects};
use CallSample::{Failure, SlowFailure, SlowSuccess, Success};

type Decision = Result<BreakerPermit, Option<Duration>>;

const OPEN: Duration = Duration::from_secs(5);
const MILLI: Duration = Duration::from_millis(1);

fn settings() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("machine").open_jitter(0.0).seed(7)
}

/// Opens at the first failure.
fn trips_at_first_failure() -> CircuitBreakerBuilder {
    settings().consecutive_failures(1).failure_rate(None)
}

/// A state machine, and a clock that stands still unless it is advanced.
struct Harness {
    machine: StateMachine,
    now: Instant,
}

impl Harness {
    fn new(builder: CircuitBreakerBuilder) -> Harness {
        Harness::with_switch_mode(builder, SwitchMode::Normal)
    }

    fn with_switch_mode(builder: CircuitBreakerBuilder, mode: SwitchMode) -> Harness {
        let config = builder.validated().expect("valid settings");
        let now = Instant::now();
        let labels = (Label::from("machine"), None);
        let machine = StateMachine::new(labels, config, builder.seed, mode, now);
        Harness { machine, now }
    }

    /// Trips at the first failure, and is brought into this state by the shortest way.
    fn in_state(state: CircuitState) -> Harness {
        let mut harness = Harness::new(trips_at_first_failure());
        match state {
            CircuitState::Closed => {}
            CircuitState::Open => drop(harness.call(Failure)),
            CircuitState::HalfOpen => {
                harness.call(Failure);
                harness.wait(OPEN);
                harness.admitted();
            }
            CircuitState::ForcedOpen => drop(harness.machine.force_open(harness.now)),
            CircuitState::Disabled => drop(harness.machine.disable(harness.now)),
        }
        assert_eq!(harness.machine.state(), state);
        harness
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&mut self) -> (Decision, Option<Transition>) {
        let expired = self.machine.expire(self.now);
        let rejects = self.machine.rejects(self.now);
        let (decision, transition) = self.machine.admit(self.now, false);
        assert_eq!(
            rejects.is_all(),
            !is_admitted(decision),
            "rejects matches admit"
        );
        (decision, expired.or(transition))
    }

    /// A call that is admitted.
    fn admitted(&mut self) -> BreakerPermit {
        match self.admit().0 {
            Ok(permit) => permit,
            answer => panic!("{answer:?}"),
        }
    }

    fn head(
        &mut self,
        permit: &mut BreakerPermit,
        sample: impl Into<Option<CallSample>>,
    ) -> Option<Transition> {
        self.machine.on_head(permit, sample.into(), self.now)
    }

    fn end(
        &mut self,
        permit: BreakerPermit,
        sample: impl Into<Option<CallSample>>,
    ) -> Option<Transition> {
        self.machine.on_end(&permit, sample.into(), self.now)
    }

    /// A call that is admitted and ends at once.
    fn call(&mut self, sample: CallSample) -> Option<Transition> {
        let permit = self.admitted();
        self.end(permit, sample)
    }

    /// A call that is admitted and whose head is a success.
    fn successful_head(&mut self) -> BreakerPermit {
        let mut permit = self.admitted();
        assert!(self.head(&mut permit, Success).is_none());
        permit
    }

    /// Calls that change nothing.
    fn calls(&mut self, times: usize, sample: CallSample) {
        for n in 0..times {
            assert!(self.call(sample).is_none(), "{sample:?} number {n}");
        }
    }

    /// The retry-after of a rejected call.
    fn rejected_for(&mut self) -> Duration {
        match self.admit().0 {
            Err(Some(wait)) => wait,
            answer => panic!("{answer:?}"),
        }
    }
}

fn is_admitted(answer: Decision) -> bool {
    answer.is_ok()
}

fn reason(change: Option<Transition>) -> Option<TransitionReason> {
    change.map(|change| change.reason)
}
