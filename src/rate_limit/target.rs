use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::time::Instant;

use super::{control::LimitControl, keyed::KeyedShared, quota::Grant, shared::RateLimitShared};
use crate::call::{Label, Rejection};

/// The bucket that a call takes from.
#[derive(Clone)]
pub struct LimitTarget(LimitBucket);

#[derive(Clone)]
enum LimitBucket {
    Single(Arc<RateLimitShared>),
    /// The bucket of a key, by its hash.
    Key(Arc<KeyedShared>, u64),
}

/// Cells that were taken, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) grant: Grant,
    /// True if they are those that keys share for which there is no room.
    pub(super) is_overflow: bool,
}

impl LimitTarget {
    pub(super) fn single(limit: &Arc<RateLimitShared>) -> Self {
        LimitTarget(LimitBucket::Single(limit.clone()))
    }

    pub(super) fn key(limit: &Arc<KeyedShared>, hash: u64) -> Self {
        LimitTarget(LimitBucket::Key(limit.clone(), hash))
    }

    pub(super) fn control(&self) -> &LimitControl {
        match &self.0 {
            LimitBucket::Single(limit) => &limit.control,
            LimitBucket::Key(limit, _) => &limit.control,
        }
    }

    pub(super) fn name(&self) -> &Label {
        self.control().name()
    }

    /// Takes cells that are there now, or within the wait. `None` if nothing was taken, since the limit rejects nothing.
    pub(super) fn reserve(
        &self,
        now: Instant,
        cells: u32,
        max_wait: Duration,
    ) -> Result<Option<Reserved>, Rejection> {
        match &self.0 {
            LimitBucket::Single(limit) => limit.reserve(now, cells, max_wait),
            LimitBucket::Key(limit, hash) => limit.reserve(*hash, now, cells, max_wait),
        }
    }

    /// Puts back what was reserved and is not used, unless others wait by it.
    pub(super) fn put_back(&self, reserved: Reserved, cells: u32) {
        match &self.0 {
            LimitBucket::Single(limit) => limit.put_back(reserved, cells),
            LimitBucket::Key(limit, hash) => limit.put_back(*hash, reserved, cells),
        }
    }

    /// Empties the bucket, since a peer says that it is called too often.
    pub(super) fn empty_for_peer(&self, now: Instant, pause: Option<Duration>) {
        match &self.0 {
            LimitBucket::Single(limit) => limit.empty_for_peer(now, pause),
            LimitBucket::Key(limit, hash) => limit.empty_for_peer(*hash, now, pause),
        }
    }

    /// Adds the fields of the bucket to the head of a response.
    pub(super) fn append_fields(&self, headers: &mut HeaderMap, now: Instant) {
        let (state, quota, now) = match &self.0 {
            LimitBucket::Single(limit) => limit.read(now),
            LimitBucket::Key(limit, hash) => limit.read(*hash, now),
        };
        self.control().fields.append(headers, quota, state, now);
    }
}
