//! The route of a call, for trackers that stand outside of the router.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::facts::Side;
use crate::call::Name;

/// Where the inside of a service leaves the route for a tracker outside of it.
///
/// A [`Track`](super::Track) puts one into the request's extensions, and finds the route there in the end if there was no
/// `MatchedPath` of axum's. [`RouteLayer`] fills it; so may a router of one's own. The first to fill it wins.
#[derive(Clone, Debug)]
pub struct RouteSlot {
    /// None where the route was known already.
    route: Option<Slot>,
    /// The trackers that the request has passed, the innermost first.
    passed: Option<Passed>,
}

/// The route itself, once it is known.
pub(super) type Slot = Arc<OnceLock<Box<str>>>;

/// A tracker that a request has passed, by its [`TrackerId`].
#[derive(Clone, Debug)]
struct Passed {
    tracker: TrackerId,
    outer: Option<Arc<Passed>>,
}

impl Passed {
    fn is_or_has(&self, tracker: TrackerId) -> bool {
        let mut trackers = std::iter::successors(Some(self), |passed| passed.outer.as_deref());
        trackers.any(|passed| passed.tracker == tracker)
    }
}

/// The name and the side of a tracker in one number: 63 bits of a hash, which is as good as the name, and costs nothing to
/// leave in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackerId(u64);

impl TrackerId {
    pub(super) fn new(name: &Name) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name.as_str());
        TrackerId(hash << 1)
    }

    pub(super) fn on(self, side: Side) -> Self {
        TrackerId(self.0 | u64::from(side == Side::Client))
    }
}

/// Tells which trackers a request has passed before this one.
#[derive(Debug)]
pub(super) enum Passage {
    /// No tracker. With where the route will be, if that is not known.
    First(Option<Slot>),
    /// Others, likewise.
    Next(Option<Slot>),
    /// One of the same name, on the same side.
    Again,
}

impl Default for RouteSlot {
    fn default() -> Self {
        RouteSlot {
            route: Some(Slot::default()),
            passed: None,
        }
    }
}

impl RouteSlot {
    /// Leaves the route: a template such as `/orders/{id}`, never the path itself.
    ///
    /// Does nothing where no tracker asked, and where the route is known.
    pub fn fill(extensions: &Extensions, route: &str) {
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
    pub(super) fn pass(
        extensions: &mut Extensions,
        tracker: TrackerId,
        wants_route: bool,
    ) -> Passage {
        let Some(found) = extensions.get_mut::<RouteSlot>() else {
            let route = wants_route.then(Slot::default);
            let outer = None;
            extensions.insert(RouteSlot {
                route: route.clone(),
                passed: Some(Passed { tracker, outer }),
            });
            return Passage::First(route);
        };
        let outer = found.passed.as_ref();
        if outer.is_some_and(|outer| outer.is_or_has(tracker)) {
            return Passage::Again;
        }
        let outer = found.passed.take().map(Arc::new);
        found.passed = Some(Passed { tracker, outer });
        let route = || found.route.get_or_insert_default().clone();
        Passage::Next(wants_route.then(route))
    }
}

/// Tells a tracker outside of a router which route was taken.
///
/// With axum: `Router::new().route(..).route_layer(RouteLayer::matched())`, and the tracker round the whole app.
/// Elsewhere: `RouteLayer::named("orders")` round the service of one route.
#[derive(Clone, Debug)]
pub struct RouteLayer(Source);

#[derive(Clone, Debug)]
enum Source {
    #[cfg(feature = "axum")]
    Matched,
    Named(Arc<str>),
}

impl RouteLayer {
    /// Takes the route from axum's `MatchedPath`.
    #[cfg(feature = "axum")]
    pub fn matched() -> Self {
        RouteLayer(Source::Matched)
    }

    /// Every request that comes here is of this route.
    pub fn named(route: impl Into<Arc<str>>) -> Self {
        RouteLayer(Source::Named(route.into()))
    }
}

impl Source {
    fn fill(&self, extensions: &Extensions) {
        match self {
            #[cfg(feature = "axum")]
            Source::Matched => {
                if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
                    RouteSlot::fill(extensions, path.as_str());
                }
            }
            Source::Named(route) => RouteSlot::fill(extensions, route),
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
    source: Source,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for RouteService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.source.fill(request.extensions());
        self.inner.call(request)
    }
}
