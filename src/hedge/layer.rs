use std::fmt;

use http::{request, response};
use tower_layer::Layer;

use super::{Hedge, HedgeService};
use crate::{
    call::{ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Client, GrpcClient, Protocol},
    retry::{CloneRequests, HttpRetry, RetryAfter, RetryLayer},
};

/// A layer that sends a second request where the first takes long: see the [module](super).
///
/// The service is cloned when the layer is applied, and that clone again by each call that is hedged: first attempts are made on the
/// service itself, hedges on the clone of the call.
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use tower_keep::{BoxError, hedge::{Hedge, HedgeLayer}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let hedge = Hedge::builder("greeter").delay(Duration::from_millis(50)).build()?;
/// let calls = std::cell::Cell::new(0);
/// let service = ServiceBuilder::new()
///     .layer(HedgeLayer::any(hedge))
///     .service(service_fn(|name: String| {
///         calls.set(calls.get() + 1);
///         let hangs = calls.get() == 1;
///         async move {
///             if hangs { std::future::pending().await }
///             Ok::<_, BoxError>(format!("hello {name}"))
///         }
///     }));
/// assert_eq!(service.oneshot("you".to_owned()).await?, "hello you");
/// assert_eq!(calls.get(), 2);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// Calls panic outside of a tokio runtime when an attempt is not ready at once: the delay needs a timer.
///
/// # Clones
///
/// All services it makes, and their clones, share the [`Hedge`].
///
/// # Types
///
/// `P` is how attempts are classified: [`Client`] and [`GrpcClient`] over HTTP, else [`AnyService`]. `R` is what decides which
/// requests may be sent twice: rules for HTTP, or a [`RetryPolicy`](crate::retry::RetryPolicy).
pub struct HedgeLayer<P, R = HttpRetry> {
    pub(super) hedge: Hedge,
    /// Makes the attempts: hedges are retries that do not wait for the attempt before.
    pub(super) attempts: RetryLayer<P, R>,
}

impl<P, R> HedgeLayer<P, R> {
    fn with_attempts(hedge: Hedge, attempts: RetryLayer<P, R>) -> Self {
        HedgeLayer { hedge, attempts }
    }
}

impl HedgeLayer<AnyService, CloneRequests> {
    /// Hedges a service of any kind whose requests are `Clone`, all of which may be done twice. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeLayer};
    ///
    /// let layer = HedgeLayer::any(Hedge::new("greeter"));
    /// # let _ = layer;
    /// ```
    pub fn any(hedge: Hedge) -> Self {
        let attempts = RetryLayer::any(hedge.shared.retry.clone());
        HedgeLayer::with_attempts(hedge, attempts)
    }

    /// Classifies attempts by a closure: as [`RetryLayer::classify`].
    ///
    /// ```
    /// use tower_keep::{Outcome, hedge::{Hedge, HedgeLayer}};
    ///
    /// // A replica that has no entry yet is asked no further: the next one is.
    /// let layer = HedgeLayer::any(Hedge::new("replicas")).classify(|input| {
    ///     match input.response::<Option<u32>>() {
    ///         Some(None) => Outcome::Failure,
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
        HedgeLayer::with_attempts(self.hedge, self.attempts.classify(classify))
    }
}

impl<T> HedgeLayer<AnyService, T> {
    /// Hedges a service of any kind by a [`RetryPolicy`](crate::retry::RetryPolicy): it clones the requests that may be sent twice, and
    /// decides whether another attempt may better a result. The service's error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::{
    ///     hedge::{Hedge, HedgeLayer},
    ///     retry::{AttemptResult, RetryDecision, RetryPolicy},
    /// };
    ///
    /// struct HedgeReads;
    /// impl<Res> RetryPolicy<String, Res> for HedgeReads {
    ///     fn clone_request(&self, query: &String) -> Option<String> {
    ///         query.starts_with("SELECT").then(|| query.clone())
    ///     }
    ///     fn decide(&self, attempt: &AttemptResult<'_, String, Res>) -> RetryDecision {
    ///         attempt.default_decision
    ///     }
    /// }
    ///
    /// let layer = HedgeLayer::with_policy(Hedge::new("database"), HedgeReads);
    /// # let _ = layer;
    /// ```
    pub fn with_policy(hedge: Hedge, policy: T) -> Self {
        let attempts = RetryLayer::with_policy(hedge.shared.retry.clone(), policy);
        HedgeLayer::with_attempts(hedge, attempts)
    }
}

impl HedgeLayer<Client> {
    /// Hedges an HTTP client such as hyper-util's. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeLayer};
    ///
    /// let layer = HedgeLayer::client(Hedge::new("orders")).max_replay_bytes(1 << 20);
    /// # let _ = layer;
    /// ```
    pub fn client(hedge: Hedge) -> Self {
        let attempts = RetryLayer::client(hedge.shared.retry.clone());
        HedgeLayer::with_attempts(hedge, attempts)
    }
}

impl HedgeLayer<GrpcClient> {
    /// Hedges a gRPC client such as tonic's `Channel`. Its error becomes a `BoxError`. A channel takes only one type of body, so add
    /// [`request_body(tonic::body::Body::new)`](Self::request_body).
    ///
    /// gRPC calls are `POST` requests, so none is hedged unless [`hedge_if_request`](Self::hedge_if_request) allows it.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeLayer};
    ///
    /// let layer = HedgeLayer::grpc_client(Hedge::new("orders"))
    ///     .hedge_if_request(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(hedge: Hedge) -> Self {
        let attempts = RetryLayer::grpc_client(hedge.shared.retry.clone());
        HedgeLayer::with_attempts(hedge, attempts)
    }
}

impl<P: Protocol + Clone, M> HedgeLayer<P, HttpRetry<M>> {
    /// Converts the replayable request body into the body that the service takes.
    ///
    /// ```
    /// use http_body_util::BodyExt;
    /// use tower_keep::{hedge::{Hedge, HedgeLayer}, retry::ReplayBody};
    ///
    /// let layer = HedgeLayer::client(Hedge::new("orders"))
    ///     .request_body(|body: ReplayBody<String>| body.boxed());
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn request_body<N>(self, map: N) -> HedgeLayer<P, HttpRetry<N>> {
        HedgeLayer::with_attempts(self.hedge, self.attempts.request_body(map))
    }

    /// Sets how much of a request body is buffered; a request with a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn max_replay_bytes(self, bytes: usize) -> Self {
        HedgeLayer::with_attempts(self.hedge, self.attempts.max_replay_bytes(bytes))
    }

    /// Sets which requests may be sent twice; a closure that panics allows none.
    ///
    /// Default: requests with an idempotent method, and those with an `Idempotency-Key` that is not empty.
    ///
    /// ```
    /// use tower_keep::hedge::{Hedge, HedgeLayer};
    ///
    /// let layer = HedgeLayer::client(Hedge::new("orders"))
    ///     .hedge_if_request(|request| request.uri.path().starts_with("/search"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn hedge_if_request(
        self,
        predicate: impl Fn(&request::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        HedgeLayer::with_attempts(self.hedge, self.attempts.retry_if_request(predicate))
    }

    /// Sets whether hedges of gRPC requests carry the number of earlier attempts in `grpc-previous-rpc-attempts`.
    ///
    /// Default: on, as in gRPC's proposal A6; servers that do not know the header ignore it.
    #[must_use]
    pub fn send_attempt_header(self, send: bool) -> Self {
        HedgeLayer::with_attempts(self.hedge, self.attempts.send_attempt_header(send))
    }

    /// Sets how to read a peer's own retry-after from the head of a failed response: as [`RetryLayer::read_retry_after`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::{hedge::{Hedge, HedgeLayer}, retry::RetryAfter};
    ///
    /// let layer = HedgeLayer::client(Hedge::new("orders")).read_retry_after(|head| {
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
        HedgeLayer::with_attempts(self.hedge, self.attempts.read_retry_after(read))
    }

    /// Classifies attempts by a closure: failures, overload and timeouts are followed by the next attempt. Every layer of the stack uses
    /// its outcome; see [`GuardLayer::classify`](crate::GuardLayer::classify).
    ///
    /// ```
    /// use tower_keep::{Outcome, hedge::{Hedge, HedgeLayer}};
    ///
    /// let layer = HedgeLayer::client(Hedge::new("orders")).classify(|input| {
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
        HedgeLayer::with_attempts(self.hedge, self.attempts.classify(classify))
    }
}

impl<S: Clone, P, R> Layer<S> for HedgeLayer<P, R> {
    type Service = HedgeService<S, P, R>;

    fn layer(&self, inner: S) -> HedgeService<S, P, R> {
        HedgeService::new(inner, self)
    }
}

impl<P, R> Clone for HedgeLayer<P, R> {
    fn clone(&self) -> Self {
        HedgeLayer {
            hedge: self.hedge.clone(),
            attempts: self.attempts.clone(),
        }
    }
}

impl<P, R> fmt::Debug for HedgeLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer")
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}
