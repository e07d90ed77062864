//! The route of a call, for trackers that stand outside of the router.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

/// Where the inside of a service leaves the route for a tracker outside of it.
///
/// A [`Track`](super::Track) that does not find axum's `MatchedPath` puts one into the request's extensions.
/// [`RouteLayer`] fills it; so may a router of one's own. The first to fill it wins.
#[derive(Clone, Debug, Default)]
pub struct RouteSlot(Arc<OnceLock<Box<str>>>);

impl RouteSlot {
    /// Leaves the route: a template such as `/orders/{id}`, never the path itself.
    ///
    /// Does nothing where no tracker asked, and where the route is known.
    pub fn fill(extensions: &Extensions, route: &str) {
        if let Some(RouteSlot(slot)) = extensions.get() {
            slot.get_or_init(|| route.into());
        }
    }

    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(|route| &**route)
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
