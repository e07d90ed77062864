use std::time::Duration;

use crate::{
    call::{ConfigError, Label},
    timeout::{TimeLimit, Timeouts},
};

/// The time limits of a pipeline that is being built.
#[derive(Clone, Debug)]
pub(super) struct PipelineLimits {
    name: Label,
    pub(super) total: Option<Duration>,
    pub(super) attempt: Option<Duration>,
}

impl PipelineLimits {
    pub(super) fn new(name: Label) -> Self {
        PipelineLimits {
            name,
            total: None,
            attempt: None,
        }
    }

    /// Checks the limits, and returns that of the call and that of an attempt.
    pub(super) fn build(&self) -> Result<(Option<TimeLimit>, Option<TimeLimit>), ConfigError> {
        self.validate()?;
        Ok(self.limits())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let error = |field, time: Duration, expected: String| {
            let component = format!("pipeline {:?}", self.name);
            Err(ConfigError::new(
                component,
                field,
                format!("{time:?}"),
                expected,
            ))
        };
        match (self.total, self.attempt) {
            (Some(total), _) if total.is_zero() => {
                error("total_limit", total, "longer than zero".to_owned())
            }
            (_, Some(attempt)) if attempt.is_zero() => {
                error("attempt_limit", attempt, "longer than zero".to_owned())
            }
            (Some(total), Some(attempt)) if attempt > total => {
                let expected = format!("at most total_limit, {total:?}");
                error("attempt_limit", attempt, expected)
            }
            _ => Ok(()),
        }
    }

    fn limits(&self) -> (Option<TimeLimit>, Option<TimeLimit>) {
        let name = self.name.as_str();
        match (self.total, self.attempt) {
            (Some(total), Some(attempt)) => {
                let timeouts = Timeouts::builder(name.to_owned());
                let timeouts = timeouts.total(total).attempt(attempt).build();
                let timeouts = timeouts.expect("the limits have been validated");
                (Some(timeouts.total()), Some(timeouts.attempt()))
            }
            (total, attempt) => (
                total.map(|time| TimeLimit::new(format!("{name}.total"), time)),
                attempt.map(|time| TimeLimit::new(format!("{name}.attempt"), time)),
            ),
        }
    }
}
