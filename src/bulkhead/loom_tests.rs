//! Plays every order of a few threads that the memory model allows, with up to three preemptions: `.ci/models`.

use std::{sync::Arc, task::Waker};

use loom::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use super::{
    BulkheadSettings,
    queue::Settled,
    shared::{BulkheadShared, SlotAttempt, WaiterKind},
    slots::{Freed, Slots, Taken},
};

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(3);
    builder.check(test);
}

fn takes(slots: &Slots) -> bool {
    slots.try_take() != Taken::None
}

/// A call without a deadline and without a priority.
const CALL: WaiterKind = WaiterKind::Call {
    deadline: None,
    quantile: None,
};

#[test]
fn slots_are_never_more_than_the_limit_and_each_sees_the_work_of_the_one_before() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        let work = Arc::new(loom::cell::UnsafeCell::new(0));
        let calls = |slots: &Slots, work: &loom::cell::UnsafeCell<u32>| {
            if takes(slots) {
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
                if takes(&slots) {
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
        assert!(takes(&slots) && !takes(&slots));
    });
}

/// A handle that waits for readiness asks for reports, then looks once more.
#[test]
fn slot_that_becomes_free_is_reported_or_seen() {
    model(|| {
        let slots = Arc::new(Slots::new(1));
        assert!(takes(&slots));
        let other = thread::spawn({
            let slots = slots.clone();
            move || slots.give_back()
        });
        slots.report_free();
        let is_seen = slots.load().is_open();
        let freed = other.join().expect("no panic");
        assert!(is_seen || freed == Freed::WakesHandles);
    });
}

fn bulkhead(limit: u32) -> Arc<BulkheadShared> {
    let settings = BulkheadSettings {
        limit,
        queue_limit: 10,
        wait_limit: None,
        ..BulkheadSettings::default()
    };
    BulkheadShared::new("model".into(), settings, None)
}

/// Waits for a slot as a call does; returns whether it has one, and leaves the queue otherwise.
fn takes_slot(shared: &BulkheadShared) -> bool {
    if shared.take_slot() {
        return true;
    }
    match shared.join_queue(CALL) {
        SlotAttempt::Granted => true,
        SlotAttempt::Rejected(reason) => panic!("{reason:?}"),
        SlotAttempt::Waits(ticket, _) => match shared.poll_queue(&ticket, Waker::noop()) {
            Some(settled) => settled == Settled::Granted,
            None => shared.leave_queue(&ticket) == Some(Settled::Granted),
        },
    }
}

#[test]
fn slot_that_is_given_back_is_found_by_one_that_joins_or_waits() {
    model(|| {
        let shared = bulkhead(1);
        assert!(shared.take_slot());
        let other = thread::spawn({
            let shared = shared.clone();
            move || shared.free_slot()
        });
        let joined = shared.join_queue(CALL);
        other.join().expect("no panic");
        let is_granted = match joined {
            SlotAttempt::Granted => true,
            SlotAttempt::Waits(ticket, _) => {
                shared.poll_queue(&ticket, Waker::noop()) == Some(Settled::Granted)
            }
            SlotAttempt::Rejected(reason) => panic!("{reason:?}"),
        };
        assert!(
            is_granted,
            "a slot is free, and nobody would wake the one that waits"
        );
        shared.free_slot();
        assert!(shared.slots().load().is_open());
        assert_eq!(shared.slots().load().in_flight(), 0);
    });
}

#[test]
fn slots_are_all_free_after_calls_that_wait_and_leave() {
    model(|| {
        let shared = bulkhead(1);
        let calls = |shared: &BulkheadShared| {
            if takes_slot(shared) {
                shared.free_slot();
            }
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || calls(&shared)
        });
        calls(&shared);
        other.join().expect("no panic");
        let word = shared.slots().load();
        assert!(word.is_open() && word.in_flight() == 0, "{word:?}");
        assert_eq!(shared.queued(), 0);
    });
}

#[test]
fn limit_that_grows_gives_its_slot_to_the_one_that_waits() {
    model(|| {
        let shared = bulkhead(1);
        assert!(shared.take_slot());
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                let mut settings = shared.settings();
                settings.limit = 2;
                shared.apply(&settings);
            }
        });
        let joined = shared.join_queue(CALL);
        other.join().expect("no panic");
        match joined {
            SlotAttempt::Granted => {}
            SlotAttempt::Waits(ticket, _) => {
                let settled = shared.poll_queue(&ticket, Waker::noop());
                assert_eq!(settled, Some(Settled::Granted));
            }
            SlotAttempt::Rejected(reason) => panic!("{reason:?}"),
        }
        assert_eq!(shared.slots().load().in_flight(), 2);
    });
}
