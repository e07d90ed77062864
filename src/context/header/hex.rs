//! Lower-case hex digits.

use std::{fmt, str};

/// Reads `N` bytes from exactly `2 * N` lower-case hex digits.
pub(super) fn decode_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        // Capitals too: the specifications want them rejected.
        _ => None,
    }
}

pub(super) fn encode_hex(bytes: &[u8], digits: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(digits.as_chunks_mut::<2>().0) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// The two digits of each byte: one look-up instead of two, and of what goes with them.
const PAIRS: [[u8; 2]; 256] = {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    // Constants cannot have a `for`.
    while byte < pairs.len() {
        pairs[byte] = [HEX[byte >> 4], HEX[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Returns hex digits as text, without a formatter.
pub(crate) fn hex_str(digits: &[u8]) -> &str {
    str::from_utf8(digits).unwrap_or_default()
}

pub(super) fn pad_ascii(f: &mut fmt::Formatter<'_>, ascii: &[u8]) -> fmt::Result {
    f.pad(str::from_utf8(ascii).map_err(|_| fmt::Error)?)
}
