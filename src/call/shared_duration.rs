use std::time::Duration;

use super::PackedOption;
use crate::util::sync::atomic::{AtomicU64, Ordering};

/// An optional duration that calls read without the lock, and that is set under it.
///
/// A plain load for those who only ask whether there is one. Nothing else is published with it, so no order is needed: a
/// call that reads the value of before counts as one that came before.
#[derive(Debug)]
pub(crate) struct SharedDuration(AtomicU64);

impl SharedDuration {
    pub(crate) fn new(time: Option<Duration>) -> Self {
        SharedDuration(AtomicU64::new(to_bits(time)))
    }

    pub(crate) fn set(&self, time: Option<Duration>) {
        self.0.store(to_bits(time), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Duration> {
        self.packed().as_duration()
    }

    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        self.packed() != PackedOption::NONE
    }

    #[inline]
    fn packed(&self) -> PackedOption {
        PackedOption::new(Some(self.0.load(Ordering::Relaxed)))
    }
}

fn to_bits(time: Option<Duration>) -> u64 {
    // The number that stands for `None`.
    PackedOption::from_duration(time).get().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_duration_returns_what_was_set_last() {
        let longest = Some(Duration::from_nanos(u64::MAX - 1));
        let shared = SharedDuration::new(Some(Duration::MAX));
        assert_eq!((shared.get(), shared.is_some()), (longest, true));
        for time in [None, Some(Duration::from_nanos(1)), longest, None] {
            shared.set(time);
            assert_eq!((shared.get(), shared.is_some()), (time, time.is_some()));
            assert_eq!(SharedDuration::new(time).get(), time);
        }
    }
}
