//! The wait before each retry. Pure: no clock, and the seed of the jitter comes from outside.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fastrand::Rng;

use super::Jitter;
use crate::call::ConfigError;

/// Some round trips within a region: a peer that restarts a connection is back after that.
pub(super) const DEFAULT_FIRST: Duration = Duration::from_millis(50);
/// The multiplier that is usual: the load halves with each retry.
pub(super) const DEFAULT_FACTOR: f64 = 2.0;
/// The longest wait that a user still connects with the call.
const DEFAULT_MAX: Duration = Duration::from_secs(1);
/// Step of the Weyl sequence of seeds, as in SplitMix64: 2^64 divided by the golden ratio.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The delay before each retry: a curve with a maximum, then jitter.
///
/// ```
/// use std::time::Duration;
/// use tower_keep::retry::{Backoff, Jitter};
///
/// let backoff = Backoff::exponential(Duration::from_millis(100)).jitter(Jitter::None);
/// let delays: Vec<_> = backoff.delays().take(5).map(|delay| delay.as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
/// ```
///
/// Arithmetic saturates: a delay that would overflow is the maximum.
///
/// In a file (feature `serde`) it is a table:
///
/// | setting | value | default |
/// |---|---|---|
/// | `kind` | `"constant"`, `"linear"`, `"exponential"` | `"exponential"` |
/// | `first` | the first delay | `"50ms"` |
/// | `step` | of `"linear"` only: what each delay adds to the one before | none, it must be said |
/// | `factor` | of `"exponential"` only: what each delay multiplies the one before by; finite, and at least 1 | 2 |
/// | `max` | the longest delay; at least the first | `"1s"`, or the first delay if that is longer; a constant delay itself |
/// | `jitter` | `"none"`, `"full"`, `"equal"`, `"decorrelated"` | `"full"`, or `"none"` for a constant delay |
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(
        into = "super::serde_forms::BackoffForm",
        try_from = "super::serde_forms::BackoffForm"
    )
)]
pub struct Backoff {
    pub(super) curve: Curve,
    pub(super) first: Duration,
    /// Depends on the curve unless it is set.
    pub(super) max: Option<Duration>,
    pub(super) jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Curve {
    Constant,
    Linear { step: Duration },
    Exponential { factor: f64 },
}

impl Backoff {
    const fn new(curve: Curve, first: Duration, jitter: Jitter) -> Self {
        Backoff {
            curve,
            first,
            max: None,
            jitter,
        }
    }

    /// Waits equally long each time, without jitter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::Backoff;
    ///
    /// let backoff = Backoff::constant(Duration::from_millis(70));
    /// assert_eq!(backoff.delay(9), Duration::from_millis(70));
    /// ```
    pub const fn constant(delay: Duration) -> Self {
        Backoff::new(Curve::Constant, delay, Jitter::None)
    }

    /// Adds `step` to each delay to get the next one: at most 1 s, or the first delay if that is longer; full jitter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::Backoff;
    ///
    /// let millis = Duration::from_millis;
    /// assert_eq!(Backoff::linear(millis(100), millis(50)).delay(2), millis(200));
    /// ```
    pub const fn linear(first: Duration, step: Duration) -> Self {
        Backoff::new(Curve::Linear { step }, first, Jitter::Full)
    }

    /// Doubles each delay to get the next one: at most 1 s, or the first delay if that is longer; full jitter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::Backoff;
    ///
    /// let millis = Duration::from_millis;
    /// assert_eq!(Backoff::exponential(millis(100)).delay(2), millis(400));
    /// ```
    pub const fn exponential(first: Duration) -> Self {
        let curve = Curve::Exponential {
            factor: DEFAULT_FACTOR,
        };
        Backoff::new(curve, first, Jitter::Full)
    }

    /// Multiplies each delay by this to get the next one; makes any curve exponential.
    ///
    /// Must be finite and at least 1. Default: 2.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.curve = Curve::Exponential { factor };
        self
    }

    /// Sets the longest delay, jitter included.
    ///
    /// Must not be shorter than the first delay. Default: 1 s, or the first delay if that is longer; a constant delay
    /// itself.
    #[must_use]
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = Some(max);
        self
    }

    /// Sets the jitter. Default: [`Full`](Jitter::Full), or none for a constant delay.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Returns the delay before a retry, without jitter. The first retry is 0.
    pub fn delay(&self, retry: u32) -> Duration {
        let delay = match self.curve {
            Curve::Constant => self.first,
            Curve::Linear { step } => self.first.saturating_add(step.saturating_mul(retry)),
            Curve::Exponential { factor } => self.exponential_delay(factor, retry),
        };
        delay.min(self.max_delay())
    }

    fn exponential_delay(&self, factor: f64, retry: u32) -> Duration {
        let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
        let nanos = self.first.as_nanos() as f64 * factor.powi(exponent);
        if self.first.is_zero() {
            Duration::ZERO // not 0 times infinity, which is NaN
        } else if nanos < self.max_delay().as_nanos() as f64 {
            from_nanos(nanos as u128)
        } else {
            self.max_delay() // infinity and NaN, too
        }
    }

    fn max_delay(&self) -> Duration {
        match (self.max, self.curve) {
            (Some(max), _) => max,
            // May be longer than the default maximum.
            (None, Curve::Constant) => self.first,
            (None, _) => self.first.max(DEFAULT_MAX),
        }
    }

    /// Returns the delays of one call, with random jitter.
    pub fn delays(&self) -> Delays {
        self.delays_with_seed(random_seed())
    }

    /// Returns the delays of one call. The same seed gives the same jitter.
    ///
    /// ```
    /// use tower_keep::retry::Backoff;
    ///
    /// let delays = |seed| Backoff::default().delays_with_seed(seed).take(3).collect::<Vec<_>>();
    /// assert_eq!(delays(7), delays(7));
    /// assert_ne!(delays(7), delays(8));
    /// ```
    pub fn delays_with_seed(&self, seed: u64) -> Delays {
        Delays {
            backoff: *self,
            rng: Rng::with_seed(seed),
            retry: 0,
            previous: self.first,
        }
    }

    pub(super) fn validate(&self, component: &str) -> Result<(), ConfigError> {
        let component = format!("{component}, backoff");
        if let Curve::Exponential { factor } = self.curve
            && !(factor.is_finite() && factor >= 1.0)
        {
            let expected = "at least 1, and finite";
            return Err(ConfigError::new(component, "factor", factor, expected));
        }
        if self.max_delay() < self.first {
            let expected = format!("at least the first delay, {:?}", self.first);
            let value = format!("{:?}", self.max_delay());
            return Err(ConfigError::new(component, "max", value, expected));
        }
        Ok(())
    }
}

/// 50 ms, doubled up to 1 s, full jitter.
impl Default for Backoff {
    fn default() -> Self {
        Backoff::exponential(DEFAULT_FIRST)
    }
}

/// The delays of one call, an infinite iterator. Not `Clone`, so that no two calls share their jitter.
#[derive(Debug)]
pub struct Delays {
    backoff: Backoff,
    rng: Rng,
    /// The index of the next retry.
    retry: u32,
    previous: Duration,
}

impl Delays {
    /// Starts over with the first delay; the jitter does not repeat.
    pub fn reset(&mut self) {
        self.retry = 0;
        self.previous = self.backoff.first;
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let (first, max) = (self.backoff.first, self.backoff.max_delay());
        let delay = self.backoff.delay(self.retry);
        self.retry = self.retry.saturating_add(1);
        match self.backoff.jitter {
            Jitter::None => delay,
            Jitter::Full => self.random_between(Duration::ZERO, delay),
            Jitter::Equal => self.random_between(delay / 2, delay),
            Jitter::Decorrelated => {
                // As in AWS' article on backoff: between the first delay and three times the one before.
                let high = self.previous.saturating_mul(3);
                self.previous = self.random_between(first, high.max(first)).min(max);
                self.previous
            }
        }
    }

    /// Returns the jitter to add to a delay that the peer asked for.
    pub(super) fn next_jitter(&mut self) -> Duration {
        match self.backoff.jitter {
            Jitter::None => Duration::ZERO,
            _ => self.random_between(Duration::ZERO, self.backoff.delay(0)),
        }
    }

    fn random_between(&mut self, low: Duration, high: Duration) -> Duration {
        from_nanos(self.rng.u128(low.as_nanos()..=high.as_nanos()))
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.next_delay())
    }
}

/// Returns a seed from the operating system, as the standard library's hash keys are.
pub(super) fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Returns the seed for the jitter of one call, and advances the sequence: no two calls get the same.
pub(super) fn next_seed(sequence: &AtomicU64) -> u64 {
    // The generator steps by addition, too: without mixing, neighboring seeds would give correlated jitter.
    splitmix64(sequence.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed))
}

/// Mixes a number as SplitMix64 does. Different numbers stay different.
fn splitmix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Converts nanoseconds, of which there are at most those of `Duration::MAX`.
fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
}
