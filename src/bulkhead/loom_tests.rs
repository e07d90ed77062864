//! Plays every order of a few threads that the memory model allows, with up to three preemptions: `.ci/models`.

use std::sync::Arc;

use loom::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use super::slots::Slots;

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

#[test]
fn slots_are_never_more_than_the_limit_and_each_sees_the_work_of_the_one_before() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let work = Arc::new(loom::cell::UnsafeCell::new(0));
        let calls = |slots: &Slots, work: &loom::cell::UnsafeCell<u32>| {
            if slots.try_take() {
                // loom reports two that are in here at once, or of which one does not see the other.
                work.with_mut(|_| ());
                slots.give_back();
            }
        };
        let other = thread::spawn({
            let (slots, work) = (slots.clone(), work.clone());
            move || calls(&slots, &work)
        });
        calls(&slots, &work);
        calls(&slots, &work);
        other.join().expect("no panic");
        assert_eq!(slots.load().in_flight(), 0);
    });
}

#[test]
fn slots_stay_within_a_limit_that_changes() {
    model(|| {
        let slots = Arc::new(Slots::new(2));
        let in_use = Arc::new(AtomicU32::new(0));
        let calls = |slots: Arc<Slots>, in_use: Arc<AtomicU32>| {
            move || {
                if slots.try_take() {
                    assert!(
                        in_use.fetch_add(1, Ordering::SeqCst) < 2,
                        "the largest limit"
                    );
                    in_use.fetch_sub(1, Ordering::SeqCst);
                    slots.give_back();
                }
            }
        };
        let other = thread::spawn(calls(slots.clone(), in_use.clone()));
        let third = thread::spawn(calls(slots.clone(), in_use.clone()));
        slots.set_limit(1);
        other.join().expect("no panic");
        third.join().expect("no panic");
        let word = slots.load();
        assert_eq!((word.in_flight(), word.limit()), (0, 1));
        assert!(slots.try_take() && !slots.try_take());
    });
}

/// A handle that waits for readiness asks for reports, then looks once more.
#[test]
fn slot_that_becomes_free_is_reported_or_seen() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        assert!(slots.try_take());
        let other = thread::spawn({
            let slots = slots.clone();
            move || slots.give_back()
        });
        slots.report_free();
        let is_seen = slots.load().is_open();
        let is_reported = other.join().expect("no panic");
        assert!(is_seen || is_reported);
    });
}
