//! The number of shards that threads add to, so that they do not wait for each other's cache line.
//!
//! A shard is [`Padded`](super::padded::Padded), and [`thread_slot`](super::thread_slot::thread_slot) chooses that of a thread.

use std::{sync::OnceLock, thread::available_parallelism};

/// More would cost memory and reading time for little gain.
const MAX_SHARDS: usize = 8;

/// Returns the number of shards: the parallelism of the machine as a power of two, at most 8.
pub(crate) fn shard_count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let parallelism = available_parallelism().map_or(1, usize::from);
        parallelism.next_power_of_two().min(MAX_SHARDS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_a_power_of_two() {
        assert!(shard_count().is_power_of_two() && shard_count() <= MAX_SHARDS);
    }
}
