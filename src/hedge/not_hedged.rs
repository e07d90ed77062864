/// The reason why no hedge was sent although one was due: label `reason` of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHedged {
    /// The budget is used up.
    Budget,
    /// Too many attempts fail.
    Failing,
    /// The deadline does not leave enough time.
    Deadline,
    /// The caller is still sending the request.
    Upload,
    /// The request cannot be copied: it is too long.
    TooLong,
    /// The service was not ready.
    NotReady,
}

impl NotHedged {
    pub(super) const ALL: [NotHedged; 6] = [
        NotHedged::Budget,
        NotHedged::Failing,
        NotHedged::Deadline,
        NotHedged::Upload,
        NotHedged::TooLong,
        NotHedged::NotReady,
    ];

    /// Returns the label of the metric, in snake case.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            NotHedged::Budget => "budget",
            NotHedged::Failing => "failing",
            NotHedged::Deadline => "deadline",
            NotHedged::Upload => "upload",
            NotHedged::TooLong => "too_long",
            NotHedged::NotReady => "not_ready",
        }
    }

    /// Returns the name among the stats in the registry.
    pub(super) const fn stat_name(self) -> &'static str {
        match self {
            NotHedged::Budget => "not_hedged_budget",
            NotHedged::Failing => "not_hedged_failing",
            NotHedged::Deadline => "not_hedged_deadline",
            NotHedged::Upload => "not_hedged_upload",
            NotHedged::TooLong => "not_hedged_too_long",
            NotHedged::NotReady => "not_hedged_not_ready",
        }
    }

    /// Returns the index in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        // The order of `ALL` is that of the variants: a test compares them.
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_hedged_reasons_have_their_own_index() {
        for (index, reason) in NotHedged::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            let name = format!("not_hedged_{}", reason.as_str());
            assert_eq!(reason.stat_name(), name);
        }
    }
}
