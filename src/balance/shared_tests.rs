use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{BalanceSettings, EndpointStatus, rotation::EndpointId, shared::BalanceShared};
use crate::{
    call::Label,
    registry::{self, GuardTransition},
};

const ENDPOINTS: usize = 30;

fn balance(name: &'static str, max_ejected: f64) -> (Arc<BalanceShared>, Vec<EndpointId>) {
    let settings = BalanceSettings {
        max_ejected,
        ..BalanceSettings::default()
    };
    let shared = Arc::new(BalanceShared::new(name.into(), settings, Some(7)));
    let add = |number: usize| shared.add(Label::from(number.to_string())).id;
    let ids = (0..ENDPOINTS).map(add).collect();
    (shared, ids)
}

/// Each thread came to some endpoints last, so that these had the settings of the one and those of the other.
#[test]
fn endpoints_have_the_settings_of_the_balancer_whichever_thread_applies_last() {
    let (shared, _) = balance("two files", 0.1);
    for round in 0..50 {
        let apply = |consecutive_failures| {
            let mut settings = shared.settings();
            settings.breaker.consecutive_failures = Some(consecutive_failures);
            shared.apply(&settings).expect("valid settings");
        };
        thread::scope(|scope| {
            for thread in 0..3 {
                scope.spawn(move || apply(1 + round * 3 + thread));
            }
            scope.spawn(|| shared.add(Label::from("one more")));
        });
        let settings = shared.settings().breaker;
        for endpoint in shared.endpoints() {
            assert_eq!(endpoint.breaker.settings(), settings, "{round}");
        }
    }
}

#[test]
fn settings_that_two_operators_change_at_once_are_both_changed() {
    let (shared, _) = balance("two operators", 0.1);
    for round in 1..200_u32 {
        let time = std::time::Duration::from_millis(100) * round;
        thread::scope(|scope| {
            scope.spawn(|| shared.update(|settings| settings.decay = time));
            scope.spawn(|| shared.set_shadow(round % 2 == 0));
        });
        let settings = shared.settings();
        assert_eq!(
            (settings.decay, settings.breaker.shadow),
            (time, round % 2 == 0)
        );
    }
}

/// A return could be reported before the ejection, by a thread that was faster.
#[test]
fn ejections_and_returns_of_an_endpoint_are_reported_in_order() {
    let (shared, _) = balance("in order", 0.2);
    let done = AtomicBool::new(false);
    let mut transitions = registry::subscribe();
    thread::scope(|scope| {
        let follow = scope.spawn(|| {
            let mut ejected = vec![None; ENDPOINTS];
            loop {
                let is_last = done.load(Ordering::Acquire);
                match transitions.try_recv() {
                    Ok(transition) => follow(&mut ejected, &transition),
                    // What was lost is not known.
                    Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => {
                        ejected.fill(None);
                    }
                    Err(_) if is_last => return,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        let change = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..3_000 {
                let endpoints = shared.endpoints();
                let breaker = &endpoints[random.usize(..ENDPOINTS)].breaker;
                match random.bool() {
                    true => breaker.force_open(),
                    false => breaker.reset(),
                }
            }
        };
        let threads: Vec<_> = (0..3)
            .map(|seed| scope.spawn(move || change(seed)))
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        done.store(true, Ordering::Release);
        follow.join().expect("in order");
    });
    let stats = shared.stats();
    let is_ejected = |status| status != EndpointStatus::InRotation;
    let ejected = stats.endpoints.iter().filter(|one| is_ejected(one.status));
    assert_eq!(ejected.count(), stats.ejected, "calls see what is counted");
    assert!(stats.ejected <= stats.max_ejected);
    shared.reset();
    assert_eq!(shared.stats().ejected, 0);
}

fn follow(ejected: &mut [Option<bool>], transition: &GuardTransition) {
    if transition.name.as_str() != "in order" {
        return;
    }
    let key = transition.key.as_ref().expect("an endpoint").as_str();
    let number: usize = key.parse().expect("a number");
    let is_ejected = transition.to == "ejected";
    let before = ejected[number].replace(is_ejected);
    assert_ne!(before, Some(is_ejected), "{key} {} twice", transition.to);
}
