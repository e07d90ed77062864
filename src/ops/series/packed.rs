use super::{Histogram, point::Point};

/// The bits of a byte that carry a part of a number; the eighth says that another byte follows.
const PART_BITS: u32 = 7;
const MORE: u8 = 1 << PART_BITS;

/// A histogram in few bytes: what a ring keeps. Two to four bytes per bucket that has values, and none without values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedHistogram {
    /// For each bucket the distance to the one before and the count, in parts of seven bits.
    bytes: Box<[u8]>,
    sum: f64,
}

impl PackedHistogram {
    /// Packs the counts and the sum of a histogram.
    pub fn new(histogram: &Histogram) -> Self {
        let mut bytes = Vec::with_capacity(histogram.buckets().len() * 3);
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
        let mut index = 0;
        std::iter::from_fn(move || {
            index += pop(&mut rest)? as u16;
            Some((index, pop(&mut rest)?))
        })
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

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= u64::from(MORE) {
        bytes.push(number as u8 | MORE);
        number >>= PART_BITS;
    }
    bytes.push(number as u8);
}

#[inline]
fn pop(bytes: &mut &[u8]) -> Option<u64> {
    match bytes.split_first()? {
        // Most numbers are one byte.
        (first, rest) if *first < MORE => {
            *bytes = rest;
            Some(u64::from(*first))
        }
        _ => pop_parts(bytes),
    }
}

fn pop_parts(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & !MORE) << shift;
        if first & MORE == 0 {
            return Some(number);
        }
        shift += PART_BITS;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::ops::series::buckets::BUCKETS;

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
        // Two buckets: a distance of 950 or so in two bytes, a small one, and two counts.
        assert_eq!(packed.heap_bytes(), 5);
    }

    proptest! {
        #[test]
        fn packed_histogram_keeps_every_count(
            buckets in btree_map(0..BUCKETS as u16, 1..=u64::MAX, 0..100),
            sum in any::<f64>().prop_filter("a number", |sum| !sum.is_nan()),
        ) {
            let histogram = Histogram::from_buckets(buckets, sum, 0);
            prop_assert_eq!(PackedHistogram::new(&histogram).unpack(), histogram);
        }
    }
}
