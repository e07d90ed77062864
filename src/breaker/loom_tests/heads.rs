//! Good heads are counted without the lock, and their bodies break whenever they like.

use super::*;

/// A good head whose body flows on, and counts nothing more.
fn flows(breaker: &TestBreaker) {
    let mut permit = breaker.admit(0).expect("closed");
    breaker.head(&mut permit, Evidence::Healthy, 0);
}

fn breaks(breaker: &TestBreaker, at: u64) {
    let mut permit = breaker.admit(0).expect("closed");
    breaker.head(&mut permit, Evidence::Healthy, 0);
    breaker.complete(permit, Outcome::Failure, at);
}

#[test]
fn head_is_one_call_whatever_becomes_of_its_body() {
    for count_window in [false, true] {
        model(move || {
            let builder = if count_window {
                settings().count_window(10)
            } else {
                settings()
            };
            let breaker = TestBreaker::new(builder);
            let a = breaker.spawn(|breaker| breaks(&breaker, 0));
            let b = breaker
                .spawn(move |breaker| breaks(&breaker, if count_window { 0 } else { BUCKET }));
            flows(&breaker);
            join([a, b]);
            let counts = breaker.machine().counts(breaker.at(BUCKET));
            assert_eq!((counts.calls, counts.failures), (3, 2));
            breaker.check();
        });
    }
}

/// The head between the failures would go missing if a success could be taken out of a run that it was not counted in.
#[test]
fn head_between_two_failures_is_not_replaced_by_another_whose_body_breaks() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(3));
        let a = breaker.spawn(|breaker| breaks(&breaker, 0));
        breaker.call(Outcome::Failure, 0);
        flows(&breaker);
        breaker.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(breaker.machine().state(), CircuitState::Closed);
        breaker.check();
    });
}

#[test]
fn reset_forgets_heads_whose_bodies_break_after_it() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(1));
        let mut permit = breaker.admit(0).expect("closed");
        breaker.head(&mut permit, Evidence::Healthy, 0);
        let a = breaker.spawn(move |breaker| breaker.update(StateMachine::reset));
        breaker.complete(permit, Outcome::Failure, 0);
        join([a]);
        // Whichever came first: it is closed, and forgotten.
        let locked = breaker.shared.core.lock();
        assert_eq!(locked.machine.state(), CircuitState::Closed);
        assert_eq!(locked.machine.counts(breaker.at(0)).calls, 0);
        drop(locked);
        breaker.check();
    });
}
