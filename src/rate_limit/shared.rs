use std::time::Duration;

use tokio::time::Instant;

use super::{
    RateLimitBuilder, RateLimitPermit, RateLimitSettings,
    bucket::Bucket,
    control::{LimitControl, later},
    quota::{Denial, Quota},
    target::Reserved,
    ticks::{duration, ticks},
    too_many::{pause_of_end, pause_of_head},
};
use crate::{
    call::{CallEnd, ConfigError, Label, Rejection},
    guard::{Head, Rejects},
    util::{
        padded::Padded,
        sync::atomic::{AtomicBool, Ordering},
    },
};

/// The rate limit behind all of its handles.
pub(super) struct RateLimitShared {
    pub(super) control: LimitControl,
    /// Written by each call. Not on a line with what calls only read.
    bucket: Padded<Bucket>,
    /// True once a call was rejected, until the limit is asked and has a cell again. Only a hint, so that a service which is
    /// polled need not read the clock.
    is_limiting: AtomicBool,
}

impl RateLimitShared {
    pub(super) fn new(builder: RateLimitBuilder, quota: Quota) -> Self {
        RateLimitShared {
            control: LimitControl::new(builder),
            bucket: Padded(Bucket::new(quota)),
            is_limiting: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.control.name()
    }

    /// Takes cells that are there now.
    #[inline]
    pub(super) fn admit(&self, now: Instant, cells: u32) -> Result<(), Rejection> {
        match self.bucket.take(self.control.ticks(now), cells, 0) {
            Ok(_) => Ok(()),
            Err(denial) => self.reject(denial),
        }
    }

    /// Takes cells that are there now, or within the wait. `None` if the limit rejects nothing: then nothing waits.
    #[inline]
    pub(super) fn reserve(
        &self,
        now: Instant,
        cells: u32,
        max_wait: Duration,
    ) -> Result<Option<Reserved>, Rejection> {
        let max_wait = self.control.effective_wait(max_wait);
        match self.bucket.take(self.control.ticks(now), cells, max_wait) {
            Ok(grant) => Ok(Some(Reserved {
                grant,
                is_overflow: false,
            })),
            Err(denial) => self.reject(denial).map(|()| None),
        }
    }

    /// Puts back what was reserved and is not used, unless others wait by it.
    pub(super) fn put_back(&self, reserved: Reserved, cells: u32) {
        self.bucket.put_back(reserved.grant, cells);
    }

    #[cold]
    fn reject(&self, denial: Denial) -> Result<(), Rejection> {
        self.is_limiting.store(true, Ordering::Relaxed);
        self.control.reject(denial)
    }

    /// Returns whether calls would be rejected now. Reads the clock.
    pub(super) fn rejects(&self, now: Instant) -> Rejects {
        if self.control.rejects_nothing() {
            return Rejects::None;
        }
        let (state, quota, ticks) = self.read(now);
        match quota.take(state, ticks, 1, 0) {
            Ok(_) => {
                self.is_limiting.store(false, Ordering::Relaxed);
                Rejects::None
            }
            Err(Denial::After(wait)) => Rejects::AllUntil(later(now, duration(wait))),
            Err(Denial::Never) => Rejects::All,
        }
    }

    /// Returns whether calls would be rejected now. Reads the clock only if one was rejected not long ago.
    #[inline]
    pub(super) fn rejects_any(&self, now: impl FnOnce() -> Instant) -> bool {
        self.is_limiting.load(Ordering::Relaxed) && self.rejects(now()) != Rejects::None
    }

    /// Empties the limit, since a peer says that it is called too often. `pause` is for how long, if it says so.
    pub(super) fn empty_for_peer(&self, now: Instant, pause: Option<Duration>) {
        if let Some(pause) = self.control.pause_for_peer(pause) {
            self.bucket.empty(self.control.ticks(now), pause);
        }
    }

    /// Adds the fields of a server, and obeys the peer of a client.
    #[inline]
    pub(super) fn on_head(&self, permit: &mut RateLimitPermit, head: &mut Head<'_>) {
        if permit.is_server {
            if self.control.fields.has(permit.is_rejected) && !head.wire.is_grpc() {
                self.append_fields(head);
            }
        } else if let Some(pause) = pause_of_head(head) {
            permit.has_emptied = true;
            self.empty_for_peer(head.clock.now(), pause);
        }
    }

    #[inline]
    pub(super) fn on_end(&self, permit: RateLimitPermit, end: &CallEnd<'_>) {
        if permit.is_server || permit.has_emptied {
            return;
        }
        if let Some(pause) = pause_of_end(end) {
            self.empty_for_peer(end.now(), pause);
        }
    }

    #[cold]
    fn append_fields(&self, head: &mut Head<'_>) {
        let (state, quota, now) = self.read(head.clock.now());
        self.control.fields.append(head.headers, quota, state, now);
    }

    /// Empties the limit for this time.
    pub(super) fn empty(&self, now: Instant, pause: Duration) {
        self.bucket.empty(self.control.ticks(now), ticks(pause));
    }

    /// Fills the limit, and makes it reject calls again.
    pub(super) fn reset(&self) {
        self.control.enable();
        self.bucket.fill();
        self.control.signal.wake();
    }

    /// Returns the state, its quota, and the time.
    pub(super) fn read(&self, now: Instant) -> (u64, Quota, u64) {
        let (state, quota) = self.bucket.read();
        (state, quota, self.control.ticks(now))
    }

    pub(super) fn admitted(&self) -> u64 {
        self.bucket.admitted()
    }

    /// Applies settings: as many cells are missing afterwards as before.
    pub(super) fn apply(&self, to: &RateLimitSettings) -> Result<(), ConfigError> {
        self.control
            .apply(to, |now, quota| self.bucket.set_quota(now, quota))
    }
}
