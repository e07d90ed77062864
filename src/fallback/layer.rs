use std::{fmt, sync::Arc};

use http::Response;
use tower_layer::Layer;

use super::{
    Failed, Fallback, Other, OtherHttp, WithFallback,
    source::{Value, With},
};
use crate::{
    call::{Classifier, Ending, Verdict},
    protocol::{Any, Client, GrpcClient, HttpProtocol, Protocol, Server},
    retry::AsIs,
};

/// Gives another answer where a call fails: see the [module](super).
///
/// The constructor says how calls are read and judged, see [`protocol`](crate::protocol); the next word says where the
/// other answer comes from.
///
/// # Clones
///
/// Every service it makes, and every clone of them, shares the [`Fallback`] and the source of its answers. Another
/// service is cloned for each call that it is asked to answer.
pub struct FallbackLayer<P, Src = ()> {
    shared: Arc<Shared<P, Src>>,
}

/// One reference for each call. What is in it is shared once more, so that a layer can be changed.
pub(super) struct Shared<P, Src> {
    pub(super) fallback: Fallback,
    pub(super) protocol: Arc<P>,
    pub(super) source: Arc<Src>,
}

impl<P, Src> FallbackLayer<P, Src> {
    fn new(fallback: Fallback, protocol: Arc<P>, source: Arc<Src>) -> Self {
        FallbackLayer {
            shared: Arc::new(Shared {
                fallback,
                protocol,
                source,
            }),
        }
    }

    fn answered_by<N>(self, source: N) -> FallbackLayer<P, N> {
        let (fallback, protocol) = (&self.shared.fallback, &self.shared.protocol);
        FallbackLayer::new(fallback.clone(), protocol.clone(), Arc::new(source))
    }
}

impl<P> FallbackLayer<P> {
    fn over(protocol: P, fallback: Fallback) -> Self {
        FallbackLayer::new(fallback, Arc::new(protocol), Arc::new(()))
    }
}

impl FallbackLayer<Any> {
    /// Over a service of any kind; its error becomes a `BoxError`.
    pub fn any(fallback: Fallback) -> Self {
        FallbackLayer::over(Any::new(), fallback)
    }

    /// Answers with clones of this value.
    #[must_use]
    pub fn value<V: Clone>(self, value: V) -> FallbackLayer<Any, Value<V>> {
        self.answered_by(Value(value))
    }

    /// Answers with what the closure makes of the failure. It must not block, and if it panics, the failure stands.
    #[must_use]
    pub fn with<F, Res>(self, answer: F) -> FallbackLayer<Any, With<F>>
    where
        F: Fn(&Failed<'_>) -> Res,
    {
        self.answered_by(With(answer))
    }

    /// Has another service answer a clone of the request; each request is cloned for it beforehand.
    ///
    /// Its answer is the answer, and its error, whichever type it has, becomes a `BoxError`. What is to be awaited
    /// goes into one: `tower::service_fn(|request| async { .. })`. It is not begun after the
    /// [deadline](crate::context::deadline), and ends with it; where there is none, it takes the time it takes: put a
    /// timeout around it.
    ///
    /// It is shared between calls, and so must be `Sync` where they are `Send`: tower's `BoxCloneSyncService` is.
    #[must_use]
    pub fn service<T>(self, other: T) -> FallbackLayer<Any, Other<T>> {
        self.answered_by(Other(other))
    }
}

impl<P: Protocol + Clone, Src> FallbackLayer<P, Src> {
    /// Judges calls by a closure instead of by the protocol alone. Over HTTP every layer of the stack judges by it; see
    /// [`GuardLayer::classify`](crate::GuardLayer::classify).
    #[must_use]
    pub fn classify<V: Into<Verdict>>(
        self,
        classify: impl Fn(&Ending<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let (fallback, source) = (&self.shared.fallback, &self.shared.source);
        let protocol = P::clone(&self.shared.protocol).classified(Classifier::new(classify));
        FallbackLayer::new(fallback.clone(), Arc::new(protocol), source.clone())
    }
}

impl<K> FallbackLayer<HttpProtocol<K>> {
    /// Answers with the response that the closure makes of the failure. It must not block, and if it panics, the
    /// failure stands.
    #[must_use]
    pub fn with<F, A>(self, answer: F) -> FallbackLayer<HttpProtocol<K>, With<F>>
    where
        F: Fn(&Failed<'_>) -> Response<A>,
    {
        self.answered_by(With(answer))
    }

    /// Has another service answer the request, body included, if it was not begun or may be done twice: the
    /// [module](super#another-service) says which are. Any other request keeps its failure.
    ///
    /// The other service finds [`Served`](super::Served) in the extensions of its request. Its answer is the answer, and so
    /// is its error. What is to be awaited goes into one: `tower::service_fn(|request| async { .. })`. It is not begun after
    /// the caller's deadline, and ends with it; where there is none, it takes the time it takes: put a timeout around it.
    ///
    /// Requests are copied beforehand, since they are gone once they are sent. That costs the good path some allocations,
    /// for the head and, if there is a body, for what keeps it. Both services are sent a
    /// [`ReplayBody`](crate::retry::ReplayBody), or what [`request_body`](Self::request_body) makes of it.
    ///
    /// It is shared between calls, and so must be `Sync` where they are `Send`: tower's `BoxCloneSyncService` is.
    #[must_use]
    pub fn service<T>(self, other: T) -> FallbackLayer<HttpProtocol<K>, OtherHttp<T>> {
        self.answered_by(OtherHttp { other, map: AsIs })
    }
}

impl<K, T: Clone, M> FallbackLayer<HttpProtocol<K>, OtherHttp<T, M>> {
    /// Makes the body that both services take out of the one that can be sent again, where they take one type only:
    /// `tonic::body::Body::new`, `axum::body::Body::new`. Default: as it is.
    #[must_use]
    pub fn request_body<N>(self, map: N) -> FallbackLayer<HttpProtocol<K>, OtherHttp<T, N>> {
        let other = self.shared.source.other.clone();
        self.answered_by(OtherHttp { other, map })
    }
}

impl FallbackLayer<Server> {
    /// Over an HTTP or gRPC server: the error type stays, `Infallible` too.
    pub fn server(fallback: Fallback) -> Self {
        FallbackLayer::over(Server::new(), fallback)
    }
}

impl FallbackLayer<Client> {
    /// Over an HTTP client such as hyper-util's; its error becomes a `BoxError`.
    pub fn client(fallback: Fallback) -> Self {
        FallbackLayer::over(Client::new(), fallback)
    }
}

impl FallbackLayer<GrpcClient> {
    /// Over a gRPC client such as tonic's `Channel`; its error becomes a `BoxError`.
    ///
    /// A call is judged by its headers: a status in the trailers, after messages or none, comes too late. Errors that
    /// are all there is arrive in headers, refusals too. [`grpc_message`](super::grpc_message) makes the answer.
    pub fn grpc_client(fallback: Fallback) -> Self {
        FallbackLayer::over(GrpcClient::new(), fallback)
    }
}

impl<S, P, Src> Layer<S> for FallbackLayer<P, Src> {
    type Service = WithFallback<S, P, Src>;

    fn layer(&self, inner: S) -> Self::Service {
        WithFallback::new(inner, self.shared.clone())
    }
}

impl<P, Src> Clone for FallbackLayer<P, Src> {
    fn clone(&self) -> Self {
        FallbackLayer {
            shared: self.shared.clone(),
        }
    }
}

impl<P, Src> fmt::Debug for FallbackLayer<P, Src> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
