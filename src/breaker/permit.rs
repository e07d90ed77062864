/// The permit of a call that a breaker has admitted: where its result counts, and how far it has been counted.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, Copy, PartialEq))]
pub struct BreakerPermit {
    /// A result that bears another generation than the present one is too late.
    pub(super) generation: u64,
    pub(super) state: PermitState,
}

// Every call compares the state: a tag that hides in a niche of a field takes more instructions to read.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PermitState {
    /// Does not count, or has been counted for good.
    Uncounted,
    /// Admitted by a closed or disabled circuit, and not counted yet.
    Admitted,
    /// Counted as a success at its head by a closed circuit. Its body may still break.
    Success {
        /// The number of the window's shape that the bucket belongs to. First, next to the tag: the order takes effect.
        shape: u8,
        slow: bool,
        /// The last bits of the bucket in which it was counted.
        bucket: u32,
        /// The run of successes in which it was counted, or an earlier one.
        run_id: u32,
    },
    /// A probe of the half-open phase, identified by its ordinal.
    Probe { ordinal: u32 },
    /// A probe that was counted at its head. The body of a success may still break.
    ProbeCounted { succeeded: bool },
}

impl PermitState {
    /// Returns whether the call was counted at its head, and only a body that breaks can change that.
    #[inline]
    pub(super) fn is_counted(self) -> bool {
        matches!(
            self,
            PermitState::Success { .. } | PermitState::ProbeCounted { .. }
        )
    }
}
