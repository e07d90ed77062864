//! A quota that threads share without a lock.

use super::{RateAlgorithm, gcra, quota::Quota};
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// A quota that threads read while the other one is written.
#[derive(Debug)]
pub(super) struct SharedQuota {
    interval: AtomicU64,
    /// The algorithm in the two highest bits, and the capacity.
    capacity: AtomicU64,
}

const CAPACITY_BITS: u32 = 62;

impl SharedQuota {
    pub(super) fn new(quota: Quota) -> Self {
        let shared = SharedQuota {
            interval: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
        };
        shared.store(quota);
        shared
    }

    // Released and acquired, so that a thread which reads a part of a later quota cannot swap in a word of before.
    #[inline]
    pub(super) fn bits(&self) -> QuotaBits {
        QuotaBits {
            interval: self.interval.load(Ordering::Acquire),
            capacity: self.capacity.load(Ordering::Acquire),
        }
    }

    pub(super) fn store(&self, quota: Quota) {
        let algorithm = (quota.algorithm as u64) << CAPACITY_BITS;
        self.interval.store(quota.interval, Ordering::Release);
        self.capacity
            .store(algorithm | quota.capacity, Ordering::Release);
    }
}

/// A quota as it is kept: what was loaded of it, which may be half of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotaBits {
    interval: u64,
    capacity: u64,
}

impl QuotaBits {
    /// Returns the state once so many cells are taken now, where that is quickly said: as [`Quota::take_now`].
    #[inline]
    pub(super) fn take_now(self, state: u64, now: u64, cells: u32) -> Option<u64> {
        match self.capacity >> CAPACITY_BITS {
            0 => gcra::take_now((self.interval, self.capacity), state, now, cells),
            _ => None,
        }
    }

    pub(super) fn quota(self) -> Quota {
        Quota {
            algorithm: match self.capacity >> CAPACITY_BITS {
                0 => RateAlgorithm::Gcra,
                1 => RateAlgorithm::FixedWindow,
                _ => RateAlgorithm::SlidingWindow,
            },
            interval: self.interval,
            capacity: self.capacity & ((1 << CAPACITY_BITS) - 1),
        }
    }
}
