/// The reason for which an operator cannot do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum NotDone {
    /// The alert or the silence does not exist.
    Unknown,
    /// The alert is in another state.
    NotActive,
    /// The silence is over.
    IsOver,
    /// The number of silences is at its limit.
    TooMany,
}
