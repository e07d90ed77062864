//! A breaker for each key: bounded, evicting, counted as one.

mod calls;
mod eviction;
mod model;
mod readiness;
mod reports;

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{CircuitState, KeyedBreaker},
};

fn keyed(name: &'static str, max_keys: usize) -> KeyedBreaker<String> {
    let template = CircuitBreaker::builder(name)
        .consecutive_failures(1)
        .open_jitter(0.0)
        .probes(1);
    let builder = KeyedBreaker::builder(template).max_keys(max_keys);
    builder.build().expect("sound")
}

fn fail(keyed: &KeyedBreaker<String>, key: &str) {
    let permit = keyed.get(key).try_acquire().expect("closed");
    permit.complete(Outcome::Failure);
}

fn keys(keyed: &KeyedBreaker<String>) -> Vec<String> {
    let mut keys: Vec<_> = keyed.states().into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

fn census(keyed: &KeyedBreaker<String>) -> [u64; 5] {
    CircuitState::ALL.map(|state| keyed.keys_in(state))
}
