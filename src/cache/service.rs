use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    CacheFuture,
    entry::{Place, find_fresh},
    layer::LayerConfig,
};
use crate::{
    call::{BoxError, catch_hook},
    coalesce::KeySource,
};

/// A service whose responses are kept. Made by [`CacheLayer`](super::CacheLayer).
pub struct CacheService<S, K> {
    inner: S,
    config: Arc<LayerConfig<K>>,
}

impl<S, K> CacheService<S, K> {
    pub(super) fn new(inner: S, config: Arc<LayerConfig<K>>) -> Self {
        CacheService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, K, Req> Service<Req> for CacheService<S, K>
where
    // The wrapped service, whose handle gives its readiness back where there is a response already.
    S: Service<Req, Response: Clone + Send + Sync + 'static, Error: Into<BoxError>> + Clone,
    // What identifies a request.
    K: KeySource<Req, Key: Clone>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = CacheFuture<S::Future, S::Response, K::Key>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let LayerConfig { cache, keys } = &*self.config;
        // A closure that panics leaves the call as it is.
        let Some(key) = catch_hook(|| keys.key(&request)).flatten() else {
            return CacheFuture::called(self.inner.call(request), None);
        };
        match find_fresh(&cache.shared, &key) {
            Ok(response) => {
                // Its readiness may be a slot that others wait for.
                self.inner = self.inner.clone();
                CacheFuture::found(response)
            }
            Err(miss) => {
                let place = Place::new(cache.shared.clone(), key);
                CacheFuture::called(self.inner.call(request), Some((place, miss)))
            }
        }
    }
}

/// A clone shares the cache, but not the readiness.
impl<S: Clone, K> Clone for CacheService<S, K> {
    fn clone(&self) -> Self {
        CacheService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, K> fmt::Debug for CacheService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.inner)
            .field("cache", &self.config.cache)
            .finish_non_exhaustive()
    }
}
