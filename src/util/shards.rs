//! The shards that threads add to, so that they do not wait for each other's cache line.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

/// More would cost memory and reading time for little gain.
const MAX_SHARDS: usize = 8;

/// A value with two cache lines of its own, since processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// Returns the number of shards: the parallelism of the machine as a power of two, at most 8.
pub(crate) fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let parallelism = available_parallelism().map_or(1, usize::from);
        parallelism.next_power_of_two().min(MAX_SHARDS)
    })
}

/// Returns the number of this thread; threads count up from 0.
#[inline]
pub(crate) fn thread_number() -> usize {
    const UNSET: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(UNSET) };
    }
    let number = NUMBER.try_with(|number| {
        if number.get() == UNSET {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed) % UNSET);
        }
        number.get()
    });
    // A thread that ends shares the first shard.
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_a_power_of_two() {
        assert!(shard_count().is_power_of_two() && shard_count() <= MAX_SHARDS);
        assert_eq!(align_of::<Padded<u8>>(), 128);
    }

    #[test]
    fn threads_have_numbers_of_their_own() {
        let here = thread_number();
        assert_eq!(thread_number(), here);
        let other = std::thread::spawn(thread_number).join().expect("no panic");
        assert_ne!(other, here);
    }
}
