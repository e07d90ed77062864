use std::time::Duration;

/// The window slides by a tenth of its length.
pub(super) const SLICE_COUNT: usize = 10;

/// The division of time into numbered slices, in one word. Bits, high to low: 32 length of a slice in microseconds,
/// 32 offset of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slicing {
    micros: u32,
    offset: u32,
}

impl Slicing {
    /// Returns the slicing of a window, whose numbers begin with 0.
    pub(super) fn new(window: Duration) -> Self {
        // From 10,000 to 360,000,000.
        let micros = (window / SLICE_COUNT as u32).as_micros() as u32;
        Slicing { micros, offset: 0 }
    }

    pub(super) fn pack(self) -> u64 {
        u64::from(self.micros) << 32 | u64::from(self.offset)
    }

    pub(super) fn unpack(word: u64) -> Self {
        Slicing {
            micros: (word >> 32) as u32,
            offset: word as u32,
        }
    }

    /// Returns the number of the slice at a time.
    pub(super) fn slice_at(self, elapsed: Duration) -> u32 {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let slices = micros / u64::from(self.micros) + u64::from(self.offset);
        u32::try_from(slices).unwrap_or(u32::MAX)
    }

    pub(super) fn has_length_of(self, other: Self) -> bool {
        self.micros == other.micros
    }

    /// Returns the slicing with numbers so far above those in use that nothing which was counted by the slicing before
    /// is in a slice of this one.
    pub(super) fn above(self, latest: u32, elapsed: Duration) -> Self {
        let above = latest.saturating_add(2 * SLICE_COUNT as u32);
        let missing = above.saturating_sub(self.slice_at(elapsed));
        Slicing {
            offset: self.offset.saturating_add(missing),
            ..self
        }
    }

    /// Returns the age of a slice, in slices of another slicing; `None` if it is as old as a window of either.
    pub(super) fn age_in(self, other: Self, age: u32) -> Option<u32> {
        let micros = u64::from(age) * u64::from(self.micros);
        let in_other = u32::try_from(micros / u64::from(other.micros)).ok()?;
        (age.max(in_other) < SLICE_COUNT as u32).then_some(in_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slice_is_numbered_by_its_length_from_the_offset() {
        let slicing = Slicing::new(10 * SECOND);
        for (micros, slice) in [(0, 0), (999_999, 0), (1_000_000, 1), (7_500_000, 7)] {
            assert_eq!(slicing.slice_at(Duration::from_micros(micros)), slice);
        }
        let above = slicing.above(7, 7 * SECOND);
        assert_eq!(
            (above.slice_at(7 * SECOND), above.slice_at(8 * SECOND)),
            (27, 28)
        );
        assert_eq!(Slicing::unpack(above.pack()), above);
        assert!(above.has_length_of(slicing) && !above.has_length_of(Slicing::new(SECOND)));
        assert_eq!(
            slicing.above(7, 40 * SECOND),
            slicing,
            "it is above already"
        );
        assert_eq!(slicing.above(20, 41 * SECOND).slice_at(41 * SECOND), 41);
        assert_eq!(slicing.above(22, 41 * SECOND).slice_at(41 * SECOND), 42);
        assert_eq!(above.slice_at(Duration::MAX), u32::MAX);
    }

    #[test]
    fn age_of_a_slice_is_kept_in_another_slicing() {
        let [tenth, second, two] = [1, 10, 20].map(|seconds| Slicing::new(seconds * SECOND));
        assert_eq!(second.age_in(tenth, 0), Some(0));
        assert_eq!(
            second.age_in(tenth, 1),
            None,
            "as old as the shorter window"
        );
        assert_eq!(tenth.age_in(second, 9), Some(0));
        assert_eq!(tenth.age_in(second, 10), None, "as old as its own window");
        assert_eq!(second.age_in(two, 9), Some(4));
        assert_eq!(two.age_in(second, 4), Some(8));
        assert_eq!(two.age_in(second, 5), None);
        assert_eq!(second.age_in(tenth, u32::MAX), None);
    }
}
