use std::sync::Arc;

use super::tracker_id::TrackerId;

/// The trackers that a request has passed, the innermost first.
#[derive(Clone, Debug)]
pub(super) struct TrackerChain {
    pub(super) tracker: TrackerId,
    pub(super) outer: Option<Arc<TrackerChain>>,
}

impl TrackerChain {
    pub(super) fn contains(&self, tracker: TrackerId) -> bool {
        let mut trackers = std::iter::successors(Some(self), |chain| chain.outer.as_deref());
        trackers.any(|chain| chain.tracker == tracker)
    }
}
