/// The reason for which a bulkhead rejects a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectReason {
    /// All slots are taken, and the call could not wait for one.
    Full,
    /// All slots are taken, and so are all places in the queue.
    QueueFull,
    /// The call would wait, or has waited, for longer than the bulkhead lets it.
    WaitLimit,
    /// The deadline of the call would pass, or has passed, while it waited.
    Deadline,
    /// A later call has taken its place in a queue of last in, first out, or by priority.
    Displaced,
}

impl RejectReason {
    /// All reasons, in the order of the enum.
    pub(super) const ALL: [RejectReason; 5] = [
        RejectReason::Full,
        RejectReason::QueueFull,
        RejectReason::WaitLimit,
        RejectReason::Deadline,
        RejectReason::Displaced,
    ];

    /// Returns the reason in lower case, words joined by `_`, for labels and rejections.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            RejectReason::Full => "full",
            RejectReason::QueueFull => "queue_full",
            RejectReason::WaitLimit => "wait_limit",
            RejectReason::Deadline => "deadline",
            RejectReason::Displaced => "displaced",
        }
    }
}
