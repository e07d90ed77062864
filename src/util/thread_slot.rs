//! Numbers threads, so that each can have its own part of what many threads write.

/// The number of slots, a power of two. Threads beyond that share slots, which costs time and nothing else. Two in loom
/// tests, so that threads share some.
pub(crate) const THREAD_SLOTS: usize = if cfg!(all(test, tower_keep_loom)) {
    2
} else {
    16
};

/// Returns the slot of the current thread, which stays the same: a number below [`THREAD_SLOTS`].
///
/// Threads get them in turns, so that those of a runtime, which start together, have different ones.
#[cfg(not(all(test, tower_keep_loom)))]
#[inline]
pub(crate) fn thread_slot() -> usize {
    use std::cell::Cell;

    thread_local! {
        /// `UNKNOWN` until it is needed. It has no destructor, so that it is there until the thread has ended.
        static SLOT: Cell<usize> = const { Cell::new(UNKNOWN) };
    }
    const UNKNOWN: usize = usize::MAX;

    #[cold]
    fn assign() -> usize {
        use std::sync::atomic::{AtomicUsize, Ordering};

        static THREADS: AtomicUsize = AtomicUsize::new(0);
        let slot = THREADS.fetch_add(1, Ordering::Relaxed) % THREAD_SLOTS;
        SLOT.set(slot);
        slot
    }

    match SLOT.get() {
        UNKNOWN => assign(),
        slot => slot,
    }
}

/// Returns the slot of the current thread of a loom test, which has to be the same each time it is played.
#[cfg(all(test, tower_keep_loom))]
pub(crate) fn thread_slot() -> usize {
    let id = format!("{:?}", loom::thread::current().id());
    let number = id.trim_matches(|c: char| !c.is_ascii_digit());
    number.parse::<usize>().expect("`ThreadId(n)`") % THREAD_SLOTS
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn thread_slot_stays_the_same_and_is_in_range() {
        let slots = || [thread_slot(), thread_slot()];
        for _ in 0..2 * THREAD_SLOTS {
            let [first, second] = thread::spawn(slots).join().expect("no panic");
            assert_eq!(first, second);
            assert!(first < THREAD_SLOTS);
        }
    }

    #[test]
    fn thread_slots_are_all_in_use() {
        // Tests that run at the same time take some of the turns.
        let mut used = [false; THREAD_SLOTS];
        while used.contains(&false) {
            used[thread::spawn(thread_slot).join().expect("no panic")] = true;
        }
    }
}
