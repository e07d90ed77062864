use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{gcra::Grant, shared::RateLimitShared, shared::later, ticks::duration};

/// Calls that a rate limit has admitted for a time to come; made by [`RateLimit::reserve`](super::RateLimit::reserve).
///
/// They are taken: dropping the reservation changes nothing. [`cancel`](Self::cancel) puts them back.
#[must_use = "the calls must not be made before `ready_at`"]
pub struct Reservation {
    limit: Arc<RateLimitShared>,
    /// `None` if the limit rejects nothing, and nothing was taken.
    grant: Option<Grant>,
    calls: u32,
    reserved_at: Instant,
}

impl Reservation {
    pub(super) fn new(
        limit: Arc<RateLimitShared>,
        grant: Option<Grant>,
        calls: u32,
        reserved_at: Instant,
    ) -> Self {
        Reservation {
            limit,
            grant,
            calls,
            reserved_at,
        }
    }

    /// Returns how long to wait from the moment of the reservation; zero if the calls may be made at once.
    pub fn wait(&self) -> Duration {
        self.grant
            .map_or(Duration::ZERO, |grant| duration(grant.wait))
    }

    /// Returns the moment from which on the calls may be made.
    pub fn ready_at(&self) -> Instant {
        later(self.reserved_at, self.wait())
    }

    /// Puts the calls back, if nothing was reserved after them. Otherwise others wait by this reservation already, and the
    /// calls are lost: to put them back all the same would let two of the others go at once.
    pub fn cancel(self) {
        if let Some(grant) = self.grant {
            self.limit.put_back(grant, self.calls);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("rate_limit", self.limit.name())
            .field("calls", &self.calls)
            .field("ready_at", &self.ready_at())
            .finish()
    }
}
