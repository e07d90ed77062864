//! Plays every order of a few threads that the memory model allows, with up to three preemptions: `.ci/models`.
//! LOOM_MAX_PREEMPTIONS asks for more.

mod by_name;
mod counting;
mod heads;
mod keyed;
mod probes;
mod settings;
mod transitions;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loom::thread::{self, JoinHandle};
use tokio::{sync::broadcast, time::Instant};

use super::{
    CircuitBreaker, CircuitBreakerBuilder, locked::Locked, permit::BreakerPermit, report::Reporter,
    shared::BreakerShared, state::CircuitState, state_machine::StateMachine,
    transition::Transition,
};
use crate::{
    call::{CallClock, CallEnd, Evidence, Outcome},
    guard::Head,
    protocol::WireFormat,
    util::sync::MutexGuard,
};

const OPEN_TIME: u64 = 1_000;
/// The width of a bucket, in milliseconds: so wide that a slow start of the model moves nothing to the next.
const BUCKET: u64 = 1_000_000;

/// Three preemptions find nearly every fault there is, in seconds instead of hours.
///
/// One model at a time: breakers of one name share their counts, and a model must not see those of another.
fn model(test: impl Fn() + Sync + Send + 'static) {
    static SERIAL: Mutex<()> = Mutex::new(());
    let _serial = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

fn settings() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("model")
        .time_window(Duration::from_millis(10 * BUCKET), 10)
        .failure_rate(None)
        .open_time(Duration::from_millis(OPEN_TIME))
        .open_jitter(0.0)
        .probe_timeout(Duration::from_millis(OPEN_TIME))
        .seed(1)
}

#[derive(Clone)]
struct TestBreaker {
    shared: Arc<BreakerShared>,
    /// Only read once all threads have ended, so that its lock need not be the checker's.
    transitions: Arc<Mutex<broadcast::Receiver<Transition>>>,
    start: Instant,
}

impl TestBreaker {
    fn new(settings: CircuitBreakerBuilder) -> TestBreaker {
        let now = Instant::now();
        let config = settings.validated().expect("valid settings");
        let reporter = Reporter::new(&settings.name);
        let transitions = reporter.subscribe();
        let shared = BreakerShared::new(settings, config, reporter);
        // The middle of a bucket, so that it does not matter when exactly the ring began.
        let start = now + Duration::from_millis(BUCKET / 2);
        TestBreaker {
            shared,
            transitions: Arc::new(Mutex::new(transitions)),
            start,
        }
    }

    fn machine(&self) -> MachineGuard<'_> {
        MachineGuard(self.shared.core.lock())
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn admit(&self, millis: u64) -> Option<BreakerPermit> {
        self.shared.admit(&CallClock::at(self.at(millis))).ok()
    }

    fn head(&self, permit: &mut BreakerPermit, evidence: Evidence, millis: u64) {
        let head = Head {
            wire: WireFormat::Plain,
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: &mut http::HeaderMap::new(),
            extensions: &mut http::Extensions::new(),
            outcome: Outcome::Success,
            evidence,
            clock: &CallClock::at(self.at(millis)),
            admitted_at: None,
        };
        self.shared.on_head(permit, &head);
    }

    fn complete(&self, permit: BreakerPermit, outcome: Outcome, millis: u64) {
        let clock = CallClock::at(self.at(millis));
        self.shared
            .complete(permit, &CallEnd::new(outcome, &clock), None);
    }

    /// Makes a call that is admitted for certain. Returns its generation.
    fn call(&self, outcome: Outcome, millis: u64) -> u64 {
        let permit = self.admit(millis).expect("closed");
        let generation = permit.generation;
        self.complete(permit, outcome, millis);
        generation
    }

    fn update(&self, step: impl FnOnce(&mut StateMachine, Instant) -> Option<Transition>) {
        let now = self.at(0);
        self.shared.core.update(|machine| step(machine, now));
    }

    fn spawn(&self, work: impl FnOnce(TestBreaker) + 'static) -> JoinHandle<()> {
        let breaker = self.clone();
        thread::spawn(move || work(breaker))
    }

    /// Returns what a closed circuit has counted in this bucket of time and the nine that follow.
    fn calls_since(&self, bucket: u64) -> u64 {
        let last = self.at((bucket + 9) * BUCKET);
        self.machine().counts(last).calls
    }

    /// Checks that the packed state is that behind the lock, and that each transition was reported once, in order.
    fn check(&self) {
        let packed = self.shared.core.fast_path.load();
        let locked = self.shared.core.lock();
        let machine = &locked.machine;
        assert_eq!(packed, (machine.generation(), machine.state()));
        let mut transitions = self.transitions.lock().expect("no thread panicked");
        let mut state = CircuitState::Closed;
        for number in 1..=machine.transitions() {
            let transition = transitions.try_recv().expect("reported");
            assert_eq!((transition.number, transition.from), (number, state));
            state = transition.to;
        }
        assert!(transitions.try_recv().is_err());
        assert_eq!(machine.state(), state);
    }
}

/// The lock of a breaker, as its state machine.
struct MachineGuard<'a>(MutexGuard<'a, Locked>);

impl std::ops::Deref for MachineGuard<'_> {
    type Target = StateMachine;

    fn deref(&self) -> &StateMachine {
        &self.0.machine
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}
