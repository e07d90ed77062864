use std::{fmt, time::Duration};

/// An optional number in the space of one: what every call carries along is copied with it, so it is kept small.
///
/// The largest number stands for none; no body has that many bytes, and no call lasts for as many nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Small(u64);

impl Small {
    pub(crate) const NONE: Small = Small(u64::MAX);

    #[inline]
    pub(crate) fn of(number: Option<u64>) -> Self {
        number.map_or(Small::NONE, Small)
    }

    #[inline]
    pub(crate) fn get(self) -> Option<u64> {
        (self != Small::NONE).then_some(self.0)
    }

    /// A time in nanoseconds; five centuries are as good as more.
    #[inline]
    pub(crate) fn of_time(time: Option<Duration>) -> Self {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
        Small::of(time.map(nanos))
    }

    #[inline]
    pub(crate) fn time(self) -> Option<Duration> {
        self.get().map(Duration::from_nanos)
    }
}

impl fmt::Debug for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_and_a_time_that_is_too_long_is_the_longest() {
        for number in [None, Some(0), Some(7), Some(u64::MAX - 1)] {
            assert_eq!(Small::of(number).get(), number);
        }
        let minute = Some(Duration::from_secs(60));
        assert_eq!(Small::of_time(minute).time(), minute);
        assert_eq!(Small::of_time(None).time(), None);
        let longest = Some(Duration::from_nanos(u64::MAX - 1));
        assert_eq!(Small::of_time(Some(Duration::MAX)).time(), longest);
    }
}
