use std::hash::Hasher;

/// A hasher of numbers that are hashes already, with a secret, so that to hash them again would be of no use.
#[derive(Clone, Default)]
pub(super) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Mixes bytes in, of which a key that is a number has none.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn hash_of_a_hash_is_itself() {
        let hasher = BuildHasherDefault::<AlreadyHashed>::default();
        for hash in [0, 7, u64::MAX] {
            assert_eq!(hasher.hash_one(hash), hash);
        }
        assert_ne!(hasher.hash_one("a"), hasher.hash_one("b"));
    }
}
