//! Every order of a few threads that the memory model allows, with up to three preemptions, played by loom:
//! `.ci/models`. LOOM_MAX_PREEMPTIONS asks for more.

mod counting;
mod heads;
mod probes;
mod transitions;

use std::{
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use loom::thread::{self, JoinHandle};
use tokio::time::Instant;

use super::*;
use crate::{
    breaker::core::Change,
    breaker::{CircuitBreaker, CircuitBreakerBuilder},
    call::{End, Evidence, Outcome},
    guard::Head,
    protocol::Wire,
};

const OPEN_TIME: u64 = 1_000;
/// The width of a bucket, in milliseconds: so wide that a slow start of the model moves nothing to the next.
const BUCKET: u64 = 1_000_000;

/// Three preemptions find nearly every fault there is, in seconds instead of hours.
fn model(world: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(world);
}

fn settings() -> CircuitBreakerBuilder {
    CircuitBreaker::builder("model")
        .time_window(Duration::from_millis(10 * BUCKET), 10)
        .failure_rate(None)
        .open_time(Duration::from_millis(OPEN_TIME))
        .open_jitter(0.0)
        .probe_limit(Duration::from_millis(OPEN_TIME))
        .seed(1)
}

#[derive(Clone)]
struct World {
    shared: Arc<Shared>,
    start: Instant,
}

impl World {
    fn new(settings: CircuitBreakerBuilder) -> World {
        let now = Instant::now();
        let shared = Shared::entered(settings.plan().expect("sound"), Teller::new());
        // The middle of a bucket, so that it does not matter when exactly the ring began.
        let start = now + Duration::from_millis(BUCKET / 2);
        World { shared, start }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn admit(&self, millis: u64) -> Option<BreakerPermit> {
        self.shared.admit(&Moment::at(self.at(millis))).ok()
    }

    fn head(&self, permit: &mut BreakerPermit, evidence: Evidence, millis: u64) {
        let mut head = Head {
            wire: Wire::Plain,
            status: http::StatusCode::OK,
            version: http::Version::HTTP_11,
            headers: &mut http::HeaderMap::new(),
            extensions: &mut http::Extensions::new(),
            outcome: Outcome::Success,
            evidence,
            now: &Moment::at(self.at(millis)),
            began: None,
        };
        self.shared.head(permit, &mut head);
    }

    fn settle(&self, permit: BreakerPermit, outcome: Outcome, millis: u64) {
        let now = Moment::at(self.at(millis));
        self.shared.settle(permit, &End::new(outcome, &now));
    }

    /// A call that is admitted for certain, and its generation.
    fn call(&self, outcome: Outcome, millis: u64) -> u64 {
        let permit = self.admit(millis).expect("closed");
        let generation = permit.0.generation;
        self.settle(permit, outcome, millis);
        generation
    }

    fn change(&self, step: impl FnOnce(&mut Core, Instant) -> Option<Change>) {
        let now = self.at(0);
        self.shared.change(|core| step(core, now));
    }

    fn spawn(&self, work: impl FnOnce(World) + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || work(world))
    }

    /// What a circuit that is closed has counted in this bucket of time and the nine that follow.
    fn calls_since(&self, bucket: u64) -> u64 {
        let last = self.at((bucket + 9) * BUCKET);
        self.shared.lock().core.counts(last).calls
    }

    /// What everybody sees is what the lock holds, and each transition was told once, in order.
    fn check(&self) {
        let gate = self.shared.gate.see();
        let locked = self.shared.lock();
        let (generation, state) = (locked.core.generation(), locked.core.state());
        assert_eq!((gate.generation(), gate.state()), (generation, state));
        let told = self.shared.teller.told.lock().expect("whole");
        let numbers: Vec<u64> = told.iter().map(|event| event.number).collect();
        let transitions = locked.core.transitions();
        assert_eq!(numbers, (1..=transitions).collect::<Vec<_>>());
        let mut present = State::Closed;
        for event in told.iter() {
            assert_eq!(event.from, present);
            present = event.to;
        }
        assert_eq!(present, state);
    }
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no panic");
    }
}
