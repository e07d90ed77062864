use std::{fmt, hash::Hash, sync::Arc};

use tower_layer::Layer;

use super::{Cache, CacheService};
use crate::coalesce::KeyFn;

/// The settings of a [`CacheLayer`], shared by its services.
pub(super) struct LayerConfig<K> {
    pub(super) cache: Cache,
    pub(super) keys: K,
}

/// A layer that keeps responses of a plain service by a key of the request: see the [module](super). For HTTP there is
/// [`HttpCacheLayer`](super::HttpCacheLayer).
///
/// # Clones
///
/// Its services, and their clones, share the [`Cache`].
pub struct CacheLayer<K> {
    config: Arc<LayerConfig<K>>,
}

impl<F> CacheLayer<KeyFn<F>> {
    /// Wraps a service of any kind whose responses are `Clone`. Its error becomes a `BoxError`.
    ///
    /// The closure returns the key of a request, or none for a call that is always made.
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_keep::cache::{Cache, CacheLayer};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let cache = Cache::new("quotes");
    /// let quotes = service_fn(async |id: u32| Ok::<_, std::io::Error>(id * 2));
    /// let quotes = CacheLayer::any(cache.clone(), |id: &u32| Some(*id)).layer(quotes);
    /// assert_eq!((quotes.clone().oneshot(7).await?, quotes.oneshot(7).await?), (14, 14));
    /// assert_eq!(cache.stats().hits, 1);
    /// # Ok(()) }
    /// ```
    pub fn any<Req, Key>(cache: Cache, key: F) -> Self
    where
        F: Fn(&Req) -> Option<Key>,
        Key: Hash + Eq + Clone + Send + Sync + 'static,
    {
        let keys = KeyFn::new(key);
        CacheLayer {
            config: Arc::new(LayerConfig { cache, keys }),
        }
    }
}

impl<K> CacheLayer<K> {
    /// Returns the cache.
    pub fn cache(&self) -> &Cache {
        &self.config.cache
    }
}

impl<S, K> Layer<S> for CacheLayer<K> {
    type Service = CacheService<S, K>;

    fn layer(&self, inner: S) -> CacheService<S, K> {
        CacheService::new(inner, self.config.clone())
    }
}

impl<K> Clone for CacheLayer<K> {
    fn clone(&self) -> Self {
        CacheLayer {
            config: self.config.clone(),
        }
    }
}

impl<K> fmt::Debug for CacheLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("cache", &self.config.cache)
            .finish_non_exhaustive()
    }
}
