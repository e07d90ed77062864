use crate::util::sync::atomic::{AtomicUsize, Ordering};

/// The number of keys of all shards, and its bound.
#[derive(Debug)]
pub(super) struct KeyCapacity {
    max: usize,
    used: AtomicUsize,
    /// The number of keys that have come back, which leave a quarter to others.
    established: AtomicUsize,
    /// For how long a key that is not used keeps its place, in ticks.
    idle_time: u64,
}

impl KeyCapacity {
    pub(super) fn new(max: usize, idle_time: u64) -> Self {
        KeyCapacity {
            max,
            used: AtomicUsize::new(0),
            established: AtomicUsize::new(0),
            idle_time,
        }
    }

    /// Claims a place, if there is one.
    pub(super) fn claim(&self) -> bool {
        add_below(&self.used, self.max)
    }

    /// Returns whether there is no place.
    pub(super) fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.max
    }

    /// Counts a key that has come back, if not too many have.
    pub(super) fn establish(&self) -> bool {
        add_below(&self.established, self.max - self.max.div_ceil(4))
    }

    /// Gives back the places of keys that were removed.
    pub(super) fn release(&self, keys: usize, established: usize) {
        // Relaxed, like all of these: a place is a number, and what stands in it is under the lock of its shard.
        self.used.fetch_sub(keys, Ordering::Relaxed);
        self.established.fetch_sub(established, Ordering::Relaxed);
    }

    pub(super) fn idle_time(&self) -> u64 {
        self.idle_time
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn established(&self) -> usize {
        self.established.load(Ordering::Relaxed)
    }
}

/// Adds one to a number that stays below the bound, or returns `false`.
fn add_below(number: &AtomicUsize, max: usize) -> bool {
    let add = |used| (used < max).then_some(used + 1);
    number
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .is_ok()
}
