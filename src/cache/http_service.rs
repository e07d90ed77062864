use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_service::Service;

use super::{
    HttpCacheFuture,
    cache_control::CacheControl,
    cached_body::CachedBody,
    freshness::RequestPlan,
    http_entry::HttpEntry,
    http_future::CacheStep,
    http_layer::HttpConfig,
    http_miss::{HttpMiss, HttpPlace, Invalidation},
    metrics::CacheEvent,
};
use crate::{
    call::BoxError,
    coalesce::HeadKey,
    protocol::{HttpKindFor, ReadRequest},
};

/// A service behind a shared HTTP cache. Made by [`HttpCacheLayer`](super::HttpCacheLayer).
pub struct HttpCacheService<S, K> {
    inner: S,
    config: Arc<HttpConfig<K>>,
}

impl<S, K> HttpCacheService<S, K> {
    pub(super) fn new(inner: S, config: Arc<HttpConfig<K>>) -> Self {
        HttpCacheService { inner, config }
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Decides what is done with a request.
    fn decide<B: Body>(&self, request: &Request<B>) -> CacheStep<K> {
        let shared = &self.config.cache.shared;
        let plan = match shared.is_disabled() {
            true => RequestPlan::Bypass,
            false => RequestPlan::new(request.method(), request.headers()),
        };
        let step = match plan {
            RequestPlan::Bypass => None,
            // The key says nothing of a body.
            RequestPlan::Use(_) if !request.body().is_end_stream() => None,
            RequestPlan::Use(directives) => look_up(&self.config, request, &directives),
            RequestPlan::Invalidate => {
                shared.count(CacheEvent::Bypassed);
                return self.invalidate(request).unwrap_or(CacheStep::Call);
            }
        };
        step.unwrap_or_else(|| {
            shared.count(CacheEvent::Bypassed);
            CacheStep::Call
        })
    }

    /// Prepares to remove what a request changes; none if that has no key, and so is never kept.
    fn invalidate<B>(&self, request: &Request<B>) -> Option<CacheStep<K>> {
        let shared = &self.config.cache.shared;
        let keys = HeadKey::of_all_forms(request.uri(), request.headers())?;
        Some(CacheStep::Invalidate(Box::new(Invalidation {
            shared: shared.clone(),
            hashes: keys.map(|key| shared.hash::<HttpEntry>(&key)),
        })))
    }
}

/// Looks for a response; none if the request has no key.
///
/// By references: requests that find one count none that all threads share, but those of the response.
fn look_up<B, K>(
    config: &Arc<HttpConfig<K>>,
    request: &Request<B>,
    directives: &CacheControl,
) -> Option<CacheStep<K>> {
    let shared = &config.cache.shared;
    let key = HeadKey::of_target(request.uri(), request.headers())?;
    let (hash, now) = (shared.hash::<HttpEntry>(&key), Instant::now());
    let entry = shared.get::<HttpEntry>(hash);
    let found = entry.and_then(|entry| entry.select(&key, request.headers()));
    if let Some(variant) = &found {
        let age = variant.age(now);
        if variant.freshness.is_fresh(age, directives) {
            shared.count(CacheEvent::Hit);
            return Some(CacheStep::Found(variant.clone(), age));
        }
    }
    shared.count(CacheEvent::Miss);
    if directives.only_if_cached {
        return Some(CacheStep::NotKept);
    }
    let place = HttpPlace {
        shared: shared.clone(),
        hash,
        key,
    };
    // A caller that wants no kept response gets none after a failure either.
    let stale = found.filter(|_| !directives.no_cache);
    let miss = HttpMiss::new(place, request.headers().clone(), now, stale);
    Some(CacheStep::Miss(Box::new(miss), config.clone()))
}

impl<S, K, ReqBody, B> Service<Request<ReqBody>> for HttpCacheService<S, K>
where
    // The wrapped service, whose handle gives its readiness back where there is a response already.
    S: Service<Request<ReqBody>, Response = Response<B>> + Clone,
    // A request with a body has no key.
    ReqBody: Body + 'static,
    // The body that is recorded.
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    // How failures are told from responses.
    K: HttpKindFor<S::Error>,
{
    type Response = Response<CachedBody<B>>;
    type Error = K::Error;
    type Future = HttpCacheFuture<S::Future, K>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), K::Error>> {
        self.inner.poll_ready(cx).map_err(K::convert_error)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let call = self.config.protocol.read(&mut request);
        let step = self.decide(&request);
        let future = match step.is_answered() {
            true => {
                // Its readiness may be a slot that others wait for.
                self.inner = self.inner.clone();
                None
            }
            false => Some(self.inner.call(request)),
        };
        HttpCacheFuture::new(call, step, future)
    }
}

/// A clone shares the cache, but not the readiness.
impl<S: Clone, K> Clone for HttpCacheService<S, K> {
    fn clone(&self) -> Self {
        HttpCacheService::new(self.inner.clone(), self.config.clone())
    }
}

impl<S: fmt::Debug, K> fmt::Debug for HttpCacheService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheService")
            .field("inner", &self.inner)
            .field("cache", &self.config.cache)
            .finish_non_exhaustive()
    }
}
