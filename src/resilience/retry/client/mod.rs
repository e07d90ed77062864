//! Retries over HTTP and gRPC clients: what may be sent twice, and how an answer is judged.

mod future;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{ReplayBody, Retried, Retry, RetryLayer};
use crate::{
    call::{BoxError, Classify, quietly},
    guard::Answer,
    protocol::{Client, GrpcClient, Http},
};

pub use future::HttpRetryFuture;

/// What is kept of a request body by default, in bytes: more than most have, little enough for thousands of calls.
const DEFAULT_CAP: usize = 64 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

type Repeatable = dyn Fn(&Parts) -> bool + Send + Sync;

/// Retries over a client: its protocol, and how requests are sent again. Part of a
/// [`RetryLayer`]'s type.
pub struct Replay<P, M = AsIs> {
    protocol: Arc<P>,
    map: Arc<M>,
    cap: usize,
    repeatable: Option<Arc<Repeatable>>,
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

impl RetryLayer<Replay<Client>> {
    /// Retries over an HTTP client such as hyper-util's; its error becomes a `BoxError`.
    pub fn client(retry: Retry) -> Self {
        RetryLayer::new(retry, Replay::new(Client(()), AsIs))
    }
}

impl RetryLayer<Replay<GrpcClient>> {
    /// Retries over a gRPC client such as tonic's `Channel`; its error becomes a `BoxError`. A channel takes one type of body
    /// only, so say [`request_body(tonic::body::Body::new)`](Self::request_body).
    ///
    /// gRPC calls are posted, so none is tried again until [`repeatable`](Self::repeatable) says which may be. One is
    /// judged by its headers: an answer that has begun is not taken back.
    pub fn grpc_client(retry: Retry) -> Self {
        RetryLayer::new(retry, Replay::new(GrpcClient(()), AsIs))
    }
}

impl<P, M> RetryLayer<Replay<P, M>> {
    /// Makes the body that the service takes out of the one that can be sent again.
    #[must_use]
    pub fn request_body<N>(self, map: N) -> RetryLayer<Replay<P, N>> {
        let (retry, replay) = self.into_parts();
        let replay = Replay {
            protocol: replay.protocol.clone(),
            map: Arc::new(map),
            cap: replay.cap,
            repeatable: replay.repeatable.clone(),
        };
        RetryLayer::new(retry, replay)
    }

    /// How much of a request's body is kept; a longer one is sent once. Default: 64 KiB.
    #[must_use]
    pub fn replay_at_most(self, bytes: usize) -> Self {
        let (retry, replay) = self.into_parts();
        let mut replay = (*replay).clone();
        replay.cap = bytes;
        RetryLayer::new(retry, replay)
    }

    /// Which requests may be sent twice. Default: those of idempotent methods, and those with an `Idempotency-Key`.
    ///
    /// ```
    /// use tower_keep::retry::{Retry, RetryLayer};
    ///
    /// let layer = RetryLayer::grpc_client(Retry::default())
    ///     .repeatable(|request| request.uri.path().ends_with("/Get"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn repeatable(self, which: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        let (retry, replay) = self.into_parts();
        let mut replay = (*replay).clone();
        replay.repeatable = Some(Arc::new(which));
        RetryLayer::new(retry, replay)
    }
}

macro_rules! classify {
    ($protocol:ident) => {
        impl<C: Classify, M> RetryLayer<Replay<$protocol<C>, M>> {
            /// Judges attempts by the classifier instead of by the protocol alone: failures, overload and timeouts
            /// are worth another attempt.
            #[must_use]
            pub fn classify<D: Classify>(self, classify: D) -> RetryLayer<Replay<$protocol<D>, M>> {
                let (retry, replay) = self.into_parts();
                let replay = Replay {
                    protocol: Arc::new($protocol(classify)),
                    map: replay.map.clone(),
                    cap: replay.cap,
                    repeatable: replay.repeatable.clone(),
                };
                RetryLayer::new(retry, replay)
            }
        }
    };
}
classify!(Client);
classify!(GrpcClient);

impl<P, M> Replay<P, M> {
    fn new(protocol: P, map: M) -> Self {
        Replay {
            protocol: Arc::new(protocol),
            map: Arc::new(map),
            cap: DEFAULT_CAP,
            repeatable: None,
        }
    }

    fn may_repeat(&self, request: &Parts) -> bool {
        match &self.repeatable {
            // One that panics does not send anything twice.
            Some(which) => quietly(|| which(request)).unwrap_or(false),
            None => request.method.is_idempotent() || request.headers.contains_key(IDEMPOTENCY_KEY),
        }
    }
}

impl<P, M> Clone for Replay<P, M> {
    fn clone(&self) -> Self {
        Replay {
            protocol: self.protocol.clone(),
            map: self.map.clone(),
            cap: self.cap,
            repeatable: self.repeatable.clone(),
        }
    }
}

impl<P, M> fmt::Debug for Replay<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("cap", &self.cap)
            .finish_non_exhaustive()
    }
}

impl<S, P, M, B, RB> Service<Request<B>> for Retried<S, Replay<P, M>>
where
    // The request's body, and what the service takes in its stead.
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    M: MapBody<B>,
    // The wrapped service, and what is called again.
    S: Service<Request<M::Body>, Response = Response<RB>> + Clone,
    // How an attempt is judged.
    P: Http + Answer<Response<RB>, S::Error, Error: 'static>,
{
    type Response = S::Response;
    type Error = P::Error;
    type Future = HttpRetryFuture<S, P, M, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_inner(cx).map_err(P::unready)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (ready, retry, replay) = self.take_ready();
        HttpRetryFuture::new(ready, request, retry, replay)
    }
}
