//! The route of a call, for trackers that stand outside of the router.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::labels::CallSide;
use crate::call::Label;

/// Where the inside of a service leaves the route for a tracker outside of it.
///
/// A [`Track`](super::Track) puts one into the request's extensions, and finds the route there in the end if there was no
/// `MatchedPath` of axum's. [`RouteLayer`] fills it; so may a router of one's own. The first to fill it wins.
#[derive(Clone, Debug)]
pub struct RouteSlot {
    /// None where the route was known already.
    route: Option<RouteCell>,
    /// The trackers that the request has passed, the innermost first.
    trackers: Option<TrackerChain>,
}

/// The route itself, once it is known.
pub(super) type RouteCell = Arc<OnceLock<Box<str>>>;

/// A tracker that a request has passed, by its [`TrackerId`].
#[derive(Clone, Debug)]
struct TrackerChain {
    tracker: TrackerId,
    outer: Option<Arc<TrackerChain>>,
}

impl TrackerChain {
    fn contains(&self, tracker: TrackerId) -> bool {
        let mut trackers = std::iter::successors(Some(self), |passed| passed.outer.as_deref());
        trackers.any(|passed| passed.tracker == tracker)
    }
}

/// The name and the side of a tracker in one number: 63 bits of a hash, which is as good as the name, and costs nothing to
/// leave in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackerId(u64);

impl TrackerId {
    pub(super) fn new(name: &Label) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name.as_str());
        TrackerId(hash << 1)
    }

    pub(super) fn with_side(self, side: CallSide) -> Self {
        TrackerId(self.0 | u64::from(side == CallSide::Client))
    }
}

/// Tells which trackers a request has passed before this one.
#[derive(Debug)]
pub(super) enum TrackerPosition {
    /// No tracker. With where the route will be, if that is not known.
    Outermost(Option<RouteCell>),
    /// Others, likewise.
    Inner(Option<RouteCell>),
    /// One of the same name, on the same side.
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
    /// Leaves the route: a template such as `/orders/{id}`, never the path itself.
    ///
    /// Does nothing where no tracker asked, and where the route is known.
    pub fn set(extensions: &Extensions, route: &str) {
        if let Some(slot) = extensions.get::<RouteSlot>()
            && let Some(slot) = &slot.route
        {
            slot.get_or_init(|| route.into());
        }
    }

    /// Notes that the request passes a tracker.
    ///
    /// Kept in the request, since nothing else tells a tracker further in from one around another call, which a handler
    /// makes in the same process.
    pub(super) fn register_tracker(
        extensions: &mut Extensions,
        tracker: TrackerId,
        wants_route: bool,
    ) -> TrackerPosition {
        let Some(found) = extensions.get_mut::<RouteSlot>() else {
            let route = wants_route.then(RouteCell::default);
            let outer = None;
            extensions.insert(RouteSlot {
                route: route.clone(),
                trackers: Some(TrackerChain { tracker, outer }),
            });
            return TrackerPosition::Outermost(route);
        };
        let outer = found.trackers.as_ref();
        if outer.is_some_and(|outer| outer.contains(tracker)) {
            return TrackerPosition::Duplicate;
        }
        let outer = found.trackers.take().map(Arc::new);
        found.trackers = Some(TrackerChain { tracker, outer });
        let route = || found.route.get_or_insert_default().clone();
        TrackerPosition::Inner(wants_route.then(route))
    }
}

/// Tells a tracker outside of a router which route was taken.
///
/// With axum: `Router::new().route(..).route_layer(RouteLayer::matched_path())`, and the tracker round the whole app.
/// Elsewhere: `RouteLayer::new("orders")` round the service of one route.
#[derive(Clone, Debug)]
pub struct RouteLayer(RouteSource);

#[derive(Clone, Debug)]
enum RouteSource {
    #[cfg(feature = "axum")]
    MatchedPath,
    Fixed(Arc<str>),
}

impl RouteLayer {
    /// Takes the route from axum's `MatchedPath`.
    #[cfg(feature = "axum")]
    pub fn matched_path() -> Self {
        RouteLayer(RouteSource::MatchedPath)
    }

    /// Every request that comes here is of this route.
    pub fn new(route: impl Into<Arc<str>>) -> Self {
        RouteLayer(RouteSource::Fixed(route.into()))
    }
}

impl RouteSource {
    fn set_route(&self, extensions: &Extensions) {
        match self {
            #[cfg(feature = "axum")]
            RouteSource::MatchedPath => {
                if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
                    RouteSlot::set(extensions, path.as_str());
                }
            }
            RouteSource::Fixed(route) => RouteSlot::set(extensions, route),
        }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = RouteService<S>;

    fn layer(&self, inner: S) -> RouteService<S> {
        RouteService {
            inner,
            source: self.0.clone(),
        }
    }
}

/// Made by [`RouteLayer`].
#[derive(Clone, Debug)]
pub struct RouteService<S> {
    inner: S,
    source: RouteSource,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for RouteService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.source.set_route(request.extensions());
        self.inner.call(request)
    }
}
