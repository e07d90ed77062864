//! Good heads are counted without the lock, and their bodies break whenever they like.

use super::*;

/// A good head whose body flows on, and counts nothing more.
fn flows(world: &World) {
    let mut permit = world.admit(0).expect("closed");
    world.head(&mut permit, Evidence::Healthy, 0);
}

fn breaks(world: &World, at: u64) {
    let mut permit = world.admit(0).expect("closed");
    world.head(&mut permit, Evidence::Healthy, 0);
    world.settle(permit, Outcome::Failure, at);
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
            let world = World::new(builder);
            let a = world.spawn(|world| breaks(&world, 0));
            let b = world.spawn(move |world| breaks(&world, if count_window { 0 } else { BUCKET }));
            flows(&world);
            join([a, b]);
            let counts = world.shared.lock().core.counts(world.at(BUCKET));
            assert_eq!((counts.calls, counts.failures), (3, 2));
            world.check();
        });
    }
}

/// If a success could be taken out of a run that it was not counted in, the head between the failures would go missing.
#[test]
fn good_head_between_two_failures_is_not_taken_for_another_whose_body_breaks() {
    model(|| {
        let world = World::new(settings().consecutive_failures(3));
        let a = world.spawn(|world| breaks(&world, 0));
        world.call(Outcome::Failure, 0);
        flows(&world);
        world.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(world.shared.lock().core.state(), State::Closed);
        world.check();
    });
}

#[test]
fn reset_forgets_heads_whose_bodies_break_after_it() {
    model(|| {
        let world = World::new(settings().consecutive_failures(1));
        let mut permit = world.admit(0).expect("closed");
        world.head(&mut permit, Evidence::Healthy, 0);
        let a = world.spawn(move |world| world.change(Core::reset));
        world.settle(permit, Outcome::Failure, 0);
        join([a]);
        // Whichever came first: it is closed, and forgotten.
        let locked = world.shared.lock();
        assert_eq!(locked.core.state(), State::Closed);
        assert_eq!(locked.core.counts(world.at(0)).calls, 0);
        drop(locked);
        world.check();
    });
}
