//! Observing calls: correlation, tracking, error groups, operations.
//!
//! [`observe`] puts all of it round a service with one layer. Its parts can be had one by one:
//!
//! | module | what |
//! |---|---|
//! | [`context`] | IDs, trace context, baggage, and sending them on |
//! | [`track`] | in flight, spans, times, metrics, the access log |
//! | [`errors`] | error groups |
//! | [`operation`](mod@operation) | the same for code that is no service |

pub mod context;
pub mod errors;
pub(crate) mod family;
pub(crate) mod fault;
pub(crate) mod late;
pub(crate) mod listener;
#[cfg(feature = "logging")]
pub mod logging;
pub mod operation;
pub(crate) mod shown;
pub(crate) mod table;
pub mod track;

use crate::{
    call::Name,
    guard::{GuardLayer, PassThrough},
    protocol::{Any, Client, GrpcClient, Server},
};
use context::{Correlate, Inherit, Propagate};
use operation::Operation;
use track::Track;

/// Everything that observes a service, in one layer: correlated, tracked, timed, logged, errors grouped, panics
/// caught.
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
pub fn observe(name: impl Into<Name>) -> Observe {
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
    name: Name,
    correlate: Option<Correlate>,
    propagate: Option<Propagate>,
    track: Option<Track>,
}

impl Observe {
    /// How inbound calls are correlated.
    #[must_use]
    pub fn correlate(mut self, correlate: Correlate) -> Self {
        self.correlate = Some(correlate);
        self
    }

    /// How the context is sent on by a client.
    #[must_use]
    pub fn propagate(mut self, propagate: Propagate) -> Self {
        self.propagate = Some(propagate);
        self
    }

    /// How calls are tracked; the tracker's own name counts.
    #[must_use]
    pub fn track(mut self, track: Track) -> Self {
        self.track = Some(track);
        self
    }

    fn tracker(self) -> Track {
        let name = self.name;
        self.track.unwrap_or_else(|| Track::named(name))
    }

    /// Round an HTTP or gRPC server: an axum router, a tonic server, a hyper service.
    ///
    /// Under `Router::layer` it fits as it is. Round a whole app that goes to `axum::serve`, which takes one type of
    /// body only, add `.map_response(|response| response.map(axum::body::Body::new))` outside of it, and
    /// [`RouteLayer::matched`](track::RouteLayer) as a `route_layer` inside, so that routes are known out here.
    pub fn server(self) -> GuardLayer<(Correlate, Track), Server, PassThrough> {
        let correlate = self.correlate.clone().unwrap_or_default();
        GuardLayer::server((correlate, self.tracker())).pass_through()
    }

    /// Round an HTTP client such as hyper-util's.
    pub fn client(self) -> GuardLayer<(Propagate, Track), Client, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::client((propagate, self.tracker().client_side())).pass_through()
    }

    /// Round a gRPC client such as tonic's `Channel`.
    pub fn grpc_client(self) -> GuardLayer<(Propagate, Track), GrpcClient, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::grpc_client((propagate, self.tracker().client_side())).pass_through()
    }

    /// Round a service of any kind, tracked as an [operation](mod@operation) of the kind `service`.
    pub fn any(self) -> GuardLayer<(Inherit, Operation), Any, PassThrough> {
        GuardLayer::any((Inherit, operation::operation(self.name).kind("service"))).pass_through()
    }
}
