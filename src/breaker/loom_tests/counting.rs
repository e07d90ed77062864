//! Successes counted through the word: none lost, none twice, each in its bucket and generation.

use super::*;

#[test]
fn each_success_is_counted_once_and_in_its_bucket_while_others_fail_and_look() {
    model(|| {
        let world = World::new(settings());
        let a = world.spawn(|world| {
            world.call(Outcome::Success, 0);
            world.call(Outcome::Success, BUCKET);
        });
        let b = world.spawn(|world| {
            world.call(Outcome::Failure, BUCKET);
            world.call(Outcome::Success, BUCKET);
        });
        assert!(world.calls_since(0) <= 4);
        join([a, b]);
        assert_eq!((world.calls_since(0), world.calls_since(1)), (4, 3));
        world.check();
    });
}

#[test]
fn whoever_is_late_counts_in_the_bucket_of_his_own_time() {
    model(|| {
        let world = World::new(settings());
        let threads = [0, 1, 2].map(|bucket| {
            world.spawn(move |world| {
                world.call(Outcome::Success, bucket * BUCKET);
            })
        });
        join(threads);
        let since = [0, 1, 2, 3].map(|bucket| world.calls_since(bucket));
        assert_eq!(since, [3, 2, 1, 0]);
    });
}

#[test]
fn a_reset_forgets_what_was_admitted_before_it_and_nothing_else() {
    model(|| {
        let world = World::new(settings());
        let kept = Arc::new(AtomicU32::new(0));
        let work = |calls: u32, kept: Arc<AtomicU32>| {
            move |world: World| {
                for _ in 0..calls {
                    let generation = world.call(Outcome::Success, 0);
                    kept.fetch_add(u32::from(generation == 1), Ordering::Relaxed);
                }
            }
        };
        let threads = [
            world.spawn(work(2, kept.clone())),
            world.spawn(work(1, kept.clone())),
        ];
        world.change(Core::reset);
        join(threads);
        assert_eq!(
            world.calls_since(0),
            u64::from(kept.load(Ordering::Relaxed))
        );
        world.check();
    });
}

#[test]
fn a_full_ring_drops_the_oldest_and_the_failure_stays_for_as_long_as_it_should() {
    model(|| {
        let world = World::new(settings().count_window(2).minimum_calls(2));
        let a = world.spawn(|world| {
            for _ in 0..3 {
                world.call(Outcome::Success, 0);
            }
        });
        world.call(Outcome::Failure, 0);
        world.call(Outcome::Success, 0);
        join([a]);
        let counts = world.shared.lock().core.counts(world.at(0));
        assert_eq!(counts.calls, 2);
        assert!(counts.failures <= 1);
        // One more success drives out the last of what came before the failure, a second the failure itself.
        world.call(Outcome::Success, 0);
        world.call(Outcome::Success, 0);
        assert_eq!(world.shared.lock().core.counts(world.at(0)).failures, 0);
    });
}

#[test]
fn a_success_between_two_failures_breaks_their_row() {
    model(|| {
        let world = World::new(settings().consecutive_failures(2));
        let a = world.spawn(|world| {
            if let Some(permit) = world.admit(0) {
                world.settle(permit, Outcome::Success, 0);
            }
        });
        world.call(Outcome::Failure, 0);
        world.call(Outcome::Success, 0);
        world.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(world.shared.lock().core.state(), State::Closed);
        world.call(Outcome::Failure, 0);
        assert_eq!(world.calls_since(0), 5);
    });
}

#[test]
fn two_who_fail_at_once_open_it_once() {
    model(|| {
        let world = World::new(settings().consecutive_failures(2));
        let failing = |world: World| {
            if let Some(permit) = world.admit(0) {
                world.settle(permit, Outcome::Failure, 0);
            }
        };
        let threads = [world.spawn(failing), world.spawn(failing)];
        failing(world.clone());
        join(threads);
        assert_eq!(world.shared.lock().core.generation(), 1);
        assert!(world.admit(0).is_none());
        world.check();
    });
}

#[test]
fn switches_that_are_thrown_at_once_are_told_in_the_order_in_which_they_took_effect() {
    model(|| {
        let world = World::new(settings());
        let a = world.spawn(|world| world.change(Core::force_open));
        let b = world.spawn(|world| world.change(Core::disable));
        world.change(Core::reset);
        join([a, b]);
        assert_eq!(world.shared.lock().core.generation(), 3);
        world.check();
    });
}
