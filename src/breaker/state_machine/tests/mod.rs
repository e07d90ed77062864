//! One test for each rule of the module guide's table, at its exact edge.

mod heads;
mod open_time;
mod opening;
mod probes;
mod switches;

use super::*;
use crate::{
    breaker::settings::WindowKind,
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
};
use CallSample::{Failure, SlowFailure, SlowSuccess, Success};

const OPEN: Duration = Duration::from_secs(5);
const MILLI: Duration = Duration::from_millis(1);

fn settings() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("core").open_jitter(0.0).seed(7)
}

/// Opens at the first failure.
fn touchy() -> CircuitBreakerBuilder {
    settings().consecutive_failures(1).failure_rate(None)
}

/// A core and a clock that stands still unless it is told.
struct Rig {
    core: StateMachine,
    now: Instant,
}

impl Rig {
    fn new(settings: CircuitBreakerBuilder) -> Rig {
        let settings = settings.build_config().expect("sound settings").settings;
        let now = Instant::now();
        let ticks = match settings.window {
            WindowKind::Time(window, buckets) => BucketClock::new(now, window, buckets),
            _ => BucketClock::new(now, Duration::MAX, 1),
        };
        let core = StateMachine::new(settings, ticks, SwitchMode::Normal, now);
        Rig { core, now }
    }

    /// Touchy, and brought into this state by the shortest way.
    fn in_state(state: CircuitState) -> Rig {
        let mut rig = Rig::new(touchy());
        match state {
            CircuitState::Closed => {}
            CircuitState::Open => drop(rig.call(Failure)),
            CircuitState::HalfOpen => {
                rig.call(Failure);
                rig.wait(OPEN);
                rig.probe();
            }
            CircuitState::ForcedOpen => drop(rig.core.force_open(rig.now)),
            CircuitState::Disabled => drop(rig.core.disable(rig.now)),
        }
        assert_eq!(rig.core.state(), state);
        rig
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn admit(&mut self) -> (AdmissionDecision, Option<StateChange>) {
        let expired = self.core.expire(self.now);
        let foretold = self.core.rejects(self.now);
        let (answer, change) = self.core.admit(self.now, false);
        assert_eq!(
            foretold.is_all(),
            !passes(answer),
            "refuses tells the truth"
        );
        (answer, expired.or(change))
    }

    /// A call that passes.
    fn probe(&mut self) -> RawPermit {
        match self.admit().0 {
            AdmissionDecision::Admit(pass) => pass,
            answer => panic!("{answer:?}"),
        }
    }

    fn head(
        &mut self,
        pass: &mut RawPermit,
        sample: impl Into<Option<CallSample>>,
    ) -> Option<StateChange> {
        self.core.on_head(pass, sample.into(), self.now)
    }

    fn settle(
        &mut self,
        pass: RawPermit,
        sample: impl Into<Option<CallSample>>,
    ) -> Option<StateChange> {
        self.core.on_end(pass, sample.into(), self.now)
    }

    /// A call that passes and ends so at once.
    fn call(&mut self, sample: CallSample) -> Option<StateChange> {
        let pass = self.probe();
        self.settle(pass, sample)
    }

    /// A call that passes and whose head is good.
    fn good_head(&mut self) -> RawPermit {
        let mut pass = self.probe();
        assert!(self.head(&mut pass, Success).is_none());
        pass
    }

    /// Calls that change nothing.
    fn calls(&mut self, times: usize, sample: CallSample) {
        for n in 0..times {
            assert!(self.call(sample).is_none(), "{sample:?} number {n}");
        }
    }

    /// Open for how long, from the refusal that a caller gets.
    fn refused_for(&mut self) -> Duration {
        match self.admit().0 {
            AdmissionDecision::Reject(Some(wait)) => wait,
            answer => panic!("{answer:?}"),
        }
    }
}

fn passes(answer: AdmissionDecision) -> bool {
    matches!(answer, AdmissionDecision::Admit(_))
}

fn reason(change: Option<StateChange>) -> Option<TransitionReason> {
    change.map(|change| change.reason)
}
