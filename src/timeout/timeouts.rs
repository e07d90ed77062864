use std::time::Duration;

use super::TimeLimit;
use crate::call::{ConfigError, Label};

/// Long enough for a slow answer, short enough that three attempts fit into the total.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);
/// What people and load balancers wait for.
const DEFAULT_TOTAL: Duration = Duration::from_secs(30);

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
///     .layer(RetryLayer::client(Retry::new("payments")))
///     .layer(TimeoutLayer::client(timeouts.attempt()));
/// # let _ = layers;
///
/// let error = Timeouts::builder("payments").attempt(Duration::from_secs(60)).build().unwrap_err();
/// assert_eq!(error.to_string(), r#"timeouts "payments": attempt is 60s, must be above 0 and at most total, 30s"#);
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Timeouts {
    attempt: TimeLimit,
    total: TimeLimit,
}

impl Timeouts {
    /// Returns settings to start from: 10 s for an attempt, 30 s in all.
    pub fn builder(name: impl Into<Label>) -> TimeoutsBuilder {
        TimeoutsBuilder {
            name: name.into(),
            attempt: None,
            total: DEFAULT_TOTAL,
        }
    }

    /// Returns the limit of one attempt: goes inside of what retries. Its name is that of the pair and `.attempt`.
    ///
    /// Never exceeds the total: a total that is lowered later lowers it for as long as it stays so.
    pub fn attempt(&self) -> TimeLimit {
        self.attempt.clone()
    }

    /// Returns the limit of all attempts and the waits between them: goes outside of what retries. Its name is that of the pair and
    /// `.total`.
    pub fn total(&self) -> TimeLimit {
        self.total.clone()
    }
}

/// Settings of [`Timeouts`].
#[derive(Clone, Debug)]
pub struct TimeoutsBuilder {
    name: Label,
    attempt: Option<Duration>,
    total: Duration,
}

impl TimeoutsBuilder {
    /// Sets the limit of one attempt. Must be above zero and at most the total. Default: 10 s, or the total if that is
    /// shorter.
    #[must_use]
    pub fn attempt(mut self, time: Duration) -> Self {
        self.attempt = Some(time);
        self
    }

    /// Sets the limit of all attempts together. Must be above zero. Default: 30 s.
    #[must_use]
    pub fn total(mut self, time: Duration) -> Self {
        self.total = time;
        self
    }

    /// Makes them.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the limit that makes no sense.
    pub fn build(self) -> Result<Timeouts, ConfigError> {
        let total = self.total;
        let attempt = self.attempt.unwrap_or(DEFAULT_ATTEMPT.min(total));
        let wrong = |field, got: Duration, must: String| {
            let owner = format!("timeouts {:?}", self.name);
            Err(ConfigError::new(owner, field, format!("{got:?}"), must))
        };
        if total.is_zero() {
            return wrong("total", total, "above 0".to_owned());
        }
        if attempt.is_zero() || attempt > total {
            let must = format!("above 0 and at most total, {total:?}");
            return wrong("attempt", attempt, must);
        }
        let total = TimeLimit::new(format!("{}.total", self.name), total);
        Ok(Timeouts {
            attempt: TimeLimit::capped_by(format!("{}.attempt", self.name), attempt, &total),
            total,
        })
    }
}
