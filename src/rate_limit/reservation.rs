use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::{
    control::later,
    target::{LimitTarget, Reserved},
    ticks::duration,
    wait_limit::must_wait,
};
use crate::call::Rejection;

/// Calls that a rate limit has admitted for a time to come; made by [`RateLimit::reserve`](super::RateLimit::reserve).
///
/// They are taken: dropping the reservation changes nothing. [`cancel`](Self::cancel) puts them back.
#[must_use = "the calls must not be made before `ready_at`"]
pub struct Reservation {
    target: LimitTarget,
    /// `None` if the limit rejects nothing, and nothing was taken.
    reserved: Option<Reserved>,
    calls: u32,
    reserved_at: Instant,
}

impl Reservation {
    pub(super) fn new(
        target: LimitTarget,
        reserved: Option<Reserved>,
        calls: u32,
        reserved_at: Instant,
    ) -> Self {
        Reservation {
            target,
            reserved,
            calls,
            reserved_at,
        }
    }

    /// Reserves calls of a bucket, at most after the wait.
    pub(super) fn make(
        target: LimitTarget,
        calls: u32,
        max_wait: Duration,
    ) -> Result<Self, Rejection> {
        let now = Instant::now();
        let reserved = target.reserve(now, calls, max_wait)?;
        if let Some(reserved) = &reserved {
            must_wait(reserved, &target.control().metrics);
        }
        Ok(Reservation::new(target, reserved, calls, now))
    }

    pub(super) fn target(&self) -> &LimitTarget {
        &self.target
    }

    /// Returns how long to wait from the moment of the reservation; zero if the calls may be made at once.
    pub fn wait(&self) -> Duration {
        self.reserved
            .map_or(Duration::ZERO, |reserved| duration(reserved.grant.wait))
    }

    /// Returns the moment from which on the calls may be made.
    pub fn ready_at(&self) -> Instant {
        later(self.reserved_at, self.wait())
    }

    /// Puts the calls back, if nothing was reserved after them. Otherwise others wait by this reservation already, and the
    /// calls are lost: to put them back all the same would let two of the others go at once.
    pub fn cancel(self) {
        if let Some(reserved) = self.reserved {
            self.target.put_back(reserved, self.calls);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("rate_limit", self.target.name())
            .field("calls", &self.calls)
            .field("ready_at", &self.ready_at())
            .finish()
    }
}
