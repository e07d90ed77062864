use std::sync::atomic::{AtomicU64, Ordering};

/// The tracker that stands right inside of the guard that made a context: the first that asks for the call.
///
/// A request that passes several trackers has a list of them in its extensions, whose table grows with the entry. The
/// context is there anyway, so one tracker needs no list.
#[derive(Debug)]
pub(super) struct TrackerClaim(AtomicU64);

/// The answer to a tracker that asks for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// The context belongs to this tracker from now on.
    First,
    /// The same tracker has asked before: it stands further out, or has the same name.
    Again,
    /// The context says nothing of this tracker.
    Unknown,
}

/// The value while none has asked.
const FREE: u64 = 0;
/// The value where none stands right inside.
const NONE: u64 = 1;

impl TrackerClaim {
    pub(super) fn new(has_tracker: bool) -> Self {
        TrackerClaim(AtomicU64::new(if has_tracker { FREE } else { NONE }))
    }

    /// Asks in the name of a tracker, whose number is neither 0 nor 1.
    #[inline]
    pub(super) fn claim(&self, tracker: u64) -> Claimed {
        // Two steps, since nobody else has the context yet when the first tracker asks.
        match self.0.load(Ordering::Relaxed) {
            FREE => {
                self.0.store(tracker, Ordering::Relaxed);
                Claimed::First
            }
            claimed if claimed == tracker => Claimed::Again,
            _ => Claimed::Unknown,
        }
    }
}

/// A context that is derived from another one is of the same call.
impl Clone for TrackerClaim {
    fn clone(&self) -> Self {
        TrackerClaim(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claim_is_of_the_first_tracker_where_one_stands_inside() {
        let claim = TrackerClaim::new(true);
        assert_eq!(claim.claim(8), Claimed::First);
        assert_eq!(claim.claim(8), Claimed::Again);
        assert_eq!(claim.claim(9), Claimed::Unknown);
        assert_eq!(claim.clone().claim(8), Claimed::Again);
        assert_eq!(TrackerClaim::new(false).claim(8), Claimed::Unknown);
    }
}
