/// The caller's sampling decision, in the terms of B3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sampling {
    /// Left to the receiver.
    Deferred,
    Denied,
    Accepted,
    /// Accepted, whatever later samplers decide.
    Debug,
}

impl Sampling {
    /// Returns whether to sample; None if that is left to the receiver.
    pub(crate) fn decision(self) -> Option<bool> {
        match self {
            Sampling::Deferred => None,
            Sampling::Denied => Some(false),
            Sampling::Accepted | Sampling::Debug => Some(true),
        }
    }
}
