//! Every order of a few threads, with up to three preemptions, played by loom: `.ci/models`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use loom::thread::{self, JoinHandle};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use crate::{
    Outcome,
    breaker::{CircuitBreaker, CircuitState, KeyedBreaker},
};

/// Keeps the gauges. Its own locks are never held while another thread can run, so they need not be the checker's.
#[derive(Default)]
struct Gauges {
    by_state: Mutex<HashMap<String, Arc<AtomicU64>>>,
    broken: AtomicBool,
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if self.broken.swap(false, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("scripted"));
        }
        let state = key.labels().find(|label| label.key() == "state");
        let state = state.expect("a state").value().to_owned();
        let mut by_state = self.by_state.lock().expect("whole");
        Gauge::from_arc(by_state.entry(state).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Gauges {
    fn shown(&self, state: CircuitState) -> u64 {
        let by_state = self.by_state.lock().expect("whole");
        let gauge = by_state.get(state.as_str()).expect("shown");
        f64::from_bits(gauge.load(Ordering::Relaxed)) as u64
    }
}

/// All threads of a model are one to the system, so a local recorder is everybody's.
fn model(test: impl Fn(&Gauges) + Sync + Send + 'static) {
    super::model(move || {
        let gauges = Gauges::default();
        with_local_recorder(&gauges, || test(&gauges));
    });
}

fn keyed(max_keys: usize) -> KeyedBreaker<String> {
    // Sets of one name are counted together.
    static SETS: AtomicU64 = AtomicU64::new(0);
    let name = format!("model {}", SETS.fetch_add(1, Ordering::Relaxed));
    let template = CircuitBreaker::builder(name).consecutive_failures(1);
    let builder = KeyedBreaker::builder(template).max_keys(max_keys);
    builder.build().expect("valid settings")
}

fn fail(breaker: &CircuitBreaker) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.complete(Outcome::Failure);
    }
}

fn spawn<T: 'static>(
    keyed: &KeyedBreaker<String>,
    work: impl FnOnce(KeyedBreaker<String>) -> T + 'static,
) -> JoinHandle<T> {
    let keyed = keyed.clone();
    thread::spawn(move || work(keyed))
}

/// Each key that is kept is counted once, in its state, and shown so.
fn check(keyed: &KeyedBreaker<String>, gauges: &Gauges) {
    let states = keyed.states();
    assert_eq!(states.len(), keyed.len());
    for state in CircuitState::ALL {
        let keys = states.iter().filter(|kept| kept.1 == state).count() as u64;
        assert_eq!(keyed.keys_in(state), keys, "{state:?}");
        assert_eq!(gauges.shown(state), keys, "{state:?}");
    }
}

#[test]
fn key_that_threads_use_at_once_gets_one_breaker() {
    model(|gauges| {
        let keyed = keyed(2);
        let other = spawn(&keyed, |keyed| keyed.get("a"));
        let mine = keyed.get("a");
        let other = other.join().expect("no panic");
        assert!(Arc::ptr_eq(&mine.shared, &other.shared));
        assert_eq!(keyed.keys_in(CircuitState::Closed), 1);
        check(&keyed, gauges);
    });
}

#[test]
fn key_that_fails_while_another_thread_creates_it_is_counted_in_its_state() {
    model(|gauges| {
        let keyed = keyed(2);
        let fails = spawn(&keyed, |keyed| fail(&keyed.get("a")));
        let breaker = keyed.get("a");
        fails.join().expect("no panic");
        assert_eq!(breaker.state(), CircuitState::Open);
        assert_eq!(keyed.keys_in(CircuitState::Open), 1);
        check(&keyed, gauges);
    });
}

#[test]
fn evicted_keys_are_not_counted() {
    model(|gauges| {
        let keyed = keyed(1);
        let other = spawn(&keyed, |keyed| fail(&keyed.get("a")));
        keyed.get("b");
        other.join().expect("no panic");
        assert_eq!(keyed.len(), 1);
        check(&keyed, gauges);
    });
}

#[test]
fn key_that_fails_while_it_is_removed_is_not_counted() {
    model(|gauges| {
        let keyed = keyed(2);
        let breaker = keyed.get("a");
        let removes = spawn(&keyed, |keyed| keyed.remove("a").is_some());
        fail(&breaker);
        breaker.reset();
        assert!(removes.join().expect("no panic"));
        assert_eq!(CircuitState::ALL.map(|state| keyed.keys_in(state)), [0; 5]);
        check(&keyed, gauges);
    });
}

#[test]
fn key_that_fails_while_the_last_handle_is_dropped_is_not_counted() {
    model(|gauges| {
        let keyed = keyed(2);
        let breaker = keyed.get("a");
        let fails = thread::spawn(move || fail(&breaker));
        drop(keyed);
        fails.join().expect("no panic");
        assert_eq!(CircuitState::ALL.map(|state| gauges.shown(state)), [0; 5]);
    });
}

#[test]
fn recorder_that_panics_once_blocks_no_thread() {
    model(|gauges| {
        gauges.broken.store(true, Ordering::Relaxed);
        let keyed = keyed(2);
        gauges.broken.store(true, Ordering::Relaxed);
        let other = spawn(&keyed, |keyed| {
            keyed.get("a");
        });
        keyed.get("b");
        other.join().expect("no panic");
        check(&keyed, gauges);
    });
}

#[test]
fn subscriber_misses_no_transition_after_the_states_it_reads() {
    model(|_| {
        let keyed = keyed(1);
        keyed.get("a");
        let opens = spawn(&keyed, |keyed| fail(&keyed.get("a")));
        let mut events = keyed.subscribe();
        let seen = keyed.states();
        opens.join().expect("no panic");
        assert!(
            seen[0].1 == CircuitState::Open || events.try_recv().is_ok(),
            "missed"
        );
    });
}
