/// The reason for which a bulkhead rejects a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectReason {
    /// All slots are taken, and the call could not wait for one.
    Full,
}

impl RejectReason {
    /// All reasons, in the order of the enum.
    pub(super) const ALL: [RejectReason; 1] = [RejectReason::Full];

    /// Returns the reason in lower case, words joined by `_`, for labels.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RejectReason::Full => "full",
        }
    }
}
