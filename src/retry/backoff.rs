//! The wait before each retry. Pure: no clock, and the seed of the jitter comes from outside.

use std::time::Duration;

use super::{Delays, Jitter, delays::random_seed};
use crate::{call::ConfigError, util::duration::from_nanos};

/// Some round trips within a region: a peer that restarts a connection is back after that.
pub(super) const DEFAULT_FIRST: Duration = Duration::from_millis(50);
/// The multiplier that is usual: the load halves with each retry.
pub(super) const DEFAULT_FACTOR: f64 = 2.0;
/// The longest wait that a user still connects with the call.
const DEFAULT_MAX: Duration = Duration::from_secs(1);
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

    pub(super) fn max_delay(&self) -> Duration {
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
        Delays::new(*self, seed)
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

#[cfg(test)]
#[path = "backoff_tests.rs"]
mod tests;
