/// Reason for no further attempt although one might have helped: the label `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRetried {
    /// All attempts were made.
    MaxAttempts,
    /// The budget is used up.
    Budget,
    /// No time would be left for it.
    Deadline,
    /// The peer asks for none, or for a longer wait than is allowed.
    RetryAfter,
    /// The work must not be done twice.
    NotRepeatable,
    /// The service failed to become ready again.
    NotReady,
}

impl NotRetried {
    pub(super) const ALL: [NotRetried; 6] = [
        NotRetried::MaxAttempts,
        NotRetried::Budget,
        NotRetried::Deadline,
        NotRetried::RetryAfter,
        NotRetried::NotRepeatable,
        NotRetried::NotReady,
    ];

    /// In lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            NotRetried::MaxAttempts => "limit",
            NotRetried::Budget => "budget",
            NotRetried::Deadline => "deadline",
            NotRetried::RetryAfter => "hint",
            NotRetried::NotRepeatable => "not_repeatable",
            NotRetried::NotReady => "not_ready",
        }
    }

    /// Its name among the figures of a retry.
    pub(super) const fn stat_name(self) -> &'static str {
        match self {
            NotRetried::MaxAttempts => "refused_limit",
            NotRetried::Budget => "refused_budget",
            NotRetried::Deadline => "refused_deadline",
            NotRetried::RetryAfter => "refused_hint",
            NotRetried::NotRepeatable => "refused_not_repeatable",
            NotRetried::NotReady => "refused_not_ready",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}
