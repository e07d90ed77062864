use crate::call::{Label, Outcome};

/// The mark of a fallback, in the extensions of its responses and of requests to its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackInfo {
    pub(super) name: Label,
    pub(super) outcome: Outcome,
}

impl FallbackInfo {
    /// Returns the fallback's name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the outcome of the call that the response replaces.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}
