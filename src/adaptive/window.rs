use std::time::Duration;

/// The calls that ended in some time, as an algorithm gets to know them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// The time from the first of these calls' ends to the last.
    pub duration: Duration,
    /// The calls that gave a time: the peer answered them.
    pub samples: u64,
    /// The calls that the peer had no room for (429, 503, `RESOURCE_EXHAUSTED`), or that ran into a time limit.
    pub overloads: u64,
    /// The shortest of the times.
    pub min: Duration,
    /// The mean of the times.
    pub mean: Duration,
    /// The time that nine of ten calls did not exceed.
    pub p90: Duration,
    /// The most calls that were in flight at once.
    pub max_in_flight: u32,
    /// True if calls used all of the limit at some time.
    pub was_full: bool,
}

impl Window {
    /// The share of calls that tell of an overload from which on a peer is overloaded: a stray one says nothing.
    const OVERLOADED: f64 = 0.01;

    /// Creates a window in which so many calls took the same time, for tests of an algorithm.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::adaptive::{Aimd, Limit, Window};
    ///
    /// let calm = Window::new(100, Duration::from_millis(20)).with_in_flight(10, true);
    /// assert_eq!(Aimd::default().update(10.0, &calm), 11.0);
    /// ```
    pub fn new(samples: u64, time: Duration) -> Self {
        Window {
            duration: Duration::from_secs(1),
            samples,
            overloads: 0,
            min: time,
            mean: time,
            p90: time,
            max_in_flight: 0,
            was_full: false,
        }
    }

    /// Sets the most calls in flight, and whether the limit was reached.
    #[must_use]
    pub fn with_in_flight(mut self, max: u32, was_full: bool) -> Self {
        self.max_in_flight = max;
        self.was_full = was_full;
        self
    }

    /// Sets the number of calls that tell of an overload.
    #[must_use]
    pub fn with_overloads(mut self, calls: u64) -> Self {
        self.overloads = calls;
        self
    }

    /// Returns whether at least one call of a hundred tells of an overload.
    pub fn is_overloaded(&self) -> bool {
        let all = self.samples + self.overloads;
        self.overloads > 0 && self.overloads as f64 >= all as f64 * Window::OVERLOADED
    }
}
