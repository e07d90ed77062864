//! Retries over HTTP and gRPC clients: what may be sent twice, and how an answer is judged.

mod body;
mod http_attempts;
mod rules;
mod wire;

use std::{
    error::Error,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts, response};
use http_body::Body;
use tower_service::Service;

use super::{ReplayBody, Retry, RetryAfter, RetryFuture, RetryLayer, RetryService};
use crate::{
    call::{BoxError, Classifier, ClassifyInput, ClassifyOutput},
    protocol::{Client, GrpcClient, HttpExchange, Protocol, ReadRequest, Respond},
};

use body::BodyCompletion;
pub use body::RetryBody;
pub use http_attempts::HttpAttempts;
use rules::HttpRules;

/// Retries over a client: its protocol, and how requests are sent again. Part of a
/// [`RetryLayer`]'s type.
pub struct HttpRetry<P, M = AsIs> {
    protocol: Arc<P>,
    map: Arc<M>,
    rules: HttpRules,
}

/// Gives the service the body it takes. Closures implement it.
pub trait MapBody<B> {
    /// What the service takes.
    type Body;
    #[doc(hidden)]
    fn map_body(&self, body: ReplayBody<B>) -> Self::Body;
}

/// The service takes any body: a [`ReplayBody`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

impl<B> MapBody<B> for AsIs {
    type Body = ReplayBody<B>;
    fn map_body(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<B, F: Fn(ReplayBody<B>) -> T, T> MapBody<B> for F {
    type Body = T;
    fn map_body(&self, body: ReplayBody<B>) -> T {
        self(body)
    }
}

impl RetryLayer<HttpRetry<Client>> {
    /// Retries over an HTTP client such as hyper-util's; its error becomes a `BoxError`.
    pub fn client(retry: Retry) -> Self {
        RetryLayer::new(retry, HttpRetry::new(Client::new(), AsIs))
    }
}

impl RetryLayer<HttpRetry<GrpcClient>> {
    /// Retries over a gRPC client such as tonic's `Channel`; its error becomes a `BoxError`. A channel takes
    /// one type of body only, so say [`request_body(tonic::body::Body::new)`](Self::request_body).
    ///
    /// gRPC calls are posted, so none is tried again until [`retry_if_request`](Self::retry_if_request) says which may be. One is
    /// judged by its headers: an answer that has begun is not taken back.
    pub fn grpc_client(retry: Retry) -> Self {
        RetryLayer::new(retry, HttpRetry::new(GrpcClient::new(), AsIs))
    }
}

impl<P, M> RetryLayer<HttpRetry<P, M>> {
    /// Makes the body that the service takes out of the one that can be sent again.
    #[must_use]
    pub fn request_body<N>(self, map: N) -> RetryLayer<HttpRetry<P, N>> {
        let (retry, replay) = self.to_parts();
        let replay = HttpRetry {
            protocol: replay.protocol.clone(),
            map: Arc::new(map),
            rules: replay.rules.clone(),
        };
        RetryLayer::new(retry, replay)
    }

    /// How much of a request's body is kept; a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn max_replay_bytes(self, bytes: usize) -> Self {
        self.update_rules(|rules| rules.max_replay_bytes = bytes)
    }

    /// Which requests may be sent twice. Default: those of idempotent methods, and those with an `Idempotency-FingerprintInput`.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::grpc_client(Retry::default())
    ///     .retry_if_request(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn retry_if_request(self, which: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.update_rules(|rules| rules.retry_if_request = Some(Arc::new(which)))
    }

    /// Whether gRPC requests say how many attempts came before them, in `grpc-previous-rpc-attempts`.
    ///
    /// Default: yes, as gRPC's proposal A6 has it; servers that do not know it ignore it.
    #[must_use]
    pub fn send_attempt_header(self, announce: bool) -> Self {
        self.update_rules(|rules| rules.send_attempt_header = announce)
    }

    /// Sets how to read what a peer says about another attempt from the head of a failed response, where it says it in
    /// its own way. `None` leaves it to the usual headers: `grpc-retry-pushback-ms`, `Retry-After`, and gRPC's
    /// `RetryInfo`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::retry::{RetryAfter, Retry, RetryLayer};
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
        self.update_rules(|rules| rules.read_retry_after = Some(Arc::new(read)))
    }

    /// Sets which errors of the service prove that the peer never began a request: it is then sent again whatever its
    /// method, as an attempt like any other.
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
        proves: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.update_rules(|rules| rules.unsent_if = Some(Arc::new(proves)))
    }

    /// Sets whether a request that the peer provably never began is sent again, whatever its method: see
    /// [what was never sent](super#what-was-never-sent).
    ///
    /// Switch it on where the layer stands right around a transport, such as hyper-util's client or tonic's `Channel`.
    /// The proof is an error, which speaks of the last thing that failed: of a service that does more than send one
    /// request, some may have been done.
    ///
    /// What may not be repeated is kept for that alone, which costs some allocations: its headers and what is read of
    /// its body. Default: no, since the layer cannot know what it stands around.
    #[must_use]
    pub fn retry_unsent(self, free: bool) -> Self {
        self.update_rules(|rules| rules.retry_unsent = free)
    }

    fn update_rules(self, change: impl FnOnce(&mut HttpRules)) -> Self {
        let (retry, replay) = self.to_parts();
        let mut rules = replay.rules.clone();
        change(&mut rules);
        let replay = HttpRetry {
            protocol: replay.protocol.clone(),
            map: replay.map.clone(),
            rules,
        };
        RetryLayer::new(retry, replay)
    }
}

impl<P: Protocol + Clone, M> RetryLayer<HttpRetry<P, M>> {
    /// Judges attempts by a closure instead of by the protocol alone: failures, overload and timeouts are worth another
    /// attempt. Every layer of the stack judges by it; see [`GuardLayer::classify`](crate::GuardLayer::classify).
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let (retry, replay) = self.to_parts();
        let protocol = P::clone(&replay.protocol).with_classifier(Classifier::new(classify));
        let replay = HttpRetry {
            protocol: Arc::new(protocol),
            map: replay.map.clone(),
            rules: replay.rules.clone(),
        };
        RetryLayer::new(retry, replay)
    }
}

impl<P, M> HttpRetry<P, M> {
    fn new(protocol: P, map: M) -> Self {
        HttpRetry {
            protocol: Arc::new(protocol),
            map: Arc::new(map),
            rules: HttpRules::default(),
        }
    }
}

impl<P, M> fmt::Debug for HttpRetry<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl<S, P, M, B, RB> Service<Request<B>> for RetryService<S, HttpRetry<P, M>>
where
    // The request's body, and what the service takes in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The wrapped service, and what is called again.
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    // The response's body.
    RB: Body<Data = Bytes, Error: 'static>,
    // How an attempt is judged.
    P: Protocol<Call = HttpExchange> + ReadRequest<Request<B>>,
    P: Respond<Response<RB>, S::Error, Error = BoxError>,
{
    type Response = Response<RetryBody<RB>>;
    type Error = BoxError;
    type Future = RetryFuture<HttpAttempts<S, P, M, B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_inner_ready(cx).map_err(P::convert_error)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (ready, shared) = self.take_ready_service();
        HttpAttempts::start_call(ready, request, shared)
    }
}
