//! The ready-made layer: correlation, tracking and error groups in one.

use crate::{
    call::Label,
    context::{Correlate, InheritContext, Propagate},
    guard::{GuardLayer, PassThrough},
    operation::{self, Operation},
    protocol::{AnyService, Client, GrpcClient, Server},
    track::Track,
};

/// Observes a service in one layer: correlates, tracks, times and logs its calls, groups its errors and records its
/// panics. A server answers panics; elsewhere they go on to the caller.
///
/// The name is the service's, as metrics and logs show it. These guards never refuse, so readiness is passed on as it
/// is: in the type that is [`PassThrough`].
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::get};
///
/// let app: Router = Router::new()
///     .route("/orders/{id}", get(|| async { "an order" }))
///     .layer(tower_keep::observe("orders").server());
/// # }
/// ```
pub fn observe(name: impl Into<Label>) -> Observe {
    Observe {
        name: name.into(),
        correlate: None,
        propagate: None,
        track: None,
    }
}

/// What is to be put round a service; made by [`observe`]. Parts that are not given have their defaults.
#[derive(Clone, Debug)]
pub struct Observe {
    name: Label,
    correlate: Option<Correlate>,
    propagate: Option<Propagate>,
    track: Option<Track>,
}

impl Observe {
    /// Sets how inbound calls are correlated. Only a [`server`](Self::server) has any.
    #[must_use]
    pub fn correlate(mut self, correlate: Correlate) -> Self {
        self.correlate = Some(correlate);
        self
    }

    /// Sets how the context is sent on: by a [`client`](Self::client) or [`grpc_client`](Self::grpc_client).
    #[must_use]
    pub fn propagate(mut self, propagate: Propagate) -> Self {
        self.propagate = Some(propagate);
        self
    }

    /// Sets how calls are tracked; the tracker's own name counts. Of a service of [`check_any`](Self::any) kind, its name, error
    /// tracker and slow thresholds count.
    #[must_use]
    pub fn track(mut self, track: Track) -> Self {
        self.track = Some(track);
        self
    }

    fn into_track(self) -> Track {
        let name = self.name;
        self.track.unwrap_or_else(|| Track::new(name))
    }

    /// Wraps an HTTP or gRPC server: an axum router, a tonic server, a hyper service.
    ///
    /// Under `Router::layer` it fits as it is, and observes what was added before: routes and a `.fallback(..)` that are
    /// added later are not observed. Wrapping a whole app that goes to `axum::serve`, which takes one type of body only,
    /// add `.map_response(|response| response.map(axum::body::Body::new))` outside of it, and
    /// [`RouteLayer::matched_path`](crate::track::RouteLayer) as a `route_layer` inside, so that routes are known out here.
    ///
    /// A time limit inside of it should answer 504, as [`timeout`](crate::timeout) does. `tower-http`'s answers 408, which
    /// says that the caller was too slow: such calls are nobody's failure. Tell it
    /// `TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ..)`.
    pub fn server(self) -> GuardLayer<(Correlate, Track), Server, PassThrough> {
        let correlate = self.correlate.clone().unwrap_or_default();
        GuardLayer::server((correlate, self.into_track())).pass_through()
    }

    /// Wraps an HTTP client such as hyper-util's.
    pub fn client(self) -> GuardLayer<(Propagate, Track), Client, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::client((propagate, self.into_track().client_side())).pass_through()
    }

    /// Wraps a gRPC client such as tonic's `Channel`.
    pub fn grpc_client(self) -> GuardLayer<(Propagate, Track), GrpcClient, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::grpc_client((propagate, self.into_track().client_side())).pass_through()
    }

    /// Wraps a service of any kind, tracked as an [operation](mod@operation) of the kind `service`: its metrics are those of
    /// operations, and a call that ends well leaves a line at `DEBUG` only (`RUST_LOG=info,tower_keep::operation=debug`).
    pub fn any(self) -> GuardLayer<(InheritContext, Operation), AnyService, PassThrough> {
        let operation = match &self.track {
            Some(track) => track.operation(),
            None => operation::operation(self.name),
        };
        GuardLayer::any((InheritContext, operation.kind("service"))).pass_through()
    }
}
