use std::time::Duration;

use super::peer::{MAX_TIME, exponential};
use crate::call::ConfigError;

const MAX_RATE: f64 = 1_000_000.0;
const MAX_USERS: u32 = 100_000;
/// A user that calls again at once where calls are rejected at once would call forever at the same time.
const MIN_THINK: Duration = Duration::from_millis(1);

/// The calls that come.
///
/// | arrivals | come | as |
/// |---|---|---|
/// | [`open`](Self::open) | whatever becomes of the calls before | people on the internet, events |
/// | [`closed`](Self::closed) | after the call before has ended, and a while | a fixed number of workers, most load tests: they call less when the peer is slow, and hide an overload |
///
/// ```
/// use std::time::Duration;
/// use tower_keep::testing::simulator::Arrivals;
///
/// // About as many: 200 users that call once a second, as long as calls take next to no time.
/// let (open, closed) = (Arrivals::open(200.0), Arrivals::closed(200, Duration::from_secs(1)));
/// assert_ne!(open, closed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Arrivals(pub(super) Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Open { per_second: f64 },
    Closed { users: u32, think: Duration },
}

impl Arrivals {
    /// Creates calls at random times, by a Poisson process: so many a second on average, 0 to 1,000,000.
    pub fn open(per_second: f64) -> Self {
        Arrivals(Kind::Open { per_second })
    }

    /// Creates users, 1 to 100,000, each of which calls, waits for the end of the call, and thinks for this time on average, by an
    /// exponential distribution: 1 ms to 1 h.
    pub fn closed(users: u32, think: Duration) -> Self {
        Arrivals(Kind::Closed { users, think })
    }

    /// Draws the time until the next call: of all, or of a user. None comes at a rate of 0.
    pub(super) fn draw_gap(&self, random: &mut fastrand::Rng) -> Option<Duration> {
        let mean = match self.0 {
            Kind::Open { per_second: 0.0 } => return None,
            Kind::Open { per_second } => per_second.recip(),
            Kind::Closed { think, .. } => think.as_secs_f64(),
        };
        // Longer than a simulation may last, at a very low rate.
        Some(Duration::try_from_secs_f64(mean * exponential(random)).unwrap_or(Duration::MAX))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let error = |field, value: String, expected| {
            Err(ConfigError::new(
                "simulated arrivals",
                field,
                value,
                expected,
            ))
        };
        match self.0 {
            Kind::Open { per_second } if !(0.0..=MAX_RATE).contains(&per_second) => {
                error("per_second", per_second.to_string(), "0 to 1000000")
            }
            Kind::Closed { users, .. } if !(1..=MAX_USERS).contains(&users) => {
                error("users", users.to_string(), "1 to 100000")
            }
            Kind::Closed { think, .. } if !(MIN_THINK..=MAX_TIME).contains(&think) => {
                error("think", format!("{think:?}"), "1 ms to 1 h")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_that_are_invalid_are_named() {
        let millis = Duration::from_millis;
        for (field, arrivals) in [
            ("per_second", Arrivals::open(-1.0)),
            ("per_second", Arrivals::open(f64::NAN)),
            ("users", Arrivals::closed(0, millis(1))),
            ("users", Arrivals::closed(MAX_USERS + 1, millis(1))),
            ("think", Arrivals::closed(1, Duration::ZERO)),
            ("think", Arrivals::closed(1, MAX_TIME + millis(1))),
        ] {
            let error = arrivals.check().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        assert_eq!(Arrivals::closed(1, millis(1)).check(), Ok(()));
    }

    #[test]
    fn gaps_have_the_mean_of_the_rate() {
        let mut random = fastrand::Rng::with_seed(7);
        let arrivals = Arrivals::open(50.0);
        let gaps = (0..20_000).filter_map(|_| arrivals.draw_gap(&mut random));
        let mean = gaps.sum::<Duration>().as_secs_f64() / 20_000.0;
        assert!((mean - 0.02).abs() < 0.000_6, "{mean}");
        assert_eq!(Arrivals::open(0.0).draw_gap(&mut random), None);
        let rare = Arrivals::open(f64::MIN_POSITIVE).draw_gap(&mut random);
        assert_eq!(rare, Some(Duration::MAX));
    }
}
