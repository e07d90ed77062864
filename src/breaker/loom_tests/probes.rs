//! Half open: never more probes than there may be, each settled or given back once, late results without effect.

use super::*;

/// Open since 0, by two failures in a row.
fn opened(probes: u32) -> World {
    let world = World::new(
        settings()
            .consecutive_failures(1)
            .probes(probes)
            .probe_ratio(1.0),
    );
    world.call(Outcome::Failure, 0);
    world
}

/// Counts who is inside; the count is seen by nobody but the assertions.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicU32>);

impl Inside {
    fn visit(&self, most: u32) {
        assert!(
            self.0.fetch_add(1, Ordering::Relaxed) < most,
            "too many probes"
        );
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn no_more_probes_are_out_than_may_be_and_each_is_given_back_once() {
    model(|| {
        let world = opened(1);
        let inside = Inside::default();
        let probe = |inside: Inside| {
            move |world: World| {
                if let Some(permit) = world.admit(OPEN_TIME) {
                    inside.visit(1);
                    world.settle(permit, Outcome::Cancelled, OPEN_TIME);
                }
            }
        };
        let threads = [
            world.spawn(probe(inside.clone())),
            world.spawn(probe(inside.clone())),
        ];
        probe(inside)(world.clone());
        join(threads);
        assert_eq!(world.shared.lock().core.probes_in_flight(), 0);
        assert_eq!(
            world.shared.lock().core.generation(),
            2,
            "half open all the while"
        );
        assert!(world.admit(OPEN_TIME).is_some(), "the place is free again");
        world.check();
    });
}

#[test]
fn good_probes_close_it_once_and_those_who_come_after_that_are_calls() {
    model(|| {
        let world = opened(2);
        let passed = Arc::new(AtomicU32::new(0));
        let probe = |passed: Arc<AtomicU32>| {
            move |world: World| {
                if let Some(permit) = world.admit(OPEN_TIME) {
                    if permit.0.generation == 2 {
                        assert!(
                            passed.fetch_add(1, Ordering::Relaxed) < 2,
                            "too many probes"
                        );
                    }
                    world.settle(permit, Outcome::Success, OPEN_TIME);
                }
            }
        };
        let threads = [
            world.spawn(probe(passed.clone())),
            world.spawn(probe(passed.clone())),
        ];
        probe(passed.clone())(world.clone());
        join(threads);
        assert_eq!(passed.load(Ordering::Relaxed), 2);
        assert_eq!(world.shared.lock().core.state(), State::Closed);
        assert_eq!(world.shared.lock().core.generation(), 3);
        world.check();
    });
}

#[test]
fn one_bad_probe_opens_it_again_once_whoever_is_faster() {
    model(|| {
        let world = opened(2);
        let probe = |outcome| {
            move |world: World| {
                if let Some(permit) = world.admit(OPEN_TIME) {
                    world.settle(permit, outcome, OPEN_TIME);
                }
            }
        };
        let threads = [
            world.spawn(probe(Outcome::Failure)),
            world.spawn(probe(Outcome::Failure)),
        ];
        probe(Outcome::Success)(world.clone());
        join(threads);
        assert_eq!(world.shared.lock().core.state(), State::Open);
        assert_eq!(world.shared.lock().core.generation(), 3);
        world.check();
    });
}

#[test]
fn a_late_result_of_the_closed_circuit_is_no_probe() {
    for late in [Outcome::Success, Outcome::Failure, Outcome::Cancelled] {
        model(move || {
            let world = World::new(
                settings()
                    .consecutive_failures(1)
                    .probes(2)
                    .probe_ratio(1.0),
            );
            let early = world.admit(0).expect("closed");
            let a = world.spawn(move |world| world.settle(early, late, OPEN_TIME));
            // The late result may come first: then it is not late, and a failure opens it.
            if let Some(permit) = world.admit(0) {
                world.settle(permit, Outcome::Failure, 0);
            }
            if let Some(probe) = world.admit(OPEN_TIME) {
                world.settle(probe, Outcome::Success, OPEN_TIME);
            }
            join([a]);
            let state = world.shared.lock().core.state();
            if state == State::HalfOpen {
                assert_eq!(world.shared.lock().core.generation(), 2);
                world.admit(OPEN_TIME).expect("one more probe may go");
                let third = world.admit(OPEN_TIME);
                assert!(third.is_none(), "one has succeeded, one is out");
            } else {
                // It was the failure that opened it, at a time that puts the probes off.
                assert_eq!((state, late), (State::Open, Outcome::Failure));
                assert_eq!(world.shared.lock().core.generation(), 1);
            }
            world.check();
        });
    }
}

#[test]
fn a_probe_that_is_late_neither_closes_nor_opens_the_next_phase() {
    model(|| {
        let world = opened(1);
        let hung = world.admit(OPEN_TIME).expect("a probe");
        // Its phase is over; the next one begins when its open time is.
        let again = 2 * OPEN_TIME;
        assert!(world.admit(again).is_none());
        let later = again + 2 * OPEN_TIME;
        let a = world.spawn(move |world| world.settle(hung, Outcome::Success, later));
        let probe = world.admit(later).expect("a probe");
        join([a]);
        assert_eq!(world.shared.lock().core.probes_in_flight(), 1);
        world.settle(probe, Outcome::Cancelled, later);
        assert_eq!(world.shared.lock().core.state(), State::HalfOpen);
        world.check();
    });
}
