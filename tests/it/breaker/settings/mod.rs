//! Settings as values: in a builder, applied to what is live, and in a file.

mod builder;
mod events;
#[cfg(feature = "serde")]
mod file;
mod keyed;
mod live;
mod registry;

use std::time::Duration;

use proptest::prelude::*;
use tower_keep::{CircuitBreaker, Outcome, breaker::BreakerSettings};

fn fail(breaker: &CircuitBreaker) {
    complete(breaker, Outcome::Failure);
}

fn complete(breaker: &CircuitBreaker, outcome: Outcome) {
    breaker.try_acquire().expect("admitted").complete(outcome);
}

/// The default settings, but for these.
fn with(change: impl FnOnce(&mut BreakerSettings)) -> BreakerSettings {
    let mut settings = BreakerSettings::default();
    change(&mut settings);
    settings
}

/// Opens at the first failure.
fn one_in_a_row() -> BreakerSettings {
    with(|settings| settings.consecutive_failures = Some(1))
}

type Change = fn(&mut BreakerSettings);

/// A change of each field, which is invalid, and what the error says.
fn invalid() -> Vec<(Change, &'static str)> {
    vec![
        (
            |s| s.time_window = Duration::ZERO,
            "time_window is 0ns in 10 buckets, must be at least a millisecond for each bucket",
        ),
        (
            |s| s.time_window_buckets = 0,
            "time_window is in 0 buckets, must be in 1 to 1000 buckets",
        ),
        (
            |s| s.time_window_buckets = 1_001,
            "time_window is in 1001 buckets, must be in 1 to 1000 buckets",
        ),
        (
            |s| s.count_window = Some(0),
            "count_window is 0, must be 1 to 10000",
        ),
        (
            |s| s.count_window = Some(10_001),
            "count_window is 10001, must be 1 to 10000",
        ),
        (
            |s| s.min_calls = Some(0),
            "min_calls is 0, must be 1 to 4294967295, which is all that the window holds",
        ),
        (
            |s| (s.count_window, s.min_calls) = (Some(5), Some(6)),
            "min_calls is 6, must be 1 to 5, which is all that the window holds",
        ),
        (
            |s| s.failure_rate = Some(50.0),
            "failure_rate is 50, must be above 0 and at most 1 (a fraction; did you mean 0.5?)",
        ),
        (
            |s| s.failure_rate = Some(f64::NAN),
            "failure_rate is NaN, must be above 0 and at most 1 (a fraction)",
        ),
        (
            |s| s.consecutive_failures = Some(0),
            "consecutive_failures is 0, must be at least 1",
        ),
        (
            |s| s.slow_call = Some(Duration::ZERO),
            "slow_call is 0s, must be above zero",
        ),
        (
            |s| s.slow_rate = Some(0.5),
            "slow_call is not set, must be set, or slow_rate has no effect",
        ),
        (
            |s| (s.slow_call, s.slow_rate) = (Some(Duration::MAX), Some(0.0)),
            "slow_rate is 0, must be above 0 and at most 1 (a fraction)",
        ),
        (
            |s| s.open_time = Duration::ZERO,
            "open_time is 0s, must be above zero",
        ),
        (
            |s| s.open_backoff = 0.5,
            "open_backoff is 0.5, must be at least 1",
        ),
        (
            |s| s.open_backoff = f64::INFINITY,
            "open_backoff is inf, must be at least 1",
        ),
        (
            |s| s.max_open_time = Some(Duration::from_secs(1)),
            "max_open_time is 1s, must be at least open_time, 5s",
        ),
        (
            |s| s.open_jitter = -0.1,
            "open_jitter is -0.1, must be 0 to 1 (a fraction)",
        ),
        (|s| s.probes = 0, "probes is 0, must be 1 to 1000"),
        (|s| s.probes = 1_001, "probes is 1001, must be 1 to 1000"),
        (
            |s| s.probe_success_ratio = 1.5,
            "probe_success_ratio is 1.5, must be above 0 and at most 1 (a fraction; did you mean 0.015?)",
        ),
        (
            |s| s.probe_timeout = Duration::ZERO,
            "probe_timeout is 0s, must be above zero",
        ),
        (
            |s| s.open_on_retry_after = Some(Duration::ZERO),
            "open_on_retry_after is 0s, must be above zero",
        ),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1_u64..100_000).prop_map(Duration::from_millis),
        (1_u64..=u64::from(u32::MAX)).prop_map(Duration::from_secs),
        (1_u64..1_000_000_000_000).prop_map(Duration::from_nanos),
    ]
}

fn fraction() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), Just(0.1), 1e-9..=1.0]
}

prop_compose! {
    /// Valid settings.
    fn settings()(
        (time_window, time_window_buckets) in (duration(), 1_usize..=1_000),
        count_window in prop::option::of(1_usize..=10_000),
        min_calls in prop::option::of(1_u32..1_000),
        (failure_rate, slow_rate) in (prop::option::of(fraction()), prop::option::of(fraction())),
        consecutive_failures in prop::option::of(1_u32..),
        slow_call in prop::option::of(duration()),
        (open_time, longer) in (duration(), prop::option::of(duration())),
        (open_backoff, open_jitter) in (1.0..1e12_f64, 0.0..=1.0_f64),
        (probes, probe_success_ratio, probe_timeout) in (1_u32..=1_000, fraction(), duration()),
        (shadow, open_on_retry_after) in (any::<bool>(), prop::option::of(duration())),
    ) -> BreakerSettings {
        with(|s| {
            s.time_window = time_window.max(Duration::from_millis(time_window_buckets as u64));
            s.time_window_buckets = time_window_buckets;
            s.count_window = count_window;
            s.min_calls = min_calls.map(|calls| calls.min(count_window.map_or(calls, |all| all as u32)));
            s.failure_rate = failure_rate;
            s.consecutive_failures = consecutive_failures;
            s.slow_call = slow_call;
            s.slow_rate = slow_rate.filter(|_| slow_call.is_some());
            s.open_time = open_time;
            s.max_open_time = longer.map(|longer| open_time + longer);
            s.open_backoff = open_backoff;
            s.open_jitter = open_jitter;
            s.probes = probes;
            s.probe_success_ratio = probe_success_ratio;
            s.probe_timeout = probe_timeout;
            s.shadow = shadow;
            s.open_on_retry_after = open_on_retry_after;
        })
    }
}
