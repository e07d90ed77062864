use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::RateLimitService;
use crate::protocol::{AnyService, Client, GrpcClient, Server};

/// The settings of a [`RateLimitLayer`], shared by its services and calls.
pub(super) struct WaitConfig<L, P> {
    pub(super) limit: L,
    pub(super) protocol: P,
}

/// A layer whose calls wait until the limit has room for them, in order, at most for
/// [`max_wait`](super::RateLimitBuilder::max_wait): see the [module](super).
///
/// `L` is a [`RateLimit`](super::RateLimit), or a keyed one [with the source of its keys](super::KeyedRateLimitGuard). A call whose wait
/// would be longer, or would end after its deadline, is rejected at once. While it waits, it holds nothing of the wrapped
/// service. Where calls should not wait, [`RateLimit::layer`](super::RateLimit::layer) is cheaper.
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::rate_limit::{RateLimit, RateLimitLayer};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), tower_keep::BoxError> {
/// let limit = RateLimit::builder("mails").rate(1, Duration::from_secs(1)).build()?;
/// let mails = ServiceBuilder::new()
///     .layer(RateLimitLayer::any(limit))
///     .service(service_fn(|_: &str| async { Ok::<_, std::io::Error>(()) }));
/// let start = Instant::now();
/// mails.clone().oneshot("at once").await?;
/// mails.clone().oneshot("after a second").await?;
/// assert_eq!(start.elapsed(), Duration::from_secs(1));
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// Calls that need not wait need no runtime. Those that wait panic outside of a tokio runtime that has a timer.
///
/// # Clones
///
/// Its services, and their clones, share the limit.
pub struct RateLimitLayer<L, P> {
    config: Arc<WaitConfig<L, P>>,
}

impl<L, P> RateLimitLayer<L, P> {
    fn new(limit: L, protocol: P) -> Self {
        RateLimitLayer {
            config: Arc::new(WaitConfig { limit, protocol }),
        }
    }

    /// Returns the limit.
    pub fn limit(&self) -> &L {
        &self.config.limit
    }
}

impl<L> RateLimitLayer<L, AnyService> {
    /// Wraps a service of any kind; its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::rate_limit::{RateLimit, RateLimitLayer};
    ///
    /// let layer = RateLimitLayer::any(RateLimit::new("mails"));
    /// # let _ = layer;
    /// ```
    pub fn any(limit: L) -> Self {
        RateLimitLayer::new(limit, AnyService::new())
    }
}

impl<L> RateLimitLayer<L, Server> {
    /// Wraps an HTTP or gRPC server: rejections become responses, the error type stays.
    ///
    /// ```
    /// use tower_keep::{context::TrustedProxies, rate_limit::{KeyedRateLimit, RateLimitLayer}};
    ///
    /// let clients = KeyedRateLimit::new("clients");
    /// let layer = RateLimitLayer::server(clients.keyed_by_client_address(TrustedProxies::none()));
    /// # let _ = layer;
    /// ```
    pub fn server(limit: L) -> Self {
        RateLimitLayer::new(limit, Server::new())
    }
}

impl<L> RateLimitLayer<L, Client> {
    /// Wraps an HTTP client: rejections are errors, so the error becomes a `BoxError`. A 429 of the peer empties the limit.
    ///
    /// ```
    /// use tower_keep::rate_limit::{RateLimit, RateLimitLayer};
    ///
    /// let layer = RateLimitLayer::client(RateLimit::new("quotes"));
    /// # let _ = layer;
    /// ```
    pub fn client(limit: L) -> Self {
        RateLimitLayer::new(limit, Client::new())
    }
}

impl<L> RateLimitLayer<L, GrpcClient> {
    /// Wraps a gRPC client such as tonic's `Channel`: rejections arrive as a `tonic::Status`.
    ///
    /// ```
    /// use tower_keep::rate_limit::{RateLimit, RateLimitLayer};
    ///
    /// let layer = RateLimitLayer::grpc_client(RateLimit::new("stock"));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(limit: L) -> Self {
        RateLimitLayer::new(limit, GrpcClient::new())
    }
}

impl<S, L, P> Layer<S> for RateLimitLayer<L, P> {
    type Service = RateLimitService<S, L, P>;

    fn layer(&self, inner: S) -> RateLimitService<S, L, P> {
        RateLimitService::new(inner, self.config.clone())
    }
}

impl<L, P> Clone for RateLimitLayer<L, P> {
    fn clone(&self) -> Self {
        RateLimitLayer {
            config: self.config.clone(),
        }
    }
}

impl<L: fmt::Debug, P> fmt::Debug for RateLimitLayer<L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limit", &self.config.limit)
            .finish_non_exhaustive()
    }
}
