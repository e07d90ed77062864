use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::util::{padded::Padded, shards::shard_count, thread_slot::thread_slot};

/// The value of a counter. Threads share one number until [`spread`](CounterCell::spread) gives each a number of its own.
#[derive(Debug, Default)]
pub(super) struct CounterCell {
    base: AtomicU64,
    shards: OnceLock<Box<[Padded<AtomicU64>]>>,
}

impl CounterCell {
    /// Returns the sum of all that was added.
    pub(super) fn get(&self) -> u64 {
        self.base
            .load(Ordering::Relaxed)
            .wrapping_add(self.in_shards())
    }

    fn in_shards(&self) -> u64 {
        let shards = self.shards.get().map_or(&[][..], |shards| shards);
        shards.iter().fold(0, |sum, Padded(shard)| {
            sum.wrapping_add(shard.load(Ordering::Relaxed))
        })
    }

    /// Lets threads add to numbers of their own from now on: for a counter that is busy.
    pub(super) fn spread(&self) {
        let count = shard_count();
        if count > 1 {
            self.shards
                .get_or_init(|| (0..count).map(|_| Padded::default()).collect());
        }
    }

    /// Returns the bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.shards.get().map_or(0, |shards| size_of_val(&**shards))
    }
}

impl metrics::CounterFn for CounterCell {
    #[inline]
    fn increment(&self, value: u64) {
        let number = match self.shards.get() {
            None => &self.base,
            // The number of shards is a power of two.
            Some(shards) => &shards[thread_slot() & (shards.len() - 1)].0,
        };
        number.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        // What other threads add to shards meanwhile counts as added after this.
        let missing = |base: u64| {
            let total = base.wrapping_add(self.in_shards());
            Some(base.wrapping_add(value.checked_sub(total)?))
        };
        let _ = self
            .base
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, missing);
    }
}

#[cfg(test)]
mod tests {
    use metrics::CounterFn;

    use super::*;

    #[test]
    fn counter_adds_before_and_after_it_is_spread() {
        let counter = CounterCell::default();
        counter.increment(2);
        assert_eq!((counter.get(), counter.heap_bytes()), (2, 0));
        counter.spread();
        std::thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(|| counter.increment(3))));
        });
        assert_eq!(counter.get(), 14);
        assert_eq!(counter.heap_bytes() > 0, shard_count() > 1);
    }

    #[test]
    fn absolute_raises_but_never_lowers() {
        let counter = CounterCell::default();
        counter.absolute(10);
        counter.increment(5);
        counter.absolute(12);
        assert_eq!(counter.get(), 15);
        counter.spread();
        counter.increment(5);
        counter.absolute(20);
        assert_eq!(counter.get(), 20);
        counter.absolute(30);
        assert_eq!(counter.get(), 30);
    }
}
