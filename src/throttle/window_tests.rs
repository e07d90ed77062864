use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use tokio::time::Instant;

use super::{
    ThrottleAccounting, ThrottleSettings,
    window::{AcceptWindow, WindowChange, WindowConfig, WindowCounts},
};

const SECOND: Duration = Duration::from_secs(1);

fn default_window(start: Instant) -> AcceptWindow {
    AcceptWindow::new(ThrottleSettings::default().config(), start)
}

#[test]
fn calls_are_admitted_below_the_minimum_and_while_half_of_them_succeed() {
    let start = Instant::now();
    let mut window = default_window(start);
    for _ in 0..9 {
        window.fail(start, None);
        assert_eq!(window.admit(start, 0.0, false), (true, None));
    }
    window.fail(start, None);
    assert_eq!(window.probability(), 0.9, "ten of ten, and the maximum");
    for _ in 0..10 {
        window.accept(start);
    }
    assert_eq!(window.probability(), 0.0);
    window.fail(start, None);
    assert_eq!(window.probability(), 1.0 / 22.0);
}

#[test]
fn rejections_are_calls_unless_only_admitted_ones_count() {
    let start = Instant::now();
    for (accounting, expected) in [
        (ThrottleAccounting::All, 30.0 / 71.0),
        (ThrottleAccounting::Admitted, 10.0 / 51.0),
    ] {
        let config = WindowConfig {
            accounting,
            ..ThrottleSettings::default().config()
        };
        let mut window = AcceptWindow::new(config, start);
        (0..30).for_each(|_| _ = window.fail(start, None));
        (0..20).for_each(|_| assert!(!window.admit(start, 0.0, false).0));
        (0..20).for_each(|_| _ = window.accept(start));
        assert_eq!(window.probability(), expected, "{accounting:?}");
    }
}

#[test]
fn first_rejection_begins_and_a_window_without_one_ends() {
    let start = Instant::now();
    let mut window = default_window(start);
    (0..20).for_each(|_| {
        window.fail(start, None);
    });
    assert_eq!(window.admit(start, 0.95, false), (true, None));
    assert_eq!(
        window.admit(start, 0.5, false),
        (false, Some(WindowChange::Began))
    );
    assert_eq!(window.admit(start, 0.5, false), (false, None));
    assert_eq!(window.accept(start + 29 * SECOND).1, None);
    let (_, ended) = window.accept(start + 30 * SECOND);
    assert_eq!(ended, Some(WindowChange::Ended));
    assert_eq!(window.counts().accepted, 2);
    assert_eq!(window.reset(start + 30 * SECOND), None);
}

#[test]
fn failure_of_a_body_counts_in_place_of_the_success_of_its_head() {
    let start = Instant::now();
    let mut window = default_window(start);
    let (slice, _) = window.accept(start);
    window.fail(start + SECOND, Some(slice));
    let failed = WindowCounts {
        failed: 1,
        ..WindowCounts::default()
    };
    assert_eq!(window.counts(), failed);
    let (slice, _) = window.accept(start + SECOND);
    window.fail(start + 40 * SECOND, Some(slice));
    assert_eq!(window.counts(), failed, "the success is forgotten already");
    let (slice, _) = window.accept(start + 40 * SECOND);
    window.reset(start + 40 * SECOND);
    window.fail(start + 40 * SECOND, Some(slice));
    assert_eq!(window.counts(), failed);
}

#[test]
fn counts_stay_with_other_settings() {
    let start = Instant::now();
    let mut window = default_window(start);
    (0..20).for_each(|_| {
        window.fail(start, None);
    });
    let shorter = WindowConfig {
        window: SECOND,
        max_rejection_rate: 0.5,
        ..ThrottleSettings::default().config()
    };
    window.set_config(shorter, start + 5 * SECOND);
    assert_eq!((window.counts().failed, window.probability()), (20, 0.5));
    window.advance(start + 6 * SECOND);
    assert_eq!(window.counts(), WindowCounts::default());
}

#[test]
fn call_that_shadow_mode_admits_counts_by_its_result_only() {
    let start = Instant::now();
    let mut window = default_window(start);
    (0..20).for_each(|_| _ = window.fail(start, None));
    assert_eq!(
        window.admit(start, 0.5, true),
        (false, Some(WindowChange::Began))
    );
    assert_eq!(window.admit(start, 0.5, true), (false, None));
    assert_eq!(
        (window.counts().all_rejected(), window.counts().shadowed),
        (2, 2)
    );
    (0..10).for_each(|_| _ = window.accept(start));
    assert_eq!(window.probability(), 10.0 / 31.0);
    assert_eq!(
        window.advance(start + 30 * SECOND),
        Some(WindowChange::Ended)
    );
}

#[test]
fn calls_of_a_time_count_evenly_in_it_and_nothing_of_before_the_window() {
    let start = Instant::now();
    let accepted = |since: u32, until: u32, now: u32| {
        let mut window = default_window(start);
        window.accept_many(70, start + since * SECOND, start + until * SECOND);
        window.advance(start + now * SECOND);
        window.counts().accepted
    };
    assert_eq!(accepted(0, 0, 0), 70);
    assert_eq!(accepted(5, 5, 30), 70);
    assert_eq!(accepted(0, 18, 18), 70, "seven slices");
    assert_eq!([30, 33, 48].map(|now| accepted(0, 18, now)), [60, 50, 0]);
    assert_eq!(accepted(0, 60, 60), 34, "ten slices of twenty-one");
    assert_eq!(accepted(9, 5, 5), 70, "a clock that is behind");
    assert_eq!(accepted(0, 3_600_000, 3_600_000), 1);
}

#[test]
fn late_failure_takes_back_the_newest_success() {
    let start = Instant::now();
    let mut window = default_window(start);
    window.fail_late(start);
    window.accept(start);
    window.accept(start + 6 * SECOND);
    window.fail_late(start + 9 * SECOND);
    assert_eq!((window.counts().accepted, window.counts().failed), (1, 2));
    window.advance(start + 30 * SECOND);
    assert_eq!(window.counts().accepted, 0, "the older one was left");
}

proptest! {
    #[test]
    fn sum_is_that_of_the_last_window_whatever_comes(
        steps in vec((0..4_000_u64, 0..4_u8, 0.0..1.0f64), 1..300),
    ) {
        let start = Instant::now();
        let mut window = default_window(start);
        let mut now = start;
        let mut all: Vec<(Instant, u8)> = Vec::new();
        let mut last_accepted = None;
        for (millis, kind, random) in steps {
            now += Duration::from_millis(millis);
            match kind {
                0 => {
                    last_accepted = Some((window.accept(now).0, all.len()));
                    all.push((now, 0));
                }
                1 => {
                    window.fail(now, None);
                    all.push((now, 1));
                }
                2 => if let Some((slice, place)) = last_accepted.take() {
                    window.fail(now, Some(slice));
                    all[place].1 = 3;
                    all.push((now, 1));
                },
                _ => if !window.admit(now, random, false).0 {
                    all.push((now, 2));
                },
            }
            window.advance(now);
            let slice = |at: Instant| ((at - start).as_millis() / 3_000) as u64;
            let counted = |wanted: u8| all.iter().filter(|(at, kind)| *kind == wanted && slice(*at) + 10 > slice(now)).count() as u64;
            prop_assert_eq!(window.counts(), WindowCounts { accepted: counted(0), failed: counted(1), rejected: counted(2), shadowed: 0 });
            let probability = window.probability();
            prop_assert!((0.0..=0.9).contains(&probability));
        }
    }
}
