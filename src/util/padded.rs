use std::ops::Deref;

/// A value on cache lines of its own.
///
/// A number that threads write often must not share a line with one that they only read, or each write takes the line from all
/// of them.
/// 128 bytes, since processors of today fetch lines of 64 bytes in pairs, or have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_values_share_no_pair_of_cache_lines() {
        let values = [Padded(1_u8), Padded(2)];
        let [first, second] = values.each_ref().map(|value| &raw const value.0 as usize);
        assert_eq!((first % 128, second - first), (0, 128));
        assert_eq!(*values[0] + *values[1], 3);
    }
}
