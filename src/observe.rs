//! The ready-made layer: correlation, tracking and error groups in one.

use crate::{
    call::Label,
    context::{Correlate, InheritContext, Propagate},
    guard::{GuardLayer, PassThrough},
    operation::{self, Operation},
    protocol::{AnyService, Client, GrpcClient, Server},
    track::Track,
};

/// Returns a builder of a layer that observes a service: it correlates, tracks, times and logs calls, groups errors and
/// records panics. A server responds to panics; elsewhere they are re-raised (`resume_unwind`) in the caller.
///
/// The argument is the name of the service, which metrics and logs contain, or a [`Track`] with settings, which has a name.
/// Metrics are dropped where the process has no recorder, such as that of the feature `prometheus`;
/// [all metrics](crate::all_metrics) lists them.
///
/// The layer never rejects calls and passes on the readiness of the service, hence [`PassThrough`] in its type.
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
///
/// With settings:
///
/// ```
/// use tower_keep::{Track, observe};
///
/// let orders = Track::builder("orders").sample(0.1).build()?;
/// let layer = observe(orders).server();
/// # let _ = layer;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
pub fn observe(service: impl Into<Observe>) -> Observe {
    service.into()
}

/// A builder of a layer that observes a service; made by [`observe`]. Parts that are not set have their defaults.
#[derive(Clone, Debug)]
pub struct Observe {
    tracker: Tracker,
    correlate: Option<Correlate>,
    propagate: Option<Propagate>,
    /// `None` leaves it to the settings of `correlate`.
    rejection_details: Option<bool>,
}

#[derive(Clone, Debug)]
enum Tracker {
    /// A tracker with the default settings, which is built last: a service of any kind needs none.
    Named(Label),
    Custom(Track),
}

impl From<Tracker> for Observe {
    fn from(tracker: Tracker) -> Self {
        Observe {
            tracker,
            correlate: None,
            propagate: None,
            rejection_details: None,
        }
    }
}

/// Observes a service of this name, with the default settings.
impl<N: Into<Label>> From<N> for Observe {
    fn from(name: N) -> Self {
        Tracker::Named(name.into()).into()
    }
}

/// Observes a service with the settings and the name of a tracker.
impl From<Track> for Observe {
    fn from(track: Track) -> Self {
        Tracker::Custom(track).into()
    }
}

impl Observe {
    /// Sets how inbound calls are correlated. Used by a [`server`](Self::server) only.
    #[must_use]
    pub fn correlate(mut self, correlate: Correlate) -> Self {
        self.correlate = Some(correlate);
        self
    }

    /// Sets how the context is propagated. Used by a [`client`](Self::client) and a [`grpc_client`](Self::grpc_client).
    #[must_use]
    pub fn propagate(mut self, propagate: Propagate) -> Self {
        self.propagate = Some(propagate);
        self
    }

    /// Sets whether trusted callers see the guard, the key and the reason of rejections, whatever made them: a layer further
    /// in, or a handler. Used by a [`server`](Self::server) only. Every caller is trusted unless
    /// [`correlate`](Self::correlate) says otherwise. See
    /// [`CorrelateBuilder::rejection_details`](crate::context::CorrelateBuilder::rejection_details). Default: no, since they
    /// tell callers about the inside.
    ///
    /// For a service that only callers of the own network can reach:
    ///
    /// ```
    /// use tower_keep::observe;
    ///
    /// let layer = observe("stock").rejection_details(true).server();
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn rejection_details(mut self, shown: bool) -> Self {
        self.rejection_details = Some(shown);
        self
    }

    fn into_track(self) -> Track {
        match self.tracker {
            Tracker::Named(name) => Track::new(name),
            Tracker::Custom(track) => track,
        }
    }

    /// Returns a layer for an HTTP or gRPC server: an axum router, a tonic server, a hyper service.
    ///
    /// With `Router::layer`, it observes what was added before: not routes or a `.fallback(..)` that are added later. To
    /// wrap a whole app for `axum::serve`, which accepts one type of body only, add
    /// `.map_response(|response| response.map(axum::body::Body::new))` outside of the layer, and
    /// [`RouteLayer::matched_path`](crate::track::RouteLayer) as a `route_layer` inside of it, which reports the routes.
    ///
    /// With tonic-web, put the layer outside of `GrpcWebLayer`: see [gRPC-Web](crate::guide::troubleshooting#grpc-web).
    ///
    /// A time limit inside of the layer should respond with 504, as [`timeout`](crate::timeout) does. `tower-http`'s
    /// responds with 408 by default, which blames the caller, so that such calls do not count as failures. Use
    /// `TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ..)`.
    pub fn server(self) -> GuardLayer<(Correlate, Track), Server, PassThrough> {
        // Correlate comes first, so that all that the tracker emits has the IDs.
        let correlate = self.correlate.clone().unwrap_or_default().with_tracker();
        let correlate = match self.rejection_details {
            Some(shown) => correlate.with_rejection_details(shown),
            None => correlate,
        };
        GuardLayer::server((correlate, self.into_track())).pass_through()
    }

    /// Returns a layer for an HTTP client such as hyper-util's.
    ///
    /// A layer to put inside of a retry, so that each attempt is tracked:
    ///
    /// ```
    /// use tower_keep::observe;
    ///
    /// let layer = observe("stock").client();
    /// # let _ = layer;
    /// ```
    pub fn client(self) -> GuardLayer<(Propagate, Track), Client, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::client((propagate, self.into_track())).pass_through()
    }

    /// Returns a layer for a gRPC client such as tonic's `Channel`.
    ///
    /// A layer whose metrics name the server, which requests of tonic do not:
    ///
    /// ```
    /// use tower_keep::{Track, observe};
    ///
    /// let track = Track::builder("stock").server_address("stock:50051").build()?;
    /// let layer = observe(track).grpc_client();
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn grpc_client(self) -> GuardLayer<(Propagate, Track), GrpcClient, PassThrough> {
        let propagate = self.propagate.clone().unwrap_or_default();
        GuardLayer::grpc_client((propagate, self.into_track())).pass_through()
    }

    /// Returns a layer for a service of any kind.
    ///
    /// Calls are tracked as [operations](mod@operation) of the kind `service`, with the metrics of operations. Successful
    /// calls are logged at `DEBUG` (`RUST_LOG=info,tower_keep::operation=debug`). Of a [`Track`], only the name, the error
    /// tracker and the slow thresholds are used.
    ///
    /// A service of jobs, which have neither method nor status:
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::observe;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let jobs = service_fn(async |job: u32| Ok::<_, std::io::Error>(job + 1));
    /// let done = observe("jobs").any().layer(jobs).oneshot(6).await;
    /// assert_eq!(done.ok(), Some(7));
    /// # }
    /// ```
    pub fn any(self) -> GuardLayer<(InheritContext, Operation), AnyService, PassThrough> {
        // A tracker reads HTTP requests, so only what operations have too is taken from it.
        let operation = match self.tracker {
            Tracker::Named(name) => operation::operation(name),
            Tracker::Custom(track) => track.operation(),
        };
        GuardLayer::any((InheritContext, operation.kind("service"))).pass_through()
    }
}
