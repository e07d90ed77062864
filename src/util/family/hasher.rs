use std::hash::Hasher;

/// A hasher for a few small fields that takes a few instructions.
#[derive(Default)]
pub(super) struct FieldHasher(u64);

impl FieldHasher {
    #[inline]
    fn mix(&mut self, word: u64) {
        // Fibonacci hashing: the high bits depend on all of the word.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for FieldHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.mix(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_u16(&mut self, word: u16) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    /// Hashes the discriminant of an enum.
    #[inline]
    fn write_isize(&mut self, word: isize) {
        self.mix(word as u64);
    }
}
