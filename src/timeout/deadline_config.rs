use std::time::Duration;

use http::{HeaderName, Request};
use tokio::time::Instant;

use super::{TimeLimit, header::parse_millis};
use crate::{
    call::CallClock,
    protocol::{WireFormat, grpc_timeout_of},
    util::headers::find_header,
};

/// Checked settings of a [`Deadline`](super::Deadline).
#[derive(Debug)]
pub(super) struct DeadlineConfig {
    pub(super) limit: TimeLimit,
    pub(super) timeout_header: Option<HeaderName>,
}

impl DeadlineConfig {
    /// Returns the deadline of a request: the time that the caller waits, at most the limit; None if there is neither.
    pub(super) fn deadline_of<B>(
        &self,
        request: &Request<B>,
        clock: &CallClock,
    ) -> Option<Instant> {
        // A longer time is no limit, and needs no clock reading.
        const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        let max = self.limit.get();
        let requested = self.requested_timeout(request, clock.wire());
        let time = requested.map_or(max, |time| time.min(max));
        (time < FOREVER).then(|| clock.now() + time)
    }

    /// Returns how long the caller waits, if the request says so.
    fn requested_timeout<B>(&self, request: &Request<B>, wire: WireFormat) -> Option<Duration> {
        let headers = request.headers();
        if wire.is_grpc() {
            return grpc_timeout_of(headers);
        }
        let name = self.timeout_header.as_ref()?;
        find_header(headers, name).and_then(parse_millis)
    }
}
