use std::time::Duration;

use http::HeaderName;

use super::TimeLimit;

/// The settings of a [`TimeoutLayer`](super::TimeoutLayer), shared by its services and calls.
#[derive(Clone)]
pub struct TimeoutConfig<P> {
    pub(super) limit: TimeLimit,
    pub(super) protocol: P,
    pub(super) body_idle: Option<Duration>,
    pub(super) body_total: Option<Duration>,
    pub(super) timeout_header: Option<HeaderName>,
    pub(super) send_limit: bool,
}

impl<P> TimeoutConfig<P> {
    pub(super) fn new(limit: TimeLimit, protocol: P) -> Self {
        TimeoutConfig {
            limit,
            protocol,
            body_idle: None,
            body_total: None,
            timeout_header: None,
            send_limit: false,
        }
    }
}
