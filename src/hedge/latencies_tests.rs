use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::latencies::{Latencies, LatencyConfig, Sample};
use crate::util::mix::draw;
use Sample::{Answered, Censored};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> LatencyConfig {
    LatencyConfig {
        percentile: 0.95,
        min_samples: 50,
        window: 60 * SECOND,
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Records these, all at once. Returns the percentile in milliseconds.
fn percentile_of(samples: impl IntoIterator<Item = (f64, Sample)>) -> Option<f64> {
    let now = Instant::now();
    let mut latencies = Latencies::new(config(), now);
    for (millis, sample) in samples {
        latencies.record(now, Duration::from_secs_f64(millis / 1e3), sample);
    }
    let percentile = latencies.set_config(config(), now)?;
    Some(percentile.as_secs_f64() * 1e3)
}

#[test]
fn percentile_needs_enough_samples() {
    let now = Instant::now();
    let mut latencies = Latencies::new(config(), now);
    for nth in 1..=200 {
        let percentile = latencies.record(now, millis(20), Answered);
        // Found anew with each eighth sample.
        assert_eq!(percentile.is_some(), nth >= 56, "{nth}");
    }
    assert_eq!(latencies.samples(), 200);
}

#[test]
fn percentile_is_that_of_the_samples_and_a_bucket_at_most_too_long() {
    let percentile = percentile_of((1..=1_000).map(|nth| (f64::from(nth), Answered)));
    let percentile = percentile.expect("enough samples");
    assert!((950.0..=980.0).contains(&percentile), "{percentile}");
}

#[test]
fn times_beyond_the_buckets_count_in_the_outermost() {
    let least = percentile_of((0..100).map(|_| (0.0, Answered)));
    assert!(least.expect("known") < 0.002);
    let most = percentile_of((0..100).map(|_| (1e9, Answered)));
    assert_eq!(most, Some(4_096.0 * 1e3));
}

#[test]
fn window_forgets_samples_by_halves() {
    let now = Instant::now();
    let mut latencies = Latencies::new(config(), now);
    for _ in 0..100 {
        latencies.record(now, millis(100), Answered);
    }
    let later = now + 30 * SECOND;
    assert!(latencies.advance(later).is_some());
    for _ in 0..100 {
        latencies.record(later, millis(10), Answered);
    }
    assert_eq!(latencies.samples(), 200);
    let percentile = latencies.advance(later + 30 * SECOND).expect("known");
    assert!(percentile < millis(11), "{percentile:?}");
    assert_eq!(latencies.samples(), 100);
    assert_eq!(latencies.advance(later + 120 * SECOND), None);
    assert_eq!(latencies.samples(), 0);
}

#[test]
fn settings_and_clear_hold_at_once() {
    let now = Instant::now();
    let mut latencies = Latencies::new(config(), now);
    for nth in 1..=100 {
        latencies.record(now, millis(nth), Answered);
    }
    let median = LatencyConfig {
        percentile: 0.5,
        ..config()
    };
    let percentile = latencies.set_config(median, now).expect("known");
    assert!((millis(50)..millis(53)).contains(&percentile));
    let more = LatencyConfig {
        min_samples: 101,
        ..config()
    };
    assert_eq!(latencies.set_config(more, now), None);
    latencies.clear(now);
    assert_eq!((latencies.samples(), latencies.advance(now)), (0, None));
}

/// A total outage, whether it fails fast or hangs.
#[test]
fn percentile_is_unknown_if_too_many_attempts_get_no_answer() {
    assert_eq!(percentile_of((0..500).map(|_| (1.0, Censored))), None);
    let mostly = (0..1_000).map(|nth| match nth % 10 {
        0 => (500.0, Censored),
        _ => (20.0, Answered),
    });
    assert_eq!(percentile_of(mostly), None, "a tenth hangs");
}

/// The bias that a percentile has which ignores those that were beaten.
#[test]
fn percentile_of_hedged_attempts_is_that_of_the_same_without_hedges() {
    let time = |nth: u64| 5.0 - 40.0 * (1.0 - draw(7, nth)).ln();
    let truth = percentile_of((0..20_000).map(|nth| (time(nth), Answered))).expect("known");
    // Each is given up after 60 ms at the latest, long before the percentile.
    let shorter = (0..20_000).map(|nth| match nth % 2 {
        0 if time(nth) > 60.0 => (60.0, Censored),
        _ => (time(nth), Answered),
    });
    let all: Vec<_> = shorter.collect();
    let estimate = percentile_of(all.iter().copied()).expect("known");
    assert!((estimate / truth - 1.0).abs() < 0.06, "{estimate} {truth}");
    let survivors = all.into_iter().filter(|(_, sample)| *sample == Answered);
    let biased = percentile_of(survivors).expect("known");
    assert!(biased < 0.9 * truth, "{biased} {truth}");
}

proptest! {
    #[test]
    fn percentile_is_at_least_that_of_the_answers_and_a_bucket_at_most_above_them(
        times in prop::collection::vec(0.01_f64..100_000.0, 50..400),
    ) {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (0.95 * sorted.len() as f64 - 1e-9).ceil() as usize;
        let exact = sorted[rank - 1];
        let found = percentile_of(times.iter().map(|time| (*time, Answered))).expect("enough");
        prop_assert!(found >= exact * 0.999_999 && found <= exact * 1.04, "{} {}", found, exact);
    }

    /// Nothing that is not known makes the delay shorter.
    #[test]
    fn censored_sample_never_lowers_the_percentile(
        times in prop::collection::vec(1_f64..1_000.0, 50..200), censored in 1_f64..1_000.0,
    ) {
        let answered = || times.iter().map(|time| (*time, Answered));
        let before = percentile_of(answered()).expect("enough");
        if let Some(after) = percentile_of(answered().chain([(censored, Censored)])) {
            prop_assert!(after >= before, "{} {}", after, before);
        }
    }
}
