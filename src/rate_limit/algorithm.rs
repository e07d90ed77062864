/// The algorithm by which a rate limit counts. The rate and the burst mean the same to all; a *window* is the time in which the burst
/// comes back, which is the period unless a burst is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum RateAlgorithm {
    /// The generic cell rate algorithm, a token bucket: calls come back one by one. Any stretch of time sees at most the burst and what
    /// the rate allows for it. The best choice unless others count otherwise.
    #[default]
    Gcra,
    /// The burst in each window, from whose start all of it is there again. For peers that count so: otherwise twice the burst may
    /// come together, at the end of a window and the start of the next. Windows begin with the limit itself.
    FixedWindow,
    /// The burst in the last window, estimated from the counts of two fixed ones: that of the one before weighs as much as it overlaps.
    /// Bursts are at most 4,095, and windows a second or longer.
    SlidingWindow,
}

impl RateAlgorithm {
    #[cfg(test)]
    pub(super) const ALL: [RateAlgorithm; 3] = [
        RateAlgorithm::Gcra,
        RateAlgorithm::FixedWindow,
        RateAlgorithm::SlidingWindow,
    ];

    /// Returns the name in lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RateAlgorithm::Gcra => "gcra",
            RateAlgorithm::FixedWindow => "fixed_window",
            RateAlgorithm::SlidingWindow => "sliding_window",
        }
    }
}
