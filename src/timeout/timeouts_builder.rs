use std::time::Duration;

use super::{TimeLimit, Timeouts};
use crate::call::{ConfigError, Label};

/// Long enough for a slow response, short enough that three attempts fit into the total.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);
/// The time that people and load balancers wait for.
const DEFAULT_TOTAL: Duration = Duration::from_secs(30);

/// Builder of [`Timeouts`]; made by [`Timeouts::builder`].
#[derive(Clone, Debug)]
pub struct TimeoutsBuilder {
    name: Label,
    /// The limit of one attempt. None for the default, which depends on the total.
    attempt: Option<Duration>,
    total: Duration,
}

impl TimeoutsBuilder {
    pub(super) fn new(name: Label) -> Self {
        TimeoutsBuilder {
            name,
            attempt: None,
            total: DEFAULT_TOTAL,
        }
    }

    /// Sets the limit of one attempt. Must be above zero and at most the total. Default: 10 s, or the total if that is
    /// shorter, so that three attempts fit into the default total.
    #[must_use]
    pub fn attempt(mut self, time: Duration) -> Self {
        self.attempt = Some(time);
        self
    }

    /// Sets the limit of all attempts together. Must be above zero. Default: 30 s, which people and load balancers wait for.
    #[must_use]
    pub fn total(mut self, time: Duration) -> Self {
        self.total = time;
        self
    }

    /// Builds the limits.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the invalid limit.
    pub fn build(self) -> Result<Timeouts, ConfigError> {
        let total = self.total;
        let attempt = self.attempt.unwrap_or(DEFAULT_ATTEMPT.min(total));
        let error = |field, time: Duration, expected: String| {
            let component = format!("timeouts {:?}", self.name);
            Err(ConfigError::new(
                component,
                field,
                format!("{time:?}"),
                expected,
            ))
        };
        // The total first, since the attempt is compared with it.
        if total.is_zero() {
            return error("total", total, "above 0".to_owned());
        }
        if attempt.is_zero() || attempt > total {
            let expected = format!("above 0 and at most total, {total:?}");
            return error("attempt", attempt, expected);
        }
        let total = TimeLimit::new(format!("{}.total", self.name), total);
        Ok(Timeouts {
            attempt: TimeLimit::capped_by(format!("{}.attempt", self.name), attempt, &total),
            total,
        })
    }
}
