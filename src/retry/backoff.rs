//! How long to wait before each retry. Pure: no clock, and chance comes from outside.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;

use crate::call::ConfigError;

/// Waits a user still connects with the call.
const DEFAULT_MAX: Duration = Duration::from_secs(1);
/// The step from one number of Weyl's sequence to the next: the golden ratio, as SplitMix64 takes it.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// How long to wait before each retry: a curve, a cap, and jitter after the cap.
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
/// Arithmetic saturates: what would overflow is the cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    curve: Curve,
    first: Duration,
    /// Goes by the curve unless it is set.
    max: Option<Duration>,
    jitter: Jitter,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Constant,
    Linear { step: Duration },
    Exponential { factor: f64 },
}

/// How chance spreads the delays, so that clients that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// The delay as it is. Clients that failed together come back together.
    None,
    /// Anything from nothing to the delay: spreads best.
    Full,
    /// Half of the delay, and anything up to the other half: never at once.
    Equal,
    /// Anything from the first delay to three times the previous one, up to the cap. A walk of its own: steps and
    /// factors count for nothing.
    Decorrelated,
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

    /// The same delay each time, without jitter.
    pub const fn constant(delay: Duration) -> Self {
        Backoff::new(Curve::Constant, delay, Jitter::None)
    }

    /// The first delay, and `step` more each time; at most 1 s, or the first delay if that is longer; full jitter.
    pub const fn linear(first: Duration, step: Duration) -> Self {
        Backoff::new(Curve::Linear { step }, first, Jitter::Full)
    }

    /// The first delay, and twice as long each time; at most 1 s, or the first delay if that is longer; full jitter.
    pub const fn exponential(first: Duration) -> Self {
        let curve = Curve::Exponential { factor: 2.0 };
        Backoff::new(curve, first, Jitter::Full)
    }

    /// Multiplies each delay by this to get the next one; makes the curve exponential, a constant one too.
    ///
    /// Must be at least 1. Default: 2.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.curve = Curve::Exponential { factor };
        self
    }

    /// The longest delay, jitter included.
    ///
    /// Must not be shorter than the first. Default: 1 s, or the first delay if that is longer; the delay itself where
    /// it is constant.
    #[must_use]
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = Some(max);
        self
    }

    fn max_delay(&self) -> Duration {
        match (self.max, self.curve) {
            (Some(max), _) => max,
            (None, Curve::Constant) => self.first,
            (None, _) => self.first.max(DEFAULT_MAX),
        }
    }

    /// How chance spreads the delays. Default: [`Full`](Jitter::Full), or none where the delay is constant.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The delay before the given retry, the first being 0, as it is without jitter.
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
            Duration::ZERO // not 0 times infinity, which is no number
        } else if nanos < self.max_delay().as_nanos() as f64 {
            from_nanos(nanos as u128)
        } else {
            self.max_delay() // infinity, and whatever is no number, too
        }
    }

    /// The delays of one call, spread by chance that no other call shares.
    pub fn delays(&self) -> Delays {
        self.delays_from(&JitterRng::default())
    }

    /// The delays of one call, with the next stream of this source.
    pub fn delays_from(&self, chance: &JitterRng) -> Delays {
        Delays {
            backoff: *self,
            rng: chance.next_stream(),
            retry: 0,
            previous: self.first,
        }
    }

    pub(super) fn validate(&self, owner: &str) -> Result<(), ConfigError> {
        let owner = format!("{owner}, backoff");
        if let Curve::Exponential { factor } = self.curve
            && !(factor.is_finite() && factor >= 1.0)
        {
            let must = "at least 1, and finite";
            return Err(ConfigError::new(owner, "factor", factor, must));
        }
        if self.max_delay() < self.first {
            let must = format!("at least the first delay, {:?}", self.first);
            let got = format!("{:?}", self.max_delay());
            return Err(ConfigError::new(owner, "max", got, must));
        }
        Ok(())
    }
}

/// 50 ms, doubled up to 1 s, full jitter.
impl Default for Backoff {
    fn default() -> Self {
        Backoff::exponential(Duration::from_millis(50))
    }
}

/// The delays of one call, without end. No `Clone`: two calls never share their chance.
#[derive(Debug)]
pub struct Delays {
    backoff: Backoff,
    rng: Rng,
    retry: u32,
    previous: Duration,
}

impl Delays {
    /// Begins at the first delay again; chance goes on where it was.
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
                let high = self.previous.saturating_mul(3);
                self.previous = self.random_between(first, high.max(first)).min(max);
                self.previous
            }
        }
    }

    /// Returns what is added to a delay that somebody else has set: chance, if any is wanted.
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

/// Where calls get their chance from: a numbered row of streams, of which each call takes the next.
///
/// # Clones
///
/// Clones take from the same row, so that no two calls ever see the same stream. Seeded by the operating system,
/// or by hand where something has to be repeatable.
///
/// ```
/// use tower_keep::retry::{Backoff, JitterRng};
///
/// let run = || {
///     let chance = JitterRng::from_seed(7);
///     [chance.clone(), chance].map(|chance| Backoff::default().delays_from(&chance).next())
/// };
/// assert_eq!(run(), run());
/// assert_ne!(run()[0], run()[1]);
/// ```
#[derive(Clone, Debug)]
pub struct JitterRng(Arc<AtomicU64>);

impl JitterRng {
    /// The same row of streams for the same seed.
    pub fn from_seed(seed: u64) -> Self {
        JitterRng(Arc::new(AtomicU64::new(seed)))
    }

    fn next_stream(&self) -> Rng {
        let number = self.0.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed);
        // The generator steps by adding, too: seeds have to be scattered, or neighbours walk in step.
        Rng::with_seed(splitmix64(number))
    }
}

impl Default for JitterRng {
    /// The standard library's hash keys come from the operating system.
    fn default() -> Self {
        JitterRng::from_seed(RandomState::new().hash_one(0))
    }
}

/// The finaliser of SplitMix64: one to one, so that different numbers stay different.
fn splitmix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// No more than `Duration::MAX` ever comes here.
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
    fn a_line_rises_by_its_step_up_to_its_cap() {
        let millis = Duration::from_millis;
        let line = Backoff::linear(millis(100), millis(300)).jitter(Jitter::None);
        let delays: Vec<_> = line.delays().take(5).collect();
        assert_eq!(delays, [100, 400, 700, 1000, 1000].map(millis));
        let constant = Backoff::constant(millis(70));
        assert!(constant.delays().take(9).all(|delay| delay == millis(70)));
    }

    #[test]
    fn a_restart_begins_at_the_first_delay() {
        let backoff = Backoff::default().jitter(Jitter::None);
        let mut delays = backoff.delays();
        assert_eq!(delays.nth(3), Some(Duration::from_millis(400)));
        delays.reset();
        assert_eq!(delays.next(), Some(Duration::from_millis(50)));
    }

    #[test]
    fn long_first_delay_is_the_longest_unless_that_is_set() {
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
    fn factor_makes_a_constant_delay_exponential() {
        let millis = Duration::from_millis;
        let growing = Backoff::constant(millis(70)).factor(10.0);
        assert!(growing.delays().take(3).eq([70, 700, 1000].map(millis)));
    }

    #[test]
    fn silly_settings_are_named() {
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

    /// Full jitter of two thousand pairs of neighbouring calls: their correlation is that of chance.
    #[test]
    fn the_jitter_of_two_clones_is_uncorrelated() {
        let backoff = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Full);
        let one = JitterRng::from_seed(1);
        let other = one.clone();
        let draw = |chance: &JitterRng| {
            let delays = backoff.delays_from(chance).take(4);
            delays.map(|d| d.as_secs_f64() - 0.5).collect::<Vec<_>>()
        };
        let (mut together, mut count) = (0.0, 0.0);
        for _ in 0..2_000 {
            for (a, b) in draw(&one).into_iter().zip(draw(&other)) {
                together += a * b * 12.0; // the variance of a uniform number is a twelfth
                count += 1.0;
            }
        }
        let correlation: f64 = together / count;
        assert!(correlation.abs() < 0.05, "{correlation}");
    }

    #[test]
    fn full_jitter_spreads_evenly() {
        let backoff = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Full);
        let chance = JitterRng::from_seed(3);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let delay = backoff.delays_from(&chance).next().expect("endless");
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
        fn delays_never_fall_and_never_pass_the_cap(backoff in any_backoff(), retry: u32) {
            let delay = backoff.delay(retry);
            prop_assert!(delay <= backoff.max_delay());
            prop_assert!(delay <= backoff.delay(retry.saturating_add(1)));
            prop_assert!(backoff.delay(0) <= delay);
        }

        #[test]
        fn jitter_keeps_its_bounds(backoff in any_backoff(), seed: u64, count in 1_usize..40) {
            let chance = JitterRng::from_seed(seed);
            let drawn = |jitter| {
                let mut delays = backoff.jitter(jitter).delays_from(&chance);
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
        fn no_setting_makes_it_panic(
            first in any_duration(), max in any_duration(), step in any_duration(),
            factor: f64, seed: u64, retry: u32,
        ) {
            let line = Backoff::linear(first, step).max(max);
            for backoff in [line, line.factor(factor), Backoff::constant(first).max(max)] {
                let _ = (backoff.delay(retry), backoff.validate("any"));
                for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
                    let mut delays = backoff.jitter(jitter).delays_from(&JitterRng::from_seed(seed));
                    delays.retry = retry;
                    let drawn = (delays.next(), delays.next());
                    prop_assert!(drawn.0 <= Some(max) && drawn.1 <= Some(max));
                }
            }
        }

        #[test]
        fn a_seed_repeats_itself_and_no_two_calls_share_a_stream(seed: u64) {
            let draw = |chance: &JitterRng| -> Vec<_> { Backoff::default().delays_from(chance).take(5).collect() };
            let (one, again) = (JitterRng::from_seed(seed), JitterRng::from_seed(seed));
            let (first, second) = (draw(&one), draw(&one.clone()));
            prop_assert_eq!(&first, &draw(&again));
            prop_assert_ne!(first, second);
        }
    }
}
