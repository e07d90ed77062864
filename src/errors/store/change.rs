/// The effect of a record on its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GroupChange {
    /// The record created the group.
    New,
    /// The group was resolved, and is open again.
    Regressed,
    /// The group was open already.
    Known,
    /// The group is ignored.
    Ignored,
    /// The group was evicted and is back. It counts from 1 again, but is not reported.
    Returned,
}
