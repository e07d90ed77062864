/// The permit of one call: where it counts, and how far it has been counted. Settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Pass {
    /// A result that bears another generation than the present one is too late.
    pub(in super::super) generation: u64,
    pub(in super::super) standing: Standing,
}

// Every call asks which it is: a tag that hides in a field takes more to read.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// Counts nothing, or has been counted for good.
    Void,
    /// Let pass by a closed or disabled circuit; not counted yet.
    Passing,
    /// Counted as a success at its head by a closed circuit.
    Counted(Counted),
    /// A probe of the half-open phase.
    Probe(Probe),
    /// A probe with a good head, whose body may still break.
    Probed(Probe),
}

/// The place of a probe in the half-open phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Probe {
    pub(in super::super) place: u32,
    /// Tells it from the probes that have had the place before, and from those that have it later.
    pub(in super::super) number: u32,
}

/// A success that was counted at the head of a response, and may turn out to be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Counted {
    /// The last bits of the bucket that it was counted in.
    pub(in super::super) tick: u32,
    /// How many failures there had been by then.
    pub(in super::super) run: u32,
    pub(in super::super) slow: bool,
}

impl Pass {
    pub(in super::super) fn is_probe(&self) -> bool {
        matches!(self.standing, Standing::Probe(_))
    }

    pub(in super::super) fn passing(generation: u64) -> Self {
        Pass {
            generation,
            standing: Standing::Passing,
        }
    }

    /// A call that passes although it should not: a shadow lets it.
    pub(in super::super) fn void(generation: u64) -> Self {
        Pass {
            generation,
            standing: Standing::Void,
        }
    }
}
