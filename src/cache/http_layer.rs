use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Cache, HttpCacheService};
use crate::protocol::{Client, ClientKind, HttpProtocol, Server, ServerKind};

/// The settings of an [`HttpCacheLayer`], shared by its services.
pub(super) struct HttpConfig<K> {
    pub(super) cache: Cache,
    pub(super) protocol: HttpProtocol<K>,
}

/// A shared HTTP cache by RFC 9111: see the [module](super#over-http).
///
/// # Clones
///
/// Its services, and their clones, share the [`Cache`], also where a layer is applied again for each connection.
pub struct HttpCacheLayer<K> {
    config: Arc<HttpConfig<K>>,
}

impl HttpCacheLayer<ServerKind> {
    /// Wraps an HTTP server, such as an axum router. The error type is unchanged.
    ///
    /// ```
    /// use tower_keep::cache::{Cache, HttpCacheLayer};
    ///
    /// let layer = HttpCacheLayer::server(Cache::new("home"));
    /// # let _ = layer;
    /// ```
    pub fn server(cache: Cache) -> Self {
        HttpCacheLayer::new(cache, Server::new())
    }
}

impl HttpCacheLayer<ClientKind> {
    /// Wraps an HTTP client. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::cache::{Cache, HttpCacheLayer};
    ///
    /// let cache = Cache::builder("prices").stale_if_error(Duration::from_secs(600)).build()?;
    /// let layer = HttpCacheLayer::client(cache);
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    pub fn client(cache: Cache) -> Self {
        HttpCacheLayer::new(cache, Client::new())
    }
}

impl<K> HttpCacheLayer<K> {
    fn new(cache: Cache, protocol: HttpProtocol<K>) -> Self {
        HttpCacheLayer {
            config: Arc::new(HttpConfig { cache, protocol }),
        }
    }

    /// Returns the cache.
    pub fn cache(&self) -> &Cache {
        &self.config.cache
    }
}

impl<S, K> Layer<S> for HttpCacheLayer<K> {
    type Service = HttpCacheService<S, K>;

    fn layer(&self, inner: S) -> HttpCacheService<S, K> {
        HttpCacheService::new(inner, self.config.clone())
    }
}

impl<K> Clone for HttpCacheLayer<K> {
    fn clone(&self) -> Self {
        HttpCacheLayer {
            config: self.config.clone(),
        }
    }
}

impl<K> fmt::Debug for HttpCacheLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheLayer")
            .field("cache", &self.config.cache)
            .finish_non_exhaustive()
    }
}
