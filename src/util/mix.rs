/// An odd number, so that no two ordinals of a seed have the same stream.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Spreads a number over all bits (the finalizer of SplitMix64): neighboring seeds of a generator would draw alike.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// Returns the seed of the stream that belongs to an ordinal.
pub(crate) fn stream(seed: u64, ordinal: u64) -> u64 {
    mix(seed.wrapping_add(ordinal.wrapping_mul(STEP)))
}

/// Draws a number from 0 up to 1 for an ordinal.
pub(crate) fn draw(seed: u64, ordinal: u64) -> f64 {
    /// The bits that a float has exactly.
    const BITS: u32 = f64::MANTISSA_DIGITS;
    (stream(seed, ordinal) >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}
