use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;
use tower_layer::Layer;

use super::{IncludeReadinessLayer, TimeLimit, TimeoutService, config::TimeoutConfig};
use crate::protocol::{AnyService, Client, GrpcClient, HttpProtocol, Server};

/// A layer that ends calls which take too long: see the [module](super).
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
/// A bare `Duration` becomes a limit named `timeout`. Where there are several, such as for an attempt and for all attempts, use
/// [`Timeouts`](super::Timeouts) or [`TimeLimit::new`], whose names tell them apart.
///
/// # Panics
///
/// Calls that are ready at once need no runtime. Futures and bodies that have to wait panic outside of a tokio runtime
/// that has a timer.
///
/// # Clones
///
/// Its services, and their clones, share the [`TimeLimit`].
pub struct TimeoutLayer<P> {
    config: Arc<TimeoutConfig<P>>,
}

impl<P> TimeoutLayer<P> {
    fn new(limit: TimeLimit, protocol: P) -> Self {
        TimeoutLayer {
            config: Arc::new(TimeoutConfig::new(limit, protocol)),
        }
    }

    /// Returns the time limit.
    pub fn limit(&self) -> &TimeLimit {
        &self.config.limit
    }

    /// Counts the time until the wrapped service is ready, too.
    ///
    /// The wait then belongs to the call: the layer is always ready and passes no back pressure on, and only their time
    /// bounds the calls that wait. Needs a service that can be cloned.
    pub fn include_readiness(self) -> IncludeReadinessLayer<P> {
        IncludeReadinessLayer(self)
    }
}

impl TimeoutLayer<AnyService> {
    /// Wraps a service of any kind. Its error becomes a `BoxError`, which is an [`Elapsed`](crate::call::Elapsed) if the
    /// limit elapsed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeoutLayer;
    ///
    /// let layer = TimeoutLayer::any(Duration::from_secs(2));
    /// # let _ = layer;
    /// ```
    pub fn any(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), AnyService::new())
    }
}

impl TimeoutLayer<Server> {
    /// Wraps an HTTP or gRPC server. Late responses are replaced by 504 with a problem body or by `DEADLINE_EXCEEDED`; the
    /// error type is unchanged. A caller that stalled while it sent its request gets 408 instead of 504. A `grpc-timeout`
    /// that is shorter than the limit counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::TimeoutLayer;
    ///
    /// let layer = TimeoutLayer::server(Duration::from_secs(30));
    /// # let _ = layer;
    /// ```
    pub fn server(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), Server::new())
    }
}

impl TimeoutLayer<Client> {
    /// Wraps an HTTP client. Its error becomes a `BoxError`, which is an [`Elapsed`](crate::call::Elapsed) if the time ran
    /// out. The time left until the caller's deadline is sent as `grpc-timeout` with gRPC requests, with others by
    /// [option](Self::timeout_header).
    ///
    /// Bounds the time to the response's head. For a peer that may stall in the middle of a body, set
    /// [`body_idle`](Self::body_idle) as well, unless the client reads event streams.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::{TimeoutLayer, Timeouts};
    ///
    /// let timeouts = Timeouts::builder("payments").attempt(Duration::from_secs(2)).build()?;
    /// let attempt = TimeoutLayer::client(timeouts.attempt()).body_idle(Duration::from_secs(20));
    /// assert_eq!(attempt.limit().name(), "payments.attempt");
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn client(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), Client::new())
    }

    /// Sets the header that tells the next hop how much time is left until the caller's deadline, in whole milliseconds. A
    /// shorter value that is there already stays. [`Deadline`](super::Deadline) reads it at the next hop; Envoy's header is
    /// `x-envoy-expected-rq-timeout-ms`. Default: none, since no such header is standard.
    #[must_use]
    pub fn timeout_header(self, header: HeaderName) -> Self {
        self.with_config(|config| config.timeout_header = Some(header))
    }

    /// Sends the time limit to the next hop as well, and those of layers around this one, where they are shorter than the
    /// time left until the caller's deadline.
    ///
    /// The next hop applies what it is sent to the whole call, and cuts bodies that take longer; the limit itself ends at
    /// the head. Use it for calls with short responses, such as unary gRPC calls, and not for streams. Default: off.
    #[must_use]
    pub fn send_limit(self) -> Self {
        self.with_config(|config| config.send_limit = true)
    }
}

impl TimeoutLayer<GrpcClient> {
    /// Wraps a gRPC client such as tonic's `Channel`. A call that takes too long ends with a `tonic::Status` of code
    /// `DEADLINE_EXCEEDED`. The time left until the caller's deadline is sent as `grpc-timeout`.
    ///
    /// A transport that obeys the same limit ends the call at the same time, tonic's with `CANCELLED`. Once the time is up,
    /// the layer treats that as its own timeout. Errors of tonic's are only recognized with the feature `tonic`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::timeout::{TimeLimit, TimeoutLayer};
    ///
    /// let limit = TimeLimit::new("stock.attempt", Duration::from_secs(2));
    /// let layer = TimeoutLayer::grpc_client(limit).send_limit();
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(limit: impl Into<TimeLimit>) -> Self {
        TimeoutLayer::new(limit.into(), GrpcClient::new())
    }

    /// Sends the time limit to the next hop as well: see the [HTTP client's](TimeoutLayer::<Client>::send_limit).
    #[must_use]
    pub fn send_limit(self) -> Self {
        self.with_config(|config| config.send_limit = true)
    }
}

impl<K> TimeoutLayer<HttpProtocol<K>> {
    /// Sets the longest wait for the next frame of the response's body; `None` for unlimited. Zero fails at the first wait.
    ///
    /// Counts from the last time that the reader polled. A reader that was away when it elapsed gets the time again,
    /// since its absence is not the peer's fault. Default: unlimited, because event streams may be idle for long.
    #[must_use]
    pub fn body_idle(self, time: impl Into<Option<Duration>>) -> Self {
        self.with_config(|config| config.body_idle = time.into())
    }

    /// Sets the longest time of the response's body from the head to its last frame, however slow the reader is; `None` for
    /// unlimited.
    ///
    /// Counts against the peer only if at least half of the time was spent waiting for its frames. Checked when the body is
    /// polled: a connection whose peer reads nothing is the server's to end. Costs a clock reading for each frame. Default:
    /// unlimited, because downloads may be of any length.
    #[must_use]
    pub fn body_total(self, time: impl Into<Option<Duration>>) -> Self {
        self.with_config(|config| config.body_total = time.into())
    }

    fn with_config(self, change: impl FnOnce(&mut TimeoutConfig<HttpProtocol<K>>)) -> Self {
        // A copy: services that were made before keep their settings.
        let mut config = (*self.config).clone();
        change(&mut config);
        TimeoutLayer {
            config: Arc::new(config),
        }
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
