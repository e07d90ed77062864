use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::*;
use crate::retry::delays::next_seed;

#[test]
fn linear_backoff_rises_by_step_up_to_max() {
    let millis = Duration::from_millis;
    let line = Backoff::linear(millis(100), millis(300)).jitter(Jitter::None);
    let delays: Vec<_> = line.delays().take(5).collect();
    assert_eq!(delays, [100, 400, 700, 1000, 1000].map(millis));
    let constant = Backoff::constant(millis(70));
    assert!(constant.delays().take(9).all(|delay| delay == millis(70)));
}

#[test]
fn reset_starts_over_with_the_first_delay() {
    let backoff = Backoff::default().jitter(Jitter::None);
    let mut delays = backoff.delays();
    assert_eq!(delays.nth(3), Some(Duration::from_millis(400)));
    delays.reset();
    assert_eq!(delays.next(), Some(Duration::from_millis(50)));
}

#[test]
fn max_defaults_to_a_long_first_delay() {
    let seconds = Duration::from_secs;
    for backoff in [
        Backoff::exponential(seconds(2)),
        Backoff::linear(seconds(2), seconds(1)),
    ] {
        assert!(backoff.validate("retry").is_ok());
        let delays = backoff.jitter(Jitter::None).delays().take(3);
        assert!(delays.eq([seconds(2); 3]));
    }
    let too_short = Backoff::exponential(seconds(2)).max(seconds(1));
    assert_eq!(too_short.validate("retry").unwrap_err().field(), "max");
}

#[test]
fn factor_makes_constant_backoff_exponential() {
    let millis = Duration::from_millis;
    let growing = Backoff::constant(millis(70)).factor(10.0);
    assert!(growing.delays().take(3).eq([70, 700, 1000].map(millis)));
}

#[test]
fn invalid_settings_are_named() {
    let field = |backoff: Backoff| backoff.validate("retry").unwrap_err().to_string();
    let shrinking = Backoff::default().factor(0.5);
    assert_eq!(
        field(shrinking),
        "retry, backoff: factor is 0.5, must be at least 1, and finite"
    );
    let capped = Backoff::default().max(Duration::from_millis(1));
    assert_eq!(
        field(capped),
        "retry, backoff: max is 1ms, must be at least the first delay, 50ms"
    );
    assert!(Backoff::default().validate("retry").is_ok());
}

/// Full jitter of two thousand pairs of neighboring calls: their correlation is that of chance.
#[test]
fn jitter_of_neighboring_calls_is_uncorrelated() {
    let backoff = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Full);
    let seeds = AtomicU64::new(1);
    let draw = || {
        let delays = backoff.delays_with_seed(next_seed(&seeds)).take(4);
        delays.map(|d| d.as_secs_f64() - 0.5).collect::<Vec<_>>()
    };
    let (mut together, mut count) = (0.0, 0.0);
    for _ in 0..2_000 {
        for (a, b) in draw().into_iter().zip(draw()) {
            together += a * b * 12.0; // the variance of a uniform number is a twelfth
            count += 1.0;
        }
    }
    let correlation: f64 = together / count;
    assert!(correlation.abs() < 0.05, "{correlation}");
}

#[test]
fn full_jitter_is_uniform() {
    let backoff = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Full);
    let seeds = AtomicU64::new(3);
    let mut tenths = [0; 10];
    for _ in 0..10_000 {
        let mut delays = backoff.delays_with_seed(next_seed(&seeds));
        let delay = delays.next().expect("infinite");
        tenths[(delay.as_secs_f64() * 10.0).min(9.0) as usize] += 1;
    }
    assert!(
        tenths.iter().all(|n| (850..1_150).contains(n)),
        "{tenths:?}"
    );
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..100_000).prop_map(Duration::from_millis),
        (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(s, n)| Duration::new(s, n)),
        Just(Duration::ZERO),
        Just(Duration::MAX),
    ]
}

fn any_backoff() -> impl Strategy<Value = Backoff> {
    let curve = prop_oneof![
        Just(Curve::Constant),
        any_duration().prop_map(|step| Curve::Linear { step }),
        (1.01_f64..50.0).prop_map(|factor| Curve::Exponential { factor }),
        Just(Curve::Exponential { factor: 1.0 }),
    ];
    (curve, any_duration(), any_duration())
        .prop_map(|(curve, a, b)| Backoff::new(curve, a.min(b), Jitter::None).max(a.max(b)))
}

proptest! {
    #[test]
    fn delays_never_fall_and_never_exceed_max(backoff in any_backoff(), retry: u32) {
        let delay = backoff.delay(retry);
        prop_assert!(delay <= backoff.max_delay());
        prop_assert!(delay <= backoff.delay(retry.saturating_add(1)));
        prop_assert!(backoff.delay(0) <= delay);
    }

    #[test]
    fn jitter_stays_within_its_bounds(backoff in any_backoff(), seed: u64, count in 1_usize..40) {
        let drawn = |jitter| {
            let mut delays = backoff.jitter(jitter).delays_with_seed(seed);
            (0..count).map(|_| delays.next().unwrap()).collect::<Vec<_>>()
        };
        let plain = drawn(Jitter::None);
        for (delay, full) in plain.iter().zip(drawn(Jitter::Full)) {
            prop_assert!(full <= *delay);
        }
        for (delay, equal) in plain.iter().zip(drawn(Jitter::Equal)) {
            prop_assert!(*delay / 2 <= equal && equal <= *delay);
        }
        let mut last = backoff.first;
        for delay in drawn(Jitter::Decorrelated) {
            prop_assert!(backoff.first <= delay && delay <= backoff.max_delay());
            prop_assert!(delay <= last.saturating_mul(3));
            last = delay;
        }
    }

    #[test]
    fn backoff_never_panics(
        first in any_duration(), max in any_duration(), step in any_duration(),
        factor: f64, seed: u64, retry: u32,
    ) {
        let line = Backoff::linear(first, step).max(max);
        for backoff in [line, line.factor(factor), Backoff::constant(first).max(max)] {
            let _ = (backoff.delay(retry), backoff.validate("any"));
            for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
                let mut delays = backoff.jitter(jitter).delays_with_seed(seed);
                delays.retry = retry;
                let drawn = (delays.next(), delays.next());
                prop_assert!(drawn.0 <= Some(max) && drawn.1 <= Some(max));
            }
        }
    }

    #[test]
    fn seed_makes_jitter_repeatable_and_calls_differ(seed: u64) {
        let draw = |seeds: &AtomicU64| -> Vec<_> {
            Backoff::default().delays_with_seed(next_seed(seeds)).take(5).collect()
        };
        let (seeds, same) = (AtomicU64::new(seed), AtomicU64::new(seed));
        let (first, second) = (draw(&seeds), draw(&seeds));
        prop_assert_eq!(&first, &draw(&same));
        prop_assert_ne!(first, second);
    }
}
