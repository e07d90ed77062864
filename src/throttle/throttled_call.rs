/// The permit of a call that a throttle has admitted: what it has said about the peer so far.
#[derive(Debug, Default)]
pub struct ThrottledCall {
    pub(crate) result: CallResult,
}

/// The part of the counts that a call is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallResult {
    #[default]
    Unknown,
    Accepted {
        /// The slice of the window in which it counts.
        slice: u64,
    },
    /// Accepted in a slice that is not known.
    AcceptedSometime,
    Failed,
}

impl CallResult {
    pub(crate) fn slice(self) -> Option<u64> {
        match self {
            CallResult::Accepted { slice } => Some(slice),
            CallResult::Unknown | CallResult::AcceptedSometime | CallResult::Failed => None,
        }
    }
}
