/// Reason for no further attempt although one might have helped: the label `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// All attempts were made.
    Limit,
    /// The budget is used up.
    Budget,
    /// No time would be left for it.
    Deadline,
    /// The peer asks for none, or for a longer wait than is allowed.
    Hint,
    /// The work must not be done twice.
    NotRepeatable,
    /// The service failed to become ready again.
    NotReady,
}

impl Refusal {
    pub(super) const ALL: [Refusal; 6] = [
        Refusal::Limit,
        Refusal::Budget,
        Refusal::Deadline,
        Refusal::Hint,
        Refusal::NotRepeatable,
        Refusal::NotReady,
    ];

    /// In lower case, words joined by `_`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Limit => "limit",
            Refusal::Budget => "budget",
            Refusal::Deadline => "deadline",
            Refusal::Hint => "hint",
            Refusal::NotRepeatable => "not_repeatable",
            Refusal::NotReady => "not_ready",
        }
    }

    /// Its name among the figures of a retry.
    pub(super) const fn figure(self) -> &'static str {
        match self {
            Refusal::Limit => "refused_limit",
            Refusal::Budget => "refused_budget",
            Refusal::Deadline => "refused_deadline",
            Refusal::Hint => "refused_hint",
            Refusal::NotRepeatable => "refused_not_repeatable",
            Refusal::NotReady => "refused_not_ready",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}
