use std::{error::Error, fmt, sync::Arc};

use http::{request, response};
use tower_layer::Layer;

use super::{HttpRetry, Retry, RetryAfter, RetryService, clone_requests::CloneRequests};
use crate::{
    call::{Classifier, ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Client, GrpcClient, Protocol},
};

/// Retries failed requests: see the [module](super).
///
/// Requests are cloned for each attempt but the last. The service is cloned when the layer is applied, and that clone
/// again by each call that is retried: first attempts are made on the service itself, all others on the clone of the
/// call. What is reserved in `poll_ready` is used by the service that reserved it.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, retry::{Retry, RetryLayer}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::any(Retry::new("greeter")))
///     .service(service_fn(|name: String| {
///         calls.set(calls.get() + 1);
///         let down = calls.get() < 3;
///         async move { if down { Err(std::io::Error::other("reset")) } else { Ok(format!("hello {name}")) } }
///     }));
/// assert_eq!(service.oneshot("you".to_owned()).await?, "hello you");
/// assert_eq!(calls.get(), 3);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// Calls panic outside of a tokio runtime when an attempt fails: the backoff needs a timer.
///
/// # Clones
///
/// All services it makes, and their clones, share the [`Retry`].
///
/// # Types
///
/// `P` is how attempts are classified: [`Client`] and [`GrpcClient`] over HTTP, else [`AnyService`]. `R` is what decides
/// about retries: rules for HTTP, or a [`RetryPolicy`](super::RetryPolicy).
pub struct RetryLayer<P, R = HttpRetry> {
    // One allocation: a reference count is a good part of what a call costs that succeeds at once.
    shared: Arc<(Retry, P, R)>,
}

impl<P, R> RetryLayer<P, R> {
    fn with_parts(retry: Retry, protocol: P, rules: R) -> Self {
        RetryLayer {
            shared: Arc::new((retry, protocol, rules)),
        }
    }

    #[inline]
    pub(super) fn retry(&self) -> &Retry {
        &self.shared.0
    }

    #[inline]
    pub(super) fn protocol(&self) -> &P {
        &self.shared.1
    }

    #[inline]
    pub(super) fn rules(&self) -> &R {
        &self.shared.2
    }
}

impl RetryLayer<AnyService, CloneRequests> {
    /// Retries a service of any kind whose requests are `Clone`. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::any(Retry::new("greeter"));
    /// # let _ = layer;
    /// ```
    pub fn any(retry: Retry) -> Self {
        RetryLayer::with_policy(retry, CloneRequests)
    }

    /// Classifies attempts by a closure, which gets the [`response`](crate::call::ClassifyInput::response) or the
    /// [`error`](crate::call::ClassifyInput::error): failures, overload and timeouts are retried.
    ///
    /// ```
    /// use tower_keep::{Outcome, retry::{Retry, RetryLayer}};
    ///
    /// let layer = RetryLayer::any(Retry::new("jobs")).classify(|input| {
    ///     match input.response::<&str>() {
    ///         Some(&"not yet") => Outcome::Failure,
    ///         _ => input.outcome(),
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let protocol = AnyService::new().with_classifier(Classifier::new(classify));
        RetryLayer::with_parts(self.retry().clone(), protocol, CloneRequests)
    }
}

impl<T> RetryLayer<AnyService, T> {
    /// Retries a service of any kind by a [`RetryPolicy`](super::RetryPolicy), which also clones the requests. The
    /// service's error becomes a `BoxError`.
    ///
    /// For services other than HTTP: status and `Retry-After` of a response are not read, so that a 503 is a success. Over
    /// HTTP, use [`client`](RetryLayer::client) with [`classify`](RetryLayer::classify) and
    /// [`retry_if_request`](RetryLayer::retry_if_request).
    ///
    /// Requests that are not repeatable are never cloned here, and so never retried:
    ///
    /// ```
    /// use tower_keep::retry::{AttemptResult, Retry, RetryDecision, RetryLayer, RetryPolicy};
    ///
    /// struct RetryReads;
    /// impl<Res> RetryPolicy<String, Res> for RetryReads {
    ///     fn clone_request(&self, query: &String) -> Option<String> {
    ///         query.starts_with("SELECT").then(|| query.clone())
    ///     }
    ///     fn decide(&self, attempt: &AttemptResult<'_, String, Res>) -> RetryDecision {
    ///         attempt.default_decision
    ///     }
    /// }
    ///
    /// let layer = RetryLayer::with_policy(Retry::new("database"), RetryReads);
    /// # let _ = layer;
    /// ```
    pub fn with_policy(retry: Retry, policy: T) -> Self {
        RetryLayer::with_parts(retry, AnyService::new(), policy)
    }
}

impl RetryLayer<Client> {
    /// Retries an HTTP client such as hyper-util's. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::client(Retry::new("orders")).max_replay_bytes(1 << 20);
    /// # let _ = layer;
    /// ```
    pub fn client(retry: Retry) -> Self {
        RetryLayer::with_parts(retry, Client::new(), HttpRetry::new())
    }
}

impl RetryLayer<GrpcClient> {
    /// Retries a gRPC client such as tonic's `Channel`. Its error becomes a `BoxError`. A channel takes only one type
    /// of body, so add [`request_body(tonic::body::Body::new)`](Self::request_body).
    ///
    /// gRPC calls are `POST` requests, so none is retried unless [`retry_if_request`](Self::retry_if_request) allows
    /// it, and the code must be `UNAVAILABLE` or another of [`grpc_codes`](super::RetryBuilder::grpc_codes), unless the peer
    /// says when to retry. A call is classified by its headers: once its response has begun, it is not retried.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::grpc_client(Retry::new("orders"))
    ///     .retry_if_request(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(retry: Retry) -> Self {
        RetryLayer::with_parts(retry, GrpcClient::new(), HttpRetry::new())
    }
}

impl<P: Protocol + Clone, M> RetryLayer<P, HttpRetry<M>> {
    /// Converts the replayable request body into the body that the service takes.
    ///
    /// ```
    /// use http_body_util::BodyExt;
    /// use tower_keep::retry::{ReplayBody, Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::client(Retry::new("orders"))
    ///     .request_body(|body: ReplayBody<String>| body.boxed());
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn request_body<N>(self, map: N) -> RetryLayer<P, HttpRetry<N>> {
        let rules = self.rules().with_map(map);
        RetryLayer::with_parts(self.retry().clone(), self.protocol().clone(), rules)
    }

    /// Sets how much of a request body is buffered; a request with a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn max_replay_bytes(self, bytes: usize) -> Self {
        self.update(|rules| rules.max_replay_bytes = bytes)
    }

    /// Sets which requests may be sent twice; a closure that panics allows none.
    ///
    /// Default: requests with an idempotent method, and those with an `Idempotency-Key` that is not empty.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::grpc_client(Retry::default())
    ///     .retry_if_request(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn retry_if_request(
        self,
        predicate: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.update(|rules| rules.retry_if_request = Some(Arc::new(predicate)))
    }

    /// Sets whether gRPC requests carry the number of earlier attempts in `grpc-previous-rpc-attempts`.
    ///
    /// Default: on, as in gRPC's proposal A6; servers that do not know the header ignore it.
    #[must_use]
    pub fn send_attempt_header(self, send: bool) -> Self {
        self.update(|rules| rules.send_attempt_header = send)
    }

    /// Sets how to read a peer's own retry-after from the head of a failed response. If the closure returns `None`, the
    /// usual headers count: `grpc-retry-pushback-ms`, `Retry-After`, and gRPC's `RetryInfo`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::{Retry, RetryAfter, RetryLayer};
    ///
    /// let layer = RetryLayer::client(Retry::default()).read_retry_after(|head| {
    ///     let wait = head.headers.get("retry-after-ms")?.to_str().ok()?;
    ///     Some(RetryAfter::NotBefore(Duration::from_millis(wait.parse().ok()?)))
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn read_retry_after(
        self,
        read: impl Fn(&response::Parts) -> Option<RetryAfter> + Send + Sync + 'static,
    ) -> Self {
        self.update(|rules| rules.read_retry_after = Some(Arc::new(read)))
    }

    /// Sets which errors of the service prove that the peer never began a request. Such a request is retried whatever
    /// its method, as an attempt like any other. A closure that panics proves nothing.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::client(Retry::default())
    ///     .unsent_if(|error| error.to_string() == "the pool has no connection left");
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn unsent_if(
        self,
        predicate: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.update(|rules| rules.unsent_if = Some(Arc::new(predicate)))
    }

    /// Sets whether a request that the peer provably never began is sent again, whatever its method: see
    /// [unsent requests](super#unsent-requests). gRPC calls this a transparent retry.
    ///
    /// Switch it on where the layer wraps a transport directly, such as hyper-util's client or tonic's `Channel`. The
    /// proof is an error, which only tells about the last thing that failed: a service that does more than send one
    /// request may have done some of it.
    ///
    /// Requests that are not repeatable are buffered for this alone, which costs some allocations: their headers and
    /// what is read of their body. Default: off, since the layer cannot know what it wraps.
    #[must_use]
    pub fn retry_unsent(self, retry: bool) -> Self {
        self.update(|rules| rules.retry_unsent = retry)
    }

    /// Classifies attempts by a closure: failures, overload and timeouts are retried. Every layer of the stack uses its
    /// outcome; see [`GuardLayer::classify`](crate::GuardLayer::classify).
    ///
    /// ```
    /// use tower_keep::{Outcome, retry::{Retry, RetryLayer}};
    ///
    /// let layer = RetryLayer::client(Retry::new("orders")).classify(|input| {
    ///     match input.status() {
    ///         Some(status) if status.as_u16() == 425 => Outcome::Failure,
    ///         _ => input.outcome(),
    ///     }
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let protocol = self.protocol().clone();
        let protocol = protocol.with_classifier(Classifier::new(classify));
        RetryLayer::with_parts(self.retry().clone(), protocol, self.rules().clone())
    }

    // Copies what is shared: services that were made before keep their rules.
    fn update(self, change: impl FnOnce(&mut HttpRetry<M>)) -> Self {
        // A copy: services that were made before keep their rules.
        let mut rules = self.rules().clone();
        change(&mut rules);
        RetryLayer::with_parts(self.retry().clone(), self.protocol().clone(), rules)
    }
}

impl<S: Clone, P, R> Layer<S> for RetryLayer<P, R> {
    type Service = RetryService<S, P, R>;

    fn layer(&self, inner: S) -> RetryService<S, P, R> {
        RetryService::new(inner, self.clone())
    }
}

impl<P, R> Clone for RetryLayer<P, R> {
    fn clone(&self) -> Self {
        RetryLayer {
            shared: self.shared.clone(),
        }
    }
}

impl<P, R> fmt::Debug for RetryLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("retry", self.retry())
            .finish_non_exhaustive()
    }
}
