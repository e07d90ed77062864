use std::time::Duration;

use tokio::time::Instant;

use super::{Budget, sliding_window::SlidingWindow};
use crate::{
    call::{CallClock, Outcome},
    retry::Reservation,
};
use proptest::prelude::*;

const SLICE: Duration = Duration::from_secs(1);

fn window(ratio: f64, per_second: f64, origin: Instant) -> SlidingWindow {
    let settings = Budget::window().ratio(ratio).per_second(per_second);
    SlidingWindow::new(settings, origin)
}

#[test]
fn ratio_is_exact_over_a_hundred_thousand_calls() {
    let origin = Instant::now();
    for ratio in [0.1, 0.29, 0.3, 0.6, 0.7, 1.5] {
        let window = window(ratio, 0.0, origin);
        let mut allowed = 0;
        for _ in 0..100_000 {
            window.deposit(origin);
            while window.reserve(origin).is_some() {
                allowed += 1;
            }
        }
        assert_eq!(allowed, (ratio * 100_000.0).round() as u32, "{ratio}");
    }
}

#[test]
fn retracted_call_earns_nothing() {
    let origin = Instant::now();
    let window = window(1.0, 0.0, origin);
    (0..3).for_each(|_| window.deposit(origin));
    window.retract(origin);
    assert_eq!(window.available(origin), 2);
    window.retract(origin + SLICE);
    assert_eq!(window.available(origin + SLICE), 2, "not of this slice");
    (0..9).for_each(|_| window.retract(origin));
    assert_eq!(window.available(origin), 0);
}

#[test]
fn calls_stop_counting_when_the_window_has_passed() {
    let origin = Instant::now();
    let window = window(1.0, 0.0, origin);
    window.deposit(origin);
    assert_eq!(window.available(origin + 9 * SLICE), 1);
    assert_eq!(window.available(origin + 10 * SLICE), 0);
    // An older clock reading does not bring them back.
    assert_eq!(window.available(origin), 0);
}

#[test]
fn per_second_allows_retries_of_few_calls() {
    let origin = Instant::now();
    let window = window(0.2, 0.3, origin);
    assert_eq!(window.available(origin), 3);
    assert!((0..3).all(|_| window.reserve(origin).is_some()));
    assert_eq!(window.reserve(origin), None);
    assert_eq!((window.available(origin), window.capacity(origin)), (0, 3));
    (0..5).for_each(|_| window.deposit(origin));
    assert_eq!((window.available(origin), window.capacity(origin)), (1, 4));
    let later = origin + 10 * SLICE;
    assert_eq!((window.available(later), window.capacity(later)), (3, 3));
}

#[test]
fn window_keeps_calls_and_retries_when_its_numbers_change() {
    let origin = Instant::now();
    let settings = Budget::window().ratio(0.5).per_second(0.0);
    let window = SlidingWindow::new(settings, origin);
    (0..8).for_each(|_| window.deposit(origin));
    let slice = window.reserve(origin).expect("four");
    assert_eq!(window.available(origin), 3);
    window.apply(settings.ratio(1.0), origin);
    assert_eq!(window.available(origin), 7);
    window.apply(settings.ratio(0.0).per_second(0.3), origin);
    assert_eq!(window.available(origin), 2);
    window.refund(slice);
    assert_eq!(window.available(origin), 3, "of this window still");
    // Nothing that was counted is left, and nothing of it can be refunded.
    window.reset(settings.ratio(1.0), origin);
    assert_eq!(window.available(origin), 0);
    window.deposit(origin);
    let slice = window.reserve(origin).expect("one");
    window.reset(settings.ratio(1.0), origin);
    window.deposit(origin);
    window.reserve(origin).expect("one");
    window.refund(slice);
    assert_eq!(window.available(origin), 0);
}

#[test]
fn window_keeps_calls_and_retries_by_their_age_when_its_length_changes() {
    let origin = Instant::now();
    let at = |seconds: u32| origin + seconds * SLICE;
    let settings = Budget::window().ratio(1.0).per_second(0.0);
    let window = SlidingWindow::new(settings, origin);
    (0..2).for_each(|_| window.deposit(at(0)));
    (0..3).for_each(|_| window.deposit(at(4)));
    (0..4).for_each(|_| window.deposit(at(8)));
    let slice = window.reserve(at(8)).expect("nine");
    // Four seconds: those that are eight seconds old count no more.
    window.apply(settings.window(4 * SLICE), at(8));
    assert_eq!(window.available(at(8)), 3);
    window.refund(slice);
    assert_eq!(window.available(at(8)), 3, "reserved with another length");
    // A minute and a half, whose slices last nine seconds.
    window.apply(settings.window(90 * SLICE), at(8));
    window.deposit(at(8));
    assert_eq!(window.available(at(8)), 4);
    assert_eq!(window.available(at(8 + 80)), 4);
    assert_eq!(window.available(at(8 + 90)), 0);
    // Back and forth, as a file may say.
    for length in [4, 90, 10, 10, 3_600, 1] {
        window.apply(settings.window(length * SLICE), at(98));
        window.deposit(at(98));
        assert!(window.reserve(at(98)).is_some(), "{length}");
    }
    assert_eq!(window.available(at(98)), 0);
}

#[test]
fn window_is_drained_by_calls_that_fail_once() {
    let budget = Budget::window().ratio(0.2).per_second(0.0).build().unwrap();
    let now = CallClock::at(Instant::now());
    let mut retried = 0;
    for _ in 0..100 {
        budget.deposit(&now);
        budget.complete(Outcome::Failure);
        if let Some(reservation) = budget.reserve(Outcome::Failure, &now) {
            reservation.spend().complete(Outcome::Success);
            retried += 1;
        }
    }
    assert_eq!(retried, 20);
}

#[test]
fn concurrent_reservations_never_overdraw() {
    let budget = Budget::window().ratio(0.3).per_second(0.0).build().unwrap();
    let now = Instant::now();
    let work = || {
        let now = CallClock::at(now);
        let mut kept: Vec<Reservation> = Vec::new();
        for n in 0..5_000 {
            budget.deposit(&now);
            let reservation = budget.reserve(Outcome::Failure, &now);
            if n % 3 == 0 {
                drop(reservation); // cancelled
            } else {
                kept.extend(reservation);
            }
        }
        kept
    };
    let kept: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.flat_map(|kept| kept.expect("kept")).collect()
    });
    // None was lost or created: 20,000 calls allow 6,000.
    let available = || {
        budget
            .available(&CallClock::at(now))
            .expect("windows count retries")
    };
    assert_eq!(kept.len() as u64 + available(), 6_000);
    drop(kept);
    assert_eq!(available(), 6_000);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Call,
    Reserve,
    Spend(usize),
    Cancel(usize),
    Wait(u64),
    Apply(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Call),
        4 => Just(Event::Reserve),
        1 => any::<usize>().prop_map(Event::Spend),
        1 => any::<usize>().prop_map(Event::Cancel),
        2 => (0_u64..3_000).prop_map(Event::Wait),
        1 => (8_000_u64..12_000).prop_map(Event::Wait),
        1 => (0_u64..2_000_000).prop_map(Event::Apply),
    ]
}

/// Reference model: keeps every timestamp, and adds up.
#[derive(Default)]
struct ReferenceWindow {
    calls: Vec<u64>,
    retries: Vec<u64>,
}

impl ReferenceWindow {
    /// In millionths.
    fn available(&self, millis: u64, ratio: u64, floor: u64) -> u64 {
        let counted = |times: &[u64]| {
            let live = times.iter().filter(|&&at| at / 1_000 + 10 > millis / 1_000);
            live.count() as u64
        };
        let earned = floor + counted(&self.calls) * ratio;
        earned.saturating_sub(counted(&self.retries) * 1_000_000) / 1_000_000
    }
}

proptest! {
    #[test]
    fn window_matches_list_of_timestamps(
        first in 0_u64..2_000_000, floor in 0_u64..5, events in prop::collection::vec(any_event(), 1..200),
    ) {
        let origin = Instant::now();
        let window = window(first as f64 / 1e6, floor as f64 / 10.0, origin);
        let (mut reference, mut reserved, mut millis) = (ReferenceWindow::default(), Vec::new(), 0);
        let mut ratio = first;
        for event in events {
            let now = origin + Duration::from_millis(millis);
            let available = reference.available(millis, ratio, floor * 1_000_000);
            prop_assert_eq!(window.available(now), available);
            match event {
                Event::Call => {
                    window.deposit(now);
                    reference.calls.push(millis);
                }
                Event::Reserve => {
                    let slice = window.reserve(now);
                    prop_assert_eq!(slice.is_some(), available > 0);
                    reserved.extend(slice.map(|slice| (slice, millis)));
                    reference.retries.extend(slice.map(|_| millis));
                }
                Event::Spend(which) if !reserved.is_empty() => {
                    reserved.swap_remove(which % reserved.len());
                }
                Event::Cancel(which) if !reserved.is_empty() => {
                    let (slice, at) = reserved.swap_remove(which % reserved.len());
                    window.refund(slice);
                    let index = reference.retries.iter().position(|&time| time == at);
                    reference.retries.remove(index.expect("reserved then"));
                }
                Event::Wait(more) => millis += more,
                Event::Apply(next) => {
                    ratio = next;
                    let settings = Budget::window().ratio(next as f64 / 1e6);
                    window.apply(settings.per_second(floor as f64 / 10.0), now);
                }
                _ => {}
            }
        }
    }
}
