use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;
use tower_layer::Layer;

use super::{LazyReady, TimeLimit, TimeoutService};
use crate::protocol::{AnyService, Client, GrpcClient, HttpProtocol, Server};

/// Gives up calls that take too long: see the [module](super).
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, timeout::TimeoutLayer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(TimeoutLayer::any(Duration::from_secs(2)))
///     .service(service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>()));
/// let error = service.oneshot(()).await.unwrap_err();
/// assert_eq!(error.to_string(), r#"timed out after 2s (time limit "timeout")"#);
/// # }
/// ```
///
/// # Panics
///
/// Calls that are ready at once need no runtime. Futures and bodies that have to wait panic outside of a tokio runtime
/// that has a timer.
///
/// # Clones
///
/// Every service it makes, and every clone of them, has the same [`TimeLimit`].
pub struct TimeoutLayer<P> {
    config: Arc<TimeoutConfig<P>>,
}

/// What calls go by.
#[derive(Clone)]
pub struct TimeoutConfig<P> {
    pub(super) limit: TimeLimit,
    pub(super) protocol: P,
    pub(super) body_idle: Option<Duration>,
    pub(super) body_total: Option<Duration>,
    pub(super) timeout_header: Option<HeaderName>,
    pub(super) send_limit: bool,
}

impl<P> TimeoutLayer<P> {
    fn new(limit: TimeLimit, protocol: P) -> Self {
        let plan = Arc::new(TimeoutConfig {
            limit,
            protocol,
            body_idle: None,
            body_total: None,
            timeout_header: None,
            send_limit: false,
        });
        TimeoutLayer { config: plan }
    }

    /// The time limit.
    pub fn limit(&self) -> &TimeLimit {
        &self.config.limit
    }

    /// Counts the time that the wrapped service needs to become ready, too.
    ///
    /// The wait then is part of the call: the layer is always ready and passes no back-pressure on, and calls that
    /// wait are bounded by nothing but their time. Needs a service that can be cloned.
    pub fn include_readiness(self) -> IncludeReadinessLayer<P> {
        IncludeReadinessLayer(self)
    }
}

impl TimeoutLayer<AnyService> {
    /// For a service of any kind: its error becomes a `BoxError`, which is an [`Elapsed`](crate::call::Elapsed)
    /// when time has run out.
    pub fn any(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), AnyService::new())
    }
}

impl TimeoutLayer<Server> {
    /// For an HTTP or gRPC server: late answers are replaced by 504 with a problem body or by `DEADLINE_EXCEEDED`, and
    /// the error type stays. A caller that stalled while it sent its request gets 408 instead of 504. A `grpc-timeout`
    /// that is shorter counts.
    pub fn server(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), Server::new())
    }
}

impl TimeoutLayer<Client> {
    /// For an HTTP client: its error becomes a `BoxError`, which is an [`Elapsed`](crate::call::Elapsed) when time has
    /// run out. What is left of the caller's deadline goes along as `grpc-timeout` with gRPC requests, with others by
    /// [option](Self::timeout_header).
    ///
    /// Bounds the time to the response's head. For a peer that may stall in the middle of a body, set
    /// [`body_idle`](Self::body_idle) as well, as any client does that reads no streams of events:
    /// `TimeoutLayer::client(limit).body_idle(Duration::from_secs(20))`.
    pub fn client(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), Client::new())
    }
}

impl TimeoutLayer<GrpcClient> {
    /// For a gRPC client such as tonic's `Channel`: what takes too long arrives as a `tonic::Status` of the code
    /// `DEADLINE_EXCEEDED`. What is left of the caller's deadline goes along as `grpc-timeout`.
    ///
    /// A transport that obeys the same limit ends the call in the same moment, tonic's by `CANCELLED`: once the time is
    /// up, that is this layer's own late answer, too. Errors of tonic's are only known with the feature `tonic`.
    pub fn grpc_client(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), GrpcClient::new())
    }
}

impl<K> TimeoutLayer<HttpProtocol<K>> {
    /// Sets how long the response's body may make its reader wait for the next frame; `None`: for ever.
    /// Default: for ever, since streams of events rest for as long as nothing happens. Zero fails at the first wait.
    ///
    /// Counts from the last time that the reader asked. A slow reader is not the service's fault: one that was
    /// away when the time ran out gives the body that long again.
    #[must_use]
    pub fn body_idle(self, time: impl Into<Option<Duration>>) -> Self {
        self.with_config(|plan| plan.body_idle = time.into())
    }

    /// Sets how long the response's body may take from the head to its last frame, however slow the reader is;
    /// `None`: for ever. Default: for ever, since downloads are as long as they are.
    ///
    /// The peer is to blame only if at least half of the time was spent waiting for its frames.
    ///
    /// Looked at when the body is polled: a connection whose peer takes nothing at all is the server's own
    /// to end. Costs a clock reading for each frame.
    #[must_use]
    pub fn body_total(self, time: impl Into<Option<Duration>>) -> Self {
        self.with_config(|plan| plan.body_total = time.into())
    }

    fn with_config(self, change: impl FnOnce(&mut TimeoutConfig<HttpProtocol<K>>)) -> Self {
        let mut plan = (*self.config).clone();
        change(&mut plan);
        TimeoutLayer {
            config: Arc::new(plan),
        }
    }
}

impl TimeoutLayer<Client> {
    /// Sends what is left of the caller's deadline along in this header, in whole milliseconds; one that is there and
    /// shorter stays. Default: not at all, since no such header is standard. Envoy's is
    /// `x-envoy-expected-rq-timeout-ms`; [`Deadline::header`](super::Deadline) reads it at the next hop.
    #[must_use]
    pub fn timeout_header(self, header: HeaderName) -> Self {
        self.with_config(|plan| plan.timeout_header = Some(header))
    }

    /// Sends the time limit on as well, where it is shorter than what is left of the caller's deadline: this
    /// one, and those of layers around it. Default: off.
    ///
    /// The next hop takes what it is sent for the time of the whole call, and cuts bodies that take longer.
    /// So turn it on for calls whose answers are short, such as unary gRPC calls, and not for streams: the limit
    /// itself ends at the head.
    #[must_use]
    pub fn send_limit(self) -> Self {
        self.with_config(|plan| plan.send_limit = true)
    }
}

impl TimeoutLayer<GrpcClient> {
    /// Sends the time limit on as well, where it is shorter than what is left of the caller's deadline: this
    /// one, and those of layers around it. Default: off.
    ///
    /// The next hop takes what it is sent for the time of the whole call, and cuts bodies that take longer.
    /// So turn it on for calls whose answers are short, such as unary gRPC calls, and not for streams: the limit
    /// itself ends at the head.
    #[must_use]
    pub fn send_limit(self) -> Self {
        self.with_config(|plan| plan.send_limit = true)
    }
}

impl<S, P> Layer<S> for TimeoutLayer<P> {
    type Service = TimeoutService<S, P>;

    fn layer(&self, inner: S) -> TimeoutService<S, P> {
        TimeoutService::new(inner, self.config.clone())
    }
}

impl<P> Clone for TimeoutLayer<P> {
    fn clone(&self) -> Self {
        TimeoutLayer {
            config: self.config.clone(),
        }
    }
}

impl<P> fmt::Debug for TimeoutLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutLayer")
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}

/// A [`TimeoutLayer`] that waits for readiness inside of the call.
#[derive(Clone, Debug)]
pub struct IncludeReadinessLayer<P>(TimeoutLayer<P>);

impl<S, P> Layer<S> for IncludeReadinessLayer<P> {
    type Service = TimeoutService<LazyReady<S>, P>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(LazyReady::new(inner))
    }
}
