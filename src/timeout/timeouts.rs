use super::{TimeLimit, TimeoutsBuilder};
use crate::call::Label;

/// The two time limits of calls that are retried: for each attempt, and for all attempts together.
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
    pub(super) attempt: TimeLimit,
    pub(super) total: TimeLimit,
}

impl Timeouts {
    /// Creates limits with the defaults: 10 s for an attempt, 30 s in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::Timeouts;
    ///
    /// let timeouts = Timeouts::new("payments");
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(10));
    /// ```
    pub fn new(name: impl Into<Label>) -> Self {
        let defaults = Timeouts::builder(name).build();
        defaults.expect("default timeouts are valid")
    }

    /// Returns a builder with the defaults: 10 s for an attempt, 30 s in total.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::Timeouts;
    ///
    /// let timeouts = Timeouts::builder("payments").total(Duration::from_secs(5)).build()?;
    /// assert_eq!(timeouts.attempt().get(), Duration::from_secs(5));
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn builder(name: impl Into<Label>) -> TimeoutsBuilder {
        TimeoutsBuilder::new(name.into())
    }

    /// Returns the limit of one attempt, for a layer inside of the retry. Its name is that of the timeouts and `.attempt`.
    ///
    /// Never exceeds the total, even if that is lowered later.
    pub fn attempt(&self) -> TimeLimit {
        self.attempt.clone()
    }

    /// Returns the limit of all attempts and the waits between them, for a layer outside of the retry. Its name is that of
    /// the timeouts and `.total`.
    pub fn total(&self) -> TimeLimit {
        self.total.clone()
    }
}
