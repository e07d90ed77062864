/// The reason why a fallback did not respond to a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackError {
    /// The fallback service failed to become ready.
    NotReady,
    /// The fallback service failed as well.
    Failed,
    /// The closure panicked.
    Panicked,
    /// The request cannot be sent to another service.
    NotRepeatable,
    /// The caller's deadline had passed before the fallback service was called, or passed before it responded.
    Deadline,
}

impl FallbackError {
    pub(super) const ALL: [FallbackError; 5] = [
        FallbackError::NotReady,
        FallbackError::Failed,
        FallbackError::Panicked,
        FallbackError::NotRepeatable,
        FallbackError::Deadline,
    ];

    /// Returns the label value.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FallbackError::NotReady => "not_ready",
            FallbackError::Failed => "failed",
            FallbackError::Panicked => "panicked",
            FallbackError::NotRepeatable => "not_repeatable",
            FallbackError::Deadline => "deadline",
        }
    }
}
