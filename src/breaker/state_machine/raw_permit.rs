/// The permit of one call: where it counts, and how far it has been counted. Settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct RawPermit {
    /// A result that bears another generation than the present one is too late.
    pub(in super::super) generation: u64,
    pub(in super::super) state: PermitState,
}

// Every call asks which it is: a tag that hides in a field takes more to read.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum PermitState {
    /// Counts nothing, or has been counted for good.
    Uncounted,
    /// Let pass by a closed or disabled circuit; not counted yet.
    Admitted,
    /// Counted as a success at its head by a closed circuit.
    Counted(CountedSuccess),
    /// A probe of the half-open phase.
    Probe(ProbeId),
    /// A probe with a good head, whose body may still break.
    ProbeCounted(ProbeId),
}

/// The place of a probe in the half-open phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct ProbeId {
    pub(in super::super) index: u32,
    /// Tells it from the probes that have had the place before, and from those that have it later.
    pub(in super::super) ordinal: u32,
}

/// A success that was counted at the head of a response, and may turn out to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct CountedSuccess {
    /// The last bits of the bucket that it was counted in.
    pub(in super::super) bucket: u32,
    /// How many failures there had been by then.
    pub(in super::super) run_id: u32,
    pub(in super::super) slow: bool,
}

impl RawPermit {
    pub(in super::super) fn is_probe(&self) -> bool {
        matches!(self.state, PermitState::Probe(_))
    }

    pub(in super::super) fn admitted(generation: u64) -> Self {
        RawPermit {
            generation,
            state: PermitState::Admitted,
        }
    }

    /// A call that passes although it should not: a shadow lets it.
    pub(in super::super) fn uncounted(generation: u64) -> Self {
        RawPermit {
            generation,
            state: PermitState::Uncounted,
        }
    }
}
