use super::group::ErrorGroup;

/// An event for subscribers of an [`ErrorTracker`](super::ErrorTracker).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorEvent {
    /// The group is new, or was evicted so long ago that the tracker no longer knows it.
    New(ErrorGroup),
    /// The group was resolved, and is open again.
    Regressed(ErrorGroup),
    /// The subscriber was too slow and lost this many events. The groups themselves are in
    /// [`ErrorTracker::groups`](super::ErrorTracker::groups).
    Lagged(u64),
}
