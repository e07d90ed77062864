use std::sync::{Arc, OnceLock};

use http::Extensions;

use super::tracker_id::{TrackerChain, TrackerId};
use crate::context::Context;

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
        let context = extensions.get::<Context>();
        let outermost = context.and_then(Context::marked_by);
        if outermost == Some(tracker.as_u64()) {
            return TrackerPosition::Duplicate;
        }
        if extensions.get::<RouteSlot>().is_some() {
            let slot = extensions.get_or_insert_default::<RouteSlot>();
            return slot.register(tracker, needs_route);
        }
        // The usual one, inside of a router, needs no more than a mark.
        if !needs_route && context.is_some_and(|context| context.mark(tracker.as_u64())) {
            return TrackerPosition::Outermost(None);
        }
        let route = needs_route.then(RouteCell::default);
        let outer = None;
        extensions.insert(RouteSlot {
            route: route.clone(),
            trackers: Some(TrackerChain { tracker, outer }),
        });
        match outermost {
            Some(_) => TrackerPosition::Inner(route),
            None => TrackerPosition::Outermost(route),
        }
    }

    fn register(&mut self, tracker: TrackerId, needs_route: bool) -> TrackerPosition {
        let outer = self.trackers.as_ref();
        if outer.is_some_and(|outer| outer.contains(tracker)) {
            return TrackerPosition::Duplicate;
        }
        // On the heap only now, since most requests pass one tracker.
        let outer = self.trackers.take().map(Arc::new);
        self.trackers = Some(TrackerChain { tracker, outer });
        // One cell for all trackers: a router sets the route once.
        let route = || self.route.get_or_insert_default().clone();
        TrackerPosition::Inner(needs_route.then(route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::Label, protocol::Side};

    fn tracker(name: &'static str) -> TrackerId {
        TrackerId::new(&Label::from(name)).with_side(Side::Server)
    }

    fn is_duplicate(extensions: &mut Extensions, name: &'static str) -> bool {
        let position = RouteSlot::register_tracker(extensions, tracker(name), false);
        matches!(position, TrackerPosition::Duplicate)
    }

    fn cell(position: TrackerPosition) -> RouteCell {
        match position {
            TrackerPosition::Outermost(Some(cell)) | TrackerPosition::Inner(Some(cell)) => cell,
            other => panic!("{other:?}"),
        }
    }

    /// Runs work with the extensions of a request as they are inside of `Correlate`.
    fn in_context(work: impl FnOnce(&mut Extensions)) {
        let mut extensions = Extensions::new();
        let context = Context::new_root();
        extensions.insert(context.clone());
        let mut slot = Some(context);
        let _scope = crate::context::ContextScope::enter(&mut slot);
        work(&mut extensions);
    }

    #[test]
    fn tracker_is_registered_in_the_context_or_in_an_extension_of_its_own() {
        in_context(|extensions| {
            assert!(!is_duplicate(extensions, "a"));
            assert_eq!(extensions.len(), 1);
            assert!(is_duplicate(extensions, "a") && !is_duplicate(extensions, "b"));
            assert_eq!(extensions.len(), 2);
            assert!(is_duplicate(extensions, "a") && is_duplicate(extensions, "b"));
            assert!(!is_duplicate(extensions, "c"));
            assert!(["a", "b", "c"].map(|name| is_duplicate(extensions, name)) == [true; 3]);
        });
        let mut extensions = Extensions::new();
        assert!(!is_duplicate(&mut extensions, "a"));
        assert!(is_duplicate(&mut extensions, "a"));
    }

    #[test]
    fn copies_of_a_request_register_their_trackers_apart() {
        in_context(|extensions| {
            let mut copy = extensions.clone();
            assert!(!is_duplicate(extensions, "a") && !is_duplicate(&mut copy, "a"));
            assert!(is_duplicate(extensions, "a") && is_duplicate(&mut copy, "a"));
        });
    }

    #[test]
    fn route_is_set_for_all_trackers_that_need_it() {
        in_context(|extensions| {
            let outermost = cell(RouteSlot::register_tracker(extensions, tracker("a"), true));
            assert!(!is_duplicate(extensions, "b"));
            let inner = cell(RouteSlot::register_tracker(extensions, tracker("c"), true));
            RouteSlot::set(extensions, "/orders/{id}");
            RouteSlot::set(extensions, "/later");
            for cell in [outermost, inner] {
                assert_eq!(cell.get().map(|route| &**route), Some("/orders/{id}"));
            }
        });
    }

    #[test]
    fn route_is_set_for_an_inner_tracker_alone() {
        in_context(|extensions| {
            assert!(!is_duplicate(extensions, "a"));
            let inner = cell(RouteSlot::register_tracker(extensions, tracker("b"), true));
            RouteSlot::set(extensions, "/orders/{id}");
            assert_eq!(inner.get().map(|route| &**route), Some("/orders/{id}"));
        });
    }
}
