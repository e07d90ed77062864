use std::{fmt, time::Duration};

/// An optional number in eight bytes, since every call carries it along and is copied with it.
///
/// The largest number stands for `None`: no body has as many bytes, and no call lasts for as many nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedOption(u64);

impl PackedOption {
    pub(crate) const NONE: PackedOption = PackedOption(u64::MAX);

    #[inline]
    pub(crate) fn new(number: Option<u64>) -> Self {
        number.map_or(PackedOption::NONE, PackedOption)
    }

    #[inline]
    pub(crate) fn get(self) -> Option<u64> {
        (self != PackedOption::NONE).then_some(self.0)
    }

    /// Stores a time in nanoseconds, capped at five centuries.
    #[inline]
    pub(crate) fn from_duration(time: Option<Duration>) -> Self {
        // One less than the largest, which stands for `None`.
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
        PackedOption::new(time.map(nanos))
    }

    #[inline]
    pub(crate) fn as_duration(self) -> Option<Duration> {
        self.get().map(Duration::from_nanos)
    }
}

impl fmt::Debug for PackedOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_option_returns_its_number_and_caps_a_duration() {
        for number in [None, Some(0), Some(7), Some(u64::MAX - 1)] {
            assert_eq!(PackedOption::new(number).get(), number);
        }
        let minute = Some(Duration::from_secs(60));
        assert_eq!(PackedOption::from_duration(minute).as_duration(), minute);
        assert_eq!(PackedOption::from_duration(None).as_duration(), None);
        let longest = Some(Duration::from_nanos(u64::MAX - 1));
        assert_eq!(
            PackedOption::from_duration(Some(Duration::MAX)).as_duration(),
            longest
        );
    }
}
