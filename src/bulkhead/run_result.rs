use crate::call::Evidence;

/// The result of a call that had a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunResult {
    /// The peer, or the work, did what it was asked for.
    Done,
    /// The peer, or the work, did not.
    Failed,
    /// Neither is known: the call was cancelled, or rejected further in, or its caller was at fault.
    Inconclusive,
}

impl RunResult {
    /// All results, in the order of the enum.
    pub(super) const ALL: [RunResult; 3] =
        [RunResult::Done, RunResult::Failed, RunResult::Inconclusive];

    #[inline]
    pub(super) fn from_evidence(evidence: Evidence) -> Self {
        match evidence {
            Evidence::Healthy => RunResult::Done,
            Evidence::Unhealthy => RunResult::Failed,
            Evidence::Inconclusive => RunResult::Inconclusive,
        }
    }

    /// Returns the result in lower case, for labels and stats.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RunResult::Done => "done",
            RunResult::Failed => "failed",
            RunResult::Inconclusive => "inconclusive",
        }
    }
}
