use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    cached_body::CachedBody,
    http_entry::Variant,
    http_layer::HttpConfig,
    http_miss::{HttpMiss, Invalidation},
};
use crate::{
    call::BoxError,
    fallback::is_failure_by_default,
    protocol::{CallState, HttpExchange, HttpKindFor, Respond},
    util::poll::POLLED_AFTER_COMPLETION,
};

/// The way in which a request is answered.
pub(super) enum CacheStep<K> {
    /// A response of this age, which was kept.
    Found(Arc<Variant>, Duration),
    /// An error, since the caller wants a response that is kept, and there is none.
    NotKept,
    /// A call whose response may be kept, and how it is told from a failure.
    Miss(Box<HttpMiss>, Arc<HttpConfig<K>>),
    /// A call whose success removes what is kept of its URI.
    Invalidate(Box<Invalidation>),
    /// A call.
    Call,
    Done,
}

impl<K> CacheStep<K> {
    /// Returns whether no call is made.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self, CacheStep::Found(..) | CacheStep::NotKept)
    }
}

pin_project! {
    /// The future of a call through a shared HTTP cache. Named; boxed is what a call needs whose response may be kept.
    #[must_use = "futures do nothing unless polled"]
    pub struct HttpCacheFuture<F, K> {
        // None if the call was not made, or is over.
        #[pin]
        future: Option<F>,
        step: CacheStep<K>,
        call: HttpExchange,
    }
}

impl<F, K> HttpCacheFuture<F, K> {
    pub(super) fn new(call: HttpExchange, step: CacheStep<K>, future: Option<F>) -> Self {
        HttpCacheFuture { future, step, call }
    }
}

/// Returns the response to a request that wants no call to be made (RFC 9111, section 5.2.1.7).
fn not_kept<B>() -> Response<CachedBody<B>> {
    let mut response = Response::new(CachedBody::from_bytes(Bytes::new()));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

impl<K> HttpConfig<K> {
    /// Returns whether a call has failed, so that a stale response is better.
    fn is_failure<B, E>(
        &self,
        call: &mut HttpExchange,
        result: &mut Result<Response<B>, K::Error>,
    ) -> bool
    where
        B: Body<Data = Bytes>,
        K: HttpKindFor<E>,
    {
        type Protocol<K> = crate::protocol::HttpProtocol<K>;
        let protocol = &self.protocol;
        match result {
            Ok(response) => {
                Respond::<Response<B>, E>::classify_response(protocol, call, response, None);
                // Layers further out read the outcome from the response's extensions.
                <Protocol<K> as Respond<Response<B>, E>>::share_classification(call, response);
            }
            Err(error) => {
                Respond::<Response<B>, E>::classify_error(protocol, call, error);
            }
        }
        is_failure_by_default(call.classification().outcome)
    }

    /// Completes a call: keeps its response, or replaces a failure by one that is kept.
    fn finish<B, E>(
        &self,
        miss: HttpMiss,
        call: &mut HttpExchange,
        mut result: Result<Response<B>, K::Error>,
    ) -> Result<Response<CachedBody<B>>, K::Error>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
        K: HttpKindFor<E>,
    {
        if self.is_failure::<B, E>(call, &mut result)
            && let Some((variant, age)) = miss.stale()
        {
            return Ok(variant.to_response(age));
        }
        result.map(|response| miss.finish(response))
    }
}

impl<F, B, E, K> Future for HttpCacheFuture<F, K>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    K: HttpKindFor<E>,
{
    type Output = Result<Response<CachedBody<B>>, K::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match this.future.as_mut().as_pin_mut() {
            Some(future) => Some(ready!(future.poll(cx)).map_err(K::convert_error)),
            None => None,
        };
        this.future.set(None);
        let step = std::mem::replace(this.step, CacheStep::Done);
        let Some(result) = result else {
            return Poll::Ready(Ok(match step {
                CacheStep::Found(variant, age) => variant.to_response(age),
                CacheStep::NotKept => not_kept(),
                _ => panic!("{POLLED_AFTER_COMPLETION}"),
            }));
        };
        Poll::Ready(match step {
            CacheStep::Miss(miss, config) => config.finish::<B, E>(*miss, this.call, result),
            CacheStep::Invalidate(invalidation) => {
                let is_done = |response: &Response<B>| {
                    let status = response.status();
                    status.is_success() || status.is_redirection()
                };
                if result.as_ref().is_ok_and(is_done) {
                    invalidation.run();
                }
                result.map(|response| response.map(CachedBody::from_service))
            }
            _ => result.map(|response| response.map(CachedBody::from_service)),
        })
    }
}

impl<F, K> fmt::Debug for HttpCacheFuture<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheFuture").finish_non_exhaustive()
    }
}
