use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::RouteSlot;

/// A layer that reports the matched route to the trackers outside of the router.
///
/// With axum, use `Router::new().route(..).route_layer(RouteLayer::matched_path())` inside of a tracker around the whole
/// app. With other routers, wrap the service of each route in `RouteLayer::new("/orders/{id}")`.
#[derive(Clone, Debug)]
pub struct RouteLayer(RouteSource);

/// The source of the route of a [`RouteLayer`].
#[derive(Clone, Debug)]
enum RouteSource {
    #[cfg(feature = "axum")]
    MatchedPath,
    Fixed(Arc<str>),
}

impl RouteLayer {
    /// Returns a layer that takes the route from axum's `MatchedPath`.
    ///
    /// An axum app whose routes report their templates:
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_keep::track::RouteLayer;
    ///
    /// let app: Router = Router::new()
    ///     .route("/orders/{id}", get(|| async { "an order" }))
    ///     .route_layer(RouteLayer::matched_path());
    /// # let _ = app;
    /// ```
    #[cfg(feature = "axum")]
    pub fn matched_path() -> Self {
        RouteLayer(RouteSource::MatchedPath)
    }

    /// Returns a layer for a service whose requests all have this route.
    ///
    /// The service of one route, in a router other than axum's:
    ///
    /// ```
    /// use tower_keep::track::RouteLayer;
    ///
    /// let layer = RouteLayer::new("/orders/{id}");
    /// # let _ = layer;
    /// ```
    pub fn new(route: impl Into<Arc<str>>) -> Self {
        RouteLayer(RouteSource::Fixed(route.into()))
    }
}

impl RouteSource {
    fn set_route(&self, extensions: &Extensions) {
        match self {
            #[cfg(feature = "axum")]
            RouteSource::MatchedPath => {
                // None in a fallback: the call then has no route, rather than its path.
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

/// A service that reports its route; made by [`RouteLayer`].
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
