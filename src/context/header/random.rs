//! Generates random bits for IDs: fast, and different in every thread of every process of a fleet.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
};

use fastrand::Rng;

thread_local! {
    // Has no destructor, and so can be used until the thread has ended.
    static GENERATOR: RefCell<IdRng> = RefCell::new(IdRng::from_os_seed());
}

/// Two generators side by side. A single one runs through the same cycle of 2^64 numbers in every process, so that
/// processes of a large fleet would repeat each other; two have another distance in each thread.
struct IdRng {
    high: Rng,
    low: Rng,
}

impl IdRng {
    /// Seeds from the standard library's hash keys: they come from the operating system, without a dependency.
    fn from_os_seed() -> Self {
        // The keys of each `RandomState` differ, and hashing spreads that over all bits.
        let seed = |salt: u64| Rng::with_seed(RandomState::new().hash_one(salt));
        IdRng {
            high: seed(1),
            low: seed(2),
        }
    }
}

/// Returns 64 random bits.
pub(super) fn random_u64() -> u64 {
    GENERATOR.with_borrow_mut(|generator| generator.high.u64(..))
}

/// Returns 128 random bits.
pub(super) fn random_u128() -> u128 {
    GENERATOR.with_borrow_mut(|generator| {
        u128::from(generator.high.u64(..)) << 64 | u128::from(generator.low.u64(..))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn threads_draw_different_bits() {
        let draw = || (0..1_000).map(|_| random_u128()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(draw)).collect();
        let drawn = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("bits"));
        assert_eq!(drawn.collect::<HashSet<_>>().len(), 8_000);
    }
}
