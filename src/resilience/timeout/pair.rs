use std::time::Duration;

use super::TimeLimit;
use crate::call::{InvalidSetting, Name};

/// Long enough for a slow answer, short enough that three attempts fit into the total.
const ATTEMPT: Duration = Duration::from_secs(10);
/// What people and load balancers wait for.
const TOTAL: Duration = Duration::from_secs(30);

/// The two time limits of calls that are tried again: for each attempt, and for all of them together.
///
/// ```
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keep::{retry::{Retry, RetryLayer}, timeout::{TimeoutLayer, Timeouts}};
///
/// let timeouts = Timeouts::builder("payments").attempt(Duration::from_secs(2)).build()?;
/// let layers = ServiceBuilder::new()
///     .layer(TimeoutLayer::client(timeouts.total()))
///     .layer(RetryLayer::client(Retry::named("payments")))
///     .layer(TimeoutLayer::client(timeouts.attempt()));
/// # let _ = layers;
///
/// let error = Timeouts::builder("payments").attempt(Duration::from_secs(60)).build().unwrap_err();
/// assert_eq!(error.to_string(), r#"timeouts "payments": attempt is 60s, must be above 0 and at most total, 30s"#);
/// # Ok::<_, tower_keep::InvalidSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Timeouts {
    attempt: TimeLimit,
    total: TimeLimit,
}

impl Timeouts {
    /// 10 s for an attempt, 30 s in all, to begin with.
    pub fn builder(name: impl Into<Name>) -> TimeoutsBuilder {
        TimeoutsBuilder {
            name: name.into(),
            attempt: ATTEMPT,
            total: TOTAL,
        }
    }

    /// For one attempt: goes inside of what retries. Its name is that of the pair and `.attempt`.
    pub fn attempt(&self) -> TimeLimit {
        self.attempt.clone()
    }

    /// For all attempts and the waits between them: goes outside of what retries. Its name is that of the pair and
    /// `.total`.
    pub fn total(&self) -> TimeLimit {
        self.total.clone()
    }
}

/// Settings of [`Timeouts`].
#[derive(Clone, Debug)]
pub struct TimeoutsBuilder {
    name: Name,
    attempt: Duration,
    total: Duration,
}

impl TimeoutsBuilder {
    /// For one attempt. Must be above zero and at most the total. Default: 10 s.
    #[must_use]
    pub fn attempt(mut self, time: Duration) -> Self {
        self.attempt = time;
        self
    }

    /// For all attempts together. Must be above zero. Default: 30 s.
    #[must_use]
    pub fn total(mut self, time: Duration) -> Self {
        self.total = time;
        self
    }

    /// Makes them.
    ///
    /// # Errors
    ///
    /// [`InvalidSetting`] names the limit that makes no sense.
    pub fn build(self) -> Result<Timeouts, InvalidSetting> {
        let (attempt, total) = (self.attempt, self.total);
        let wrong = |field, got: Duration, must: String| {
            let owner = format!("timeouts {:?}", self.name);
            Err(InvalidSetting::new(owner, field, format!("{got:?}"), must))
        };
        if total.is_zero() {
            return wrong("total", total, "above 0".to_owned());
        }
        if attempt.is_zero() || attempt > total {
            let must = format!("above 0 and at most total, {total:?}");
            return wrong("attempt", attempt, must);
        }
        // Bounded by the total, which may not be exceeded later either.
        let attempt_name = format!("{}.attempt", self.name);
        Ok(Timeouts {
            attempt: TimeLimit::within(attempt_name, attempt, Duration::ZERO, total),
            total: TimeLimit::new(format!("{}.total", self.name), total),
        })
    }
}
