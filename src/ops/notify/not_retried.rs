/// The reason for which a dead letter is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotResent {
    /// The log has no dead letter of this ID.
    NoDeadLetter,
    /// The channel has heard, or will, what is new of these alerts.
    Outdated,
}
