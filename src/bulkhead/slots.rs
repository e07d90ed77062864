//! The slots of a bulkhead: how many there are, and how many are taken, in one word.

use crate::util::sync::atomic::{AtomicU64, Ordering};

/// The largest limit, which leaves bits for other things. More calls than this at once are not limited by their number.
pub(super) const MAX_LIMIT: u32 = 1_000_000;

const IN_FLIGHT: u64 = u32::MAX as u64;
const LIMIT_SHIFT: u32 = 32;
const LIMIT: u64 = ((1 << 30) - 1) << LIMIT_SHIFT;
/// Set once a handle has waited for readiness: freeing a slot then wakes those that do.
const WAKES: u64 = 1 << 62;

/// A reading of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotWord(u64);

impl SlotWord {
    #[inline]
    pub(super) fn in_flight(self) -> u32 {
        (self.0 & IN_FLIGHT) as u32
    }

    #[inline]
    pub(super) fn limit(self) -> u32 {
        ((self.0 & LIMIT) >> LIMIT_SHIFT) as u32
    }

    /// Returns whether a call that came now would get a slot.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        self.in_flight() < self.limit()
    }

    #[inline]
    fn wakes(self) -> bool {
        self.0 & WAKES != 0
    }
}

/// The slots. High to low: 1 unused, 1 wakes, 30 limit, 32 in flight.
///
/// Each step is one atomic operation on the one word, so that no order of them takes more slots than the limit allows. A
/// handle that waits asks for wakes first and looks at the word again: a slot that becomes free before is seen then, and
/// one that becomes free afterwards is reported.
#[derive(Debug)]
pub(super) struct Slots(AtomicU64);

impl Slots {
    pub(super) fn new(limit: u32) -> Self {
        Slots(AtomicU64::new(u64::from(limit) << LIMIT_SHIFT))
    }

    #[inline]
    pub(super) fn load(&self) -> SlotWord {
        SlotWord(self.0.load(Ordering::Acquire))
    }

    /// Takes a slot if one is free; returns whether it did.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while SlotWord(word).is_open() {
            // Acquire here and release below: a call sees what the one did whose slot it gets, as with a lock.
            let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
            match self
                .0
                .compare_exchange_weak(word, word + 1, success, failure)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives a slot back. Returns whether handles that wait for readiness must be woken.
    #[inline]
    pub(super) fn give_back(&self) -> bool {
        let before = SlotWord(self.0.fetch_sub(1, Ordering::AcqRel));
        debug_assert!(before.in_flight() > 0, "a slot is given back once");
        // While more are in flight than the limit allows, which has shrunk, none is free.
        before.wakes() && before.in_flight() == before.limit()
    }

    /// Changes the limit. Returns whether handles that wait for readiness must be woken.
    pub(super) fn set_limit(&self, limit: u32) -> bool {
        let bits = u64::from(limit) << LIMIT_SHIFT;
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let changed = word & !LIMIT | bits;
            match self
                .0
                .compare_exchange_weak(word, changed, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return SlotWord(changed).wakes() && SlotWord(changed).is_open(),
                Err(now) => word = now,
            }
        }
    }

    /// Has slots that become free reported from now on.
    pub(super) fn report_free(&self) {
        self.0.fetch_or(WAKES, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use super::*;

    fn read(slots: &Slots) -> (u32, u32, bool) {
        let word = slots.load();
        (word.in_flight(), word.limit(), word.is_open())
    }

    #[test]
    fn slots_are_taken_up_to_the_limit_and_given_back() {
        let slots = Slots::new(2);
        assert_eq!(read(&slots), (0, 2, true));
        assert_eq!([(); 3].map(|()| slots.try_take()), [true, true, false]);
        assert_eq!(read(&slots), (2, 2, false));
        assert!(!slots.give_back());
        assert_eq!(read(&slots), (1, 2, true));
        assert!(slots.try_take());
    }

    #[test]
    fn limit_that_shrinks_below_those_in_flight_is_reached_as_they_end() {
        let slots = Slots::new(3);
        slots.report_free();
        assert_eq!([(); 3].map(|()| slots.try_take()), [true; 3]);
        assert!(!slots.set_limit(1), "none is free");
        assert_eq!(read(&slots), (3, 1, false));
        assert_eq!([(); 2].map(|()| slots.give_back()), [false; 2]);
        assert!(!slots.try_take());
        assert!(slots.give_back(), "the first that is free");
        assert_eq!(read(&slots), (0, 1, true));
    }

    #[test]
    fn slots_report_that_one_is_free_once_that_is_asked_for() {
        let slots = Slots::new(1);
        assert!(slots.try_take() && !slots.give_back());
        slots.report_free();
        assert!(slots.try_take() && slots.give_back());
        assert!(slots.try_take());
        assert!(slots.set_limit(2), "grown");
        assert!(!slots.give_back(), "one was free already");
    }

    #[test]
    fn largest_limit_fits_beside_the_other_bits() {
        let slots = Slots::new(MAX_LIMIT);
        slots.report_free();
        assert!(slots.try_take());
        assert_eq!(read(&slots), (1, MAX_LIMIT, true));
        slots.set_limit(1);
        assert_eq!(read(&slots), (1, 1, false));
    }
}
