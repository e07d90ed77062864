//! The slots of a bulkhead: how many there are, and how many are taken, in one word.

use crate::util::sync::atomic::{AtomicU64, Ordering};

/// The largest limit, which leaves bits for other things. More calls than this at once are not limited by their number.
pub(super) const MAX_LIMIT: u32 = 1_000_000;

const IN_FLIGHT: u64 = u32::MAX as u64;
const LIMIT_SHIFT: u32 = 32;
const LIMIT: u64 = ((1 << 30) - 1) << LIMIT_SHIFT;
/// Set once a handle has waited for readiness: freeing a slot then wakes those that do.
const WAKES: u64 = 1 << 62;
/// Set while calls wait in the queue: a slot that is free is for one of them.
const QUEUED: u64 = 1 << 63;

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
        self.has_free() && !self.is_queued()
    }

    /// Returns the state as the registry has it.
    pub(super) fn state(self) -> &'static str {
        match self.is_open() {
            true => "available",
            false => "full",
        }
    }

    /// Returns whether calls wait in the queue.
    pub(super) fn is_queued(self) -> bool {
        self.0 & QUEUED != 0
    }

    /// Returns whether a slot is free, be it for a call that comes or for one that waits.
    #[inline]
    fn has_free(self) -> bool {
        self.in_flight() < self.limit()
    }

    /// Returns whether handles that wait for readiness must be woken, if this is the word after a slot has become free.
    fn wakes_handles(self) -> bool {
        self.wakes() && self.is_open()
    }

    #[inline]
    fn wakes(self) -> bool {
        self.0 & WAKES != 0
    }
}

/// The result of an attempt to take a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All slots are taken, or free ones are for calls that wait.
    None,
    Slot,
    /// The last one, so that handles that wait for the wrapped service must be woken: calls are rejected from now on.
    LastSlot,
}

/// The consequence of a slot that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freed {
    /// Neither calls nor handles wait for it.
    Unwanted,
    /// Handles that wait for readiness must be woken.
    WakesHandles,
    /// The queue must be looked at, under its lock.
    Queued,
}

/// The slots. High to low: 1 queued, 1 wakes, 30 limit, 32 in flight.
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

    /// Takes a slot if one is free.
    #[inline]
    pub(super) fn try_take(&self) -> Taken {
        let mut word = self.0.load(Ordering::Relaxed);
        while SlotWord(word).is_open() {
            // Acquire here and release below: a call sees what the one did whose slot it gets, as with a lock.
            let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
            match self
                .0
                .compare_exchange_weak(word, word + 1, success, failure)
            {
                Ok(_) => {
                    let taken = SlotWord(word + 1);
                    return match taken.wakes() && !taken.is_open() {
                        true => Taken::LastSlot,
                        false => Taken::Slot,
                    };
                }
                Err(now) => word = now,
            }
        }
        Taken::None
    }

    /// Gives a slot back.
    #[inline]
    pub(super) fn give_back(&self) -> Freed {
        let before = SlotWord(self.0.fetch_sub(1, Ordering::AcqRel));
        debug_assert!(before.in_flight() > 0, "a slot is given back once");
        match before.0 & (QUEUED | WAKES) {
            0 => Freed::Unwanted,
            WAKES if before.in_flight() == before.limit() => Freed::WakesHandles,
            // Some were free before, or, where the limit has shrunk, none is free yet.
            WAKES => Freed::Unwanted,
            _ => Freed::Queued,
        }
    }

    /// Takes a slot for a call that waits, if one is free; returns whether it did. Under the lock of the queue, while calls
    /// are [queued](Self::set_queued), so that nobody else takes one meanwhile.
    pub(super) fn try_take_queued(&self) -> bool {
        let is_free = self.load().has_free();
        if is_free {
            self.0.fetch_add(1, Ordering::Acquire);
        }
        is_free
    }

    /// Keeps free slots for calls that wait. Under the lock of the queue.
    pub(super) fn set_queued(&self) {
        self.0.fetch_or(QUEUED, Ordering::AcqRel);
    }

    /// Gives free slots to calls that come, since none waits any more. Under the lock of the queue. Returns whether handles
    /// that wait for readiness must be woken.
    pub(super) fn clear_queued(&self) -> bool {
        let before = self.0.fetch_and(!QUEUED, Ordering::AcqRel);
        SlotWord(before & !QUEUED).wakes_handles()
    }

    /// Changes the limit. Returns whether handles that wait for readiness must be woken: some may get a slot now, or none may
    /// any more.
    pub(super) fn set_limit(&self, limit: u32) -> bool {
        let bits = u64::from(limit) << LIMIT_SHIFT;
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let changed = word & !LIMIT | bits;
            match self
                .0
                .compare_exchange_weak(word, changed, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => {
                    let (before, after) = (SlotWord(word), SlotWord(changed));
                    return after.wakes() && (after.is_open() || before.is_open());
                }
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

    fn takes(slots: &Slots) -> bool {
        slots.try_take() != Taken::None
    }

    #[test]
    fn slots_are_taken_up_to_the_limit_and_given_back() {
        let slots = Slots::new(2);
        assert_eq!(read(&slots), (0, 2, true));
        assert_eq!([(); 3].map(|()| takes(&slots)), [true, true, false]);
        assert_eq!(read(&slots), (2, 2, false));
        assert_eq!(slots.give_back(), Freed::Unwanted);
        assert_eq!(read(&slots), (1, 2, true));
        assert!(takes(&slots));
    }

    #[test]
    fn limit_that_shrinks_below_those_in_flight_is_reached_as_they_end() {
        let slots = Slots::new(3);
        slots.report_free();
        assert_eq!([(); 3].map(|()| takes(&slots)), [true; 3]);
        assert!(!slots.set_limit(1), "none is free");
        assert_eq!(read(&slots), (3, 1, false));
        assert_eq!([(); 2].map(|()| slots.give_back()), [Freed::Unwanted; 2]);
        assert!(!takes(&slots));
        assert_eq!(
            slots.give_back(),
            Freed::WakesHandles,
            "the first that is free"
        );
        assert_eq!(read(&slots), (0, 1, true));
    }

    #[test]
    fn slots_report_that_one_is_free_once_that_is_asked_for() {
        let slots = Slots::new(1);
        assert!(takes(&slots) && slots.give_back() == Freed::Unwanted);
        slots.report_free();
        assert!(takes(&slots) && slots.give_back() == Freed::WakesHandles);
        assert!(takes(&slots));
        assert!(slots.set_limit(2), "grown");
        assert_eq!(slots.give_back(), Freed::Unwanted, "one was free already");
    }

    #[test]
    fn last_slot_is_reported_once_that_is_asked_for() {
        let slots = Slots::new(2);
        let take = || slots.try_take();
        assert_eq!(
            [take(), take(), take()],
            [Taken::Slot, Taken::Slot, Taken::None]
        );
        slots.report_free();
        slots.give_back();
        assert_eq!(take(), Taken::LastSlot);
        assert!(slots.set_limit(3), "one is free");
        assert!(slots.set_limit(2), "none is free any more");
        assert!(!slots.set_limit(1), "nor was one before");
    }

    #[test]
    fn slots_that_are_free_are_for_those_that_wait() {
        let slots = Slots::new(2);
        slots.report_free();
        assert!(takes(&slots) && takes(&slots));
        slots.set_queued();
        assert!(!slots.try_take_queued(), "none is free");
        assert_eq!(slots.give_back(), Freed::Queued);
        assert!(!takes(&slots), "not for those that come");
        assert!(!slots.load().is_open());
        assert!(slots.try_take_queued());
        assert!(!slots.clear_queued(), "none is free");
        slots.set_queued();
        assert_eq!(slots.give_back(), Freed::Queued);
        assert!(!slots.set_limit(3), "it is not for handles");
        assert!(slots.clear_queued());
        assert!(takes(&slots));
    }

    #[test]
    fn largest_limit_fits_beside_the_other_bits() {
        let slots = Slots::new(MAX_LIMIT);
        slots.report_free();
        slots.set_queued();
        assert!(slots.try_take_queued());
        assert_eq!(read(&slots), (1, MAX_LIMIT, false));
        slots.set_limit(1);
        assert_eq!(read(&slots), (1, 1, false));
        slots.clear_queued();
        assert_eq!(slots.give_back(), Freed::WakesHandles);
    }
}
