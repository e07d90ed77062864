use std::sync::{Arc, OnceLock};

use http::Extensions;

use super::{tracker_chain::TrackerChain, tracker_id::TrackerId};
use crate::context::{Claimed, Context};

/// A request extension in which an inner service stores the route for the trackers outside of it.
///
/// A [`Track`](super::Track) inserts it into the request's extensions, and reads the route when the call completes, if
/// axum's `MatchedPath` was missing. [`RouteLayer`](super::RouteLayer) sets the route; so can a custom router.
#[derive(Clone, Debug)]
pub struct RouteSlot {
    /// `None` if the outer trackers know the route already.
    route: Option<RouteCell>,
    trackers: Option<TrackerChain>,
}

/// A route that is set once.
pub(super) type RouteCell = Arc<OnceLock<Box<str>>>;

/// The position of a tracker among the trackers that a request passes. Contains the cell of the route, if the tracker
/// needs it.
#[derive(Debug)]
pub(super) enum TrackerPosition {
    /// The request has no outer tracker.
    Outermost(Option<RouteCell>),
    /// All outer trackers have other names or the other side.
    Inner(Option<RouteCell>),
    /// An outer tracker has the same name and side.
    Duplicate,
}

impl Default for RouteSlot {
    fn default() -> Self {
        RouteSlot {
            route: Some(RouteCell::default()),
            trackers: None,
        }
    }
}

impl RouteSlot {
    /// Sets the route: a template such as `/orders/{id}`, never the path.
    ///
    /// Does nothing if no tracker needs the route, or if it has been set before.
    ///
    /// A custom router, which knows the route before it calls the handler:
    ///
    /// ```
    /// use tower_keep::track::RouteSlot;
    ///
    /// let mut request = http::Request::new(());
    /// request.extensions_mut().insert(RouteSlot::default());
    /// RouteSlot::set(request.extensions(), "/orders/{id}");
    /// ```
    pub fn set(extensions: &Extensions, route: &str) {
        if let Some(slot) = extensions.get::<RouteSlot>()
            && let Some(cell) = &slot.route
        {
            cell.get_or_init(|| route.into());
        }
    }

    /// Registers a tracker that the request passes, and returns its position.
    ///
    /// Stored in the request: nothing else tells an inner tracker of the same call from a tracker around another call
    /// that the handler makes in the same process.
    pub(super) fn register_tracker(
        extensions: &mut Extensions,
        tracker: TrackerId,
        needs_route: bool,
    ) -> TrackerPosition {
        let claimed = claim_context(extensions, tracker);
        if claimed == Claimed::Again {
            return TrackerPosition::Duplicate;
        }
        let Some(slot) = extensions.get_mut::<RouteSlot>() else {
            if claimed == Claimed::First && !needs_route {
                return TrackerPosition::Outermost(None);
            }
            let route = needs_route.then(RouteCell::default);
            let outer = None;
            extensions.insert(RouteSlot {
                route: route.clone(),
                trackers: Some(TrackerChain { tracker, outer }),
            });
            return TrackerPosition::Outermost(route);
        };
        let outer = slot.trackers.as_ref();
        if outer.is_some_and(|outer| outer.contains(tracker)) {
            return TrackerPosition::Duplicate;
        }
        // On the heap only now, since most requests pass one tracker.
        let outer = slot.trackers.take().map(Arc::new);
        slot.trackers = Some(TrackerChain { tracker, outer });
        // One cell for all trackers: a router sets the route once.
        let route = || slot.route.get_or_insert_default().clone();
        TrackerPosition::Inner(needs_route.then(route))
    }
}

/// Asks the context of the request for the call: an entry that a request on a server has anyway.
#[inline]
fn claim_context(extensions: &Extensions, tracker: TrackerId) -> Claimed {
    let context = extensions.get::<Context>();
    context.map_or(Claimed::Unknown, |context| {
        context.claim_for_tracker(tracker.as_u64())
    })
}
