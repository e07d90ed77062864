use std::iter;

use super::{
    Histogram,
    point::Point,
    rank::{rank_of, value_of_rank},
};
#[cfg(any(test, feature = "ops-sqlite"))]
use crate::util::log_linear::BUCKETS;

/// The bits of a byte that carry a part of a number; the eighth says that another byte follows.
const PART_BITS: u32 = 7;
const MORE: u8 = 0b1000_0000;

/// A histogram in few bytes: what a ring keeps. Two to four bytes per bucket that has values, and one to three for the number of
/// them; none without values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedHistogram {
    /// The count of all values, then for each bucket the distance to the one before and the count, in parts of seven bits.
    bytes: Box<[u8]>,
    sum: f64,
}

impl PackedHistogram {
    /// Packs the counts and the sum of a histogram.
    pub fn new(histogram: &Histogram) -> Self {
        let mut bytes = Vec::with_capacity(histogram.buckets().len() * 3 + 3);
        if !histogram.is_empty() {
            push(&mut bytes, histogram.count());
        }
        let mut before = 0;
        for &(index, count) in histogram.buckets() {
            push(&mut bytes, u64::from(index - before));
            push(&mut bytes, count);
            before = index;
        }
        PackedHistogram {
            bytes: bytes.into(),
            sum: histogram.sum(),
        }
    }

    /// Returns the histogram; how many values were ignored is not kept.
    pub fn unpack(&self) -> Histogram {
        Histogram::from_buckets(self.buckets(), self.sum, 0)
    }

    /// Returns the buckets that have values: index, ascending, and count.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        let mut rest = &self.bytes[..];
        pop(&mut rest);
        let mut index = 0;
        iter::from_fn(move || {
            let (distance, count) = match rest {
                // Most distances and counts take one byte.
                [distance, count, after @ ..] if (distance | count) & MORE == 0 => {
                    rest = after;
                    (u16::from(*distance), u64::from(*count))
                }
                [] => return None,
                _ => (pop(&mut rest) as u16, pop(&mut rest)),
            };
            index += distance;
            Some((index, count))
        })
    }

    /// Appends what [`from_bytes`](Self::from_bytes) reads.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn to_bytes(&self, bytes: &mut Vec<u8>) {
        push(bytes, self.bytes.len() as u64);
        if !self.bytes.is_empty() {
            bytes.extend_from_slice(&self.bytes);
            bytes.extend_from_slice(&self.sum.to_le_bytes());
        }
    }

    /// Takes a histogram off the front of bytes that come from outside: none if they are not one.
    #[cfg(feature = "ops-sqlite")]
    pub(super) fn from_bytes(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(pop_checked(bytes)?).ok()?;
        if length == 0 {
            return Some(PackedHistogram::default());
        }
        let (mut packed, rest) = bytes.split_at_checked(length)?;
        let (sum, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        pop_checked(&mut packed)?;
        let mut buckets: Vec<(u16, u64)> = Vec::new();
        while !packed.is_empty() {
            let (distance, count) = (pop_checked(&mut packed)?, pop_checked(&mut packed)?);
            let before = buckets.last().map_or(0, |(index, _)| u64::from(*index));
            let index = before.checked_add(distance)?;
            // The first may have the index 0; the others have one each.
            let is_next = buckets.is_empty() || distance > 0;
            if !is_next || index >= BUCKETS as u64 || count == 0 {
                return None;
            }
            buckets.push((index as u16, count));
        }
        let sum = f64::from_le_bytes(*sum);
        Some(PackedHistogram::new(&Histogram::from_buckets(
            buckets, sum, 0,
        )))
    }

    /// Returns the number of values, without a look at the buckets.
    pub(super) fn count(&self) -> u64 {
        pop(&mut &self.bytes[..])
    }

    /// Returns the value that a fraction `q` of the values, 0 to 1, does not exceed.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        value_of_rank(self.buckets(), rank_of(q, self.count()))
    }

    /// Returns the sum of the values.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }
}

impl Point for PackedHistogram {
    fn merge(&mut self, later: &Self) {
        let mut sum = self.unpack();
        sum.merge(&later.unpack());
        *self = PackedHistogram::new(&sum);
    }

    fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Appends a number in parts of seven bits.
pub(in crate::ops) fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= u64::from(MORE) {
        bytes.push(number as u8 | MORE);
        number >>= PART_BITS;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front: 0 if there is none.
fn pop(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((first, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(first & !MORE) << shift;
        if first & MORE == 0 {
            break;
        }
        shift += PART_BITS;
    }
    number
}

/// Takes a number off the front of bytes that come from outside: none if there is none.
#[cfg(feature = "ops-sqlite")]
pub(in crate::ops) fn pop_checked(bytes: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for part in 0..=u64::BITS / PART_BITS {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & !MORE);
        number |= bits.checked_shl(part * PART_BITS)?;
        if first & MORE == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    #[test]
    fn packed_histogram_without_values_has_no_bytes() {
        let packed = PackedHistogram::new(&Histogram::new());
        assert_eq!(packed.heap_bytes(), 0);
        assert_eq!(packed.unpack(), Histogram::new());
    }

    #[test]
    fn packed_histogram_merges_as_the_histogram_does() {
        let (mut one, mut two) = (Histogram::new(), Histogram::new());
        one.record(1.0);
        two.record(1.0);
        two.record(3.0);
        let mut packed = PackedHistogram::new(&one);
        packed.merge(&PackedHistogram::new(&two));
        one.merge(&two);
        assert_eq!(packed.unpack(), one);
        assert_eq!(packed.sum(), 5.0);
        // The count, then two buckets: a distance of 950 or so in two bytes, a small one, and two counts.
        assert_eq!(packed.heap_bytes(), 6);
    }

    proptest! {
        #[test]
        fn packed_histogram_keeps_every_count(
            buckets in btree_map(0..BUCKETS as u16, 1..=u64::MAX, 0..100),
            sum in any::<f64>().prop_filter("a number", |sum| !sum.is_nan()),
            q in 0.0..=1.0f64,
        ) {
            let histogram = Histogram::from_buckets(buckets, sum, 0);
            let packed = PackedHistogram::new(&histogram);
            prop_assert_eq!(packed.count(), histogram.count());
            prop_assert_eq!(packed.quantile(q), histogram.quantile(q));
            prop_assert_eq!(packed.unpack(), histogram);
        }
    }
}
