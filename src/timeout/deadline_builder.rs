use std::{sync::Arc, time::Duration};

use http::HeaderName;

use super::{Deadline, TimeLimit, deadline_config::DeadlineConfig};
use crate::call::{ConfigError, Label};

/// Builder of a [`Deadline`]; made by [`Deadline::builder`].
#[derive(Clone, Debug)]
pub struct DeadlineBuilder {
    name: Label,
    max: Duration,
    timeout_header: Option<HeaderName>,
}

impl DeadlineBuilder {
    pub(super) fn new(name: Label) -> Self {
        DeadlineBuilder {
            name,
            max: Duration::MAX,
            timeout_header: None,
        }
    }

    /// Sets the longest deadline of a call, counted from its admission; it also applies to callers that send none. Must be
    /// greater than zero.
    ///
    /// The guard rejects calls that come too late and stores the deadline; it ends no call that has begun. Time limits inside
    /// of it end calls at the deadline, bodies and event streams included: add a
    /// [`TimeoutLayer::server`](super::TimeoutLayer::server), as in the example of [`Deadline`]. Default: unlimited, since a
    /// deadline is only what the caller has asked for.
    #[must_use]
    pub fn max(mut self, time: Duration) -> Self {
        self.max = time;
        self
    }

    /// Sets the header that says how long the caller waits, in whole milliseconds, for requests other than gRPC calls.
    /// Envoy's is `x-envoy-expected-rq-timeout-ms`. Default: none, since no such header is standard.
    #[must_use]
    pub fn timeout_header(mut self, header: HeaderName) -> Self {
        self.timeout_header = Some(header);
        self
    }

    /// Checks the settings and builds the guard.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the longest deadline is zero.
    pub fn build(self) -> Result<Deadline, ConfigError> {
        if self.max.is_zero() {
            let component = format!("deadline {:?}", self.name);
            return Err(ConfigError::new(
                component,
                "max",
                "0ns",
                "greater than zero",
            ));
        }
        Ok(self.build_unchecked())
    }

    pub(super) fn build_unchecked(self) -> Deadline {
        Deadline(Arc::new(DeadlineConfig {
            limit: TimeLimit::new(self.name, self.max),
            timeout_header: self.timeout_header,
        }))
    }
}
