use loom::thread::{self, JoinHandle};

use super::{Arc, model};
use crate::{
    breaker::{BreakerRegistry, CircuitBreaker},
    util::append_map::OVERFLOW_LABEL,
};

fn asks(breakers: &BreakerRegistry, name: &'static str) -> JoinHandle<CircuitBreaker> {
    let breakers = breakers.clone();
    thread::spawn(move || breakers.get_or_create(name))
}

fn is_same(a: &CircuitBreaker, b: &CircuitBreaker) -> bool {
    Arc::ptr_eq(&a.shared, &b.shared)
}

#[test]
fn registry_creates_one_breaker_for_a_name_used_at_once() {
    model(|| {
        let breakers = BreakerRegistry::builder()
            .max_names(1)
            .build()
            .expect("valid settings");
        let other = asks(&breakers, "a");
        let mine = breakers.get_or_create("a");
        let other = other.join().expect("no panic");
        assert!(is_same(&mine, &other));
        assert_eq!(breakers.names(), ["a"]);
    });
}

#[test]
fn registry_shares_one_breaker_between_names_past_the_limit() {
    model(|| {
        let breakers = BreakerRegistry::builder()
            .max_names(1)
            .build()
            .expect("valid settings");
        breakers.get_or_create("full");
        let other = asks(&breakers, "a");
        let mine = breakers.get_or_create("b");
        let other = other.join().expect("no panic");
        assert!(is_same(&mine, &other));
        assert_eq!(breakers.names(), [OVERFLOW_LABEL, "full"]);
    });
}

#[test]
fn registry_fills_its_last_slot_once() {
    model(|| {
        let breakers = BreakerRegistry::builder()
            .max_names(1)
            .build()
            .expect("valid settings");
        let other = asks(&breakers, "a");
        let mine = breakers.get_or_create("b");
        let other = other.join().expect("no panic");
        assert!((mine.name() == "b") != (other.name() == "a"));
        assert_eq!(breakers.shared.lock_breakers().len(), 1);
    });
}
