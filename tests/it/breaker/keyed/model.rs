//! The stats of a set against a list of its keys.

use proptest::prelude::*;
use tower_keep::{CircuitBreaker, Outcome, breaker::CircuitState, registry::Stat};

use super::{census, keyed};
use crate::support::listing::listing;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Keeps a handle.
    Get(u8),
    Call(u8, Outcome),
    Forced(u8, bool),
    Remove(u8),
    /// Uses one of the handles that are kept, whatever has become of its key.
    Late(usize, Outcome),
    ResetAll,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..6_u8;
    let outcome = || prop::sample::select(&[Outcome::Success, Outcome::Failure][..]);
    prop_oneof![
        2 => key().prop_map(Step::Get),
        5 => (key(), outcome()).prop_map(|(key, outcome)| Step::Call(key, outcome)),
        2 => (key(), any::<bool>()).prop_map(|(key, open)| Step::Forced(key, open)),
        1 => key().prop_map(Step::Remove),
        3 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Late(which, outcome)),
        1 => Just(Step::ResetAll),
    ]
}

fn settle(breaker: &CircuitBreaker, outcome: Outcome) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.complete(outcome);
    }
}

proptest! {
    #[test]
    fn keyed_counts_match_a_model(
        most in 1..5_usize, steps in prop::collection::vec(step(), 1..60),
    ) {
        let hosts = keyed("listed keys", most);
        let (mut handles, mut made, mut removed) = (Vec::new(), 0, 0);
        for step in steps {
            let get = |key: u8, made: &mut u64| {
                let key = key.to_string();
                *made += u64::from(hosts.peek(&key).is_none());
                hosts.get(&key)
            };
            match step {
                Step::Get(key) => handles.push(get(key, &mut made)),
                Step::Call(key, outcome) => settle(&get(key, &mut made), outcome),
                Step::Forced(key, true) => get(key, &mut made).force_open(),
                Step::Forced(key, false) => get(key, &mut made).disable(),
                Step::Remove(key) => {
                    removed += u64::from(hosts.remove(&key.to_string()).is_some());
                }
                Step::Late(which, outcome) if !handles.is_empty() => {
                    settle(&handles[which % handles.len()], outcome);
                }
                Step::Late(..) => {}
                Step::ResetAll => hosts.reset_all(),
            }
            let states = hosts.states();
            prop_assert!(states.len() <= most && states.len() == hosts.len());
            let counted = |state| states.iter().filter(|kept| kept.1 == state).count() as u64;
            prop_assert_eq!(census(&hosts), CircuitState::ALL.map(counted));
            let all = listing().snapshots();
            let shown = all.iter().find(|guard| guard.name() == "listed keys").expect("alive");
            let gone = made - removed - states.len() as u64;
            prop_assert_eq!(shown.stat("evicted"), Some(&Stat::Count(gone)));
        }
    }
}
