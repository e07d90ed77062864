use std::{fmt, sync::Arc};

use http::Response;
use tower_layer::Layer;

use super::{
    FailedCall, Fallback, FallbackService, FromHttpService, FromService,
    alternative::{FromFn, FromValue},
};
use crate::{
    call::{Classifier, ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Client, GrpcClient, HttpProtocol, Protocol, Server},
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
    shared: Arc<LayerShared<P, Src>>,
}

/// One reference for each call. What is in it is shared once more, so that a layer can be changed.
pub(super) struct LayerShared<P, Src> {
    pub(super) fallback: Fallback,
    pub(super) protocol: Arc<P>,
    pub(super) alternative: Arc<Src>,
}

impl<P, Src> FallbackLayer<P, Src> {
    fn new(fallback: Fallback, protocol: Arc<P>, source: Arc<Src>) -> Self {
        FallbackLayer {
            shared: Arc::new(LayerShared {
                fallback,
                protocol,
                alternative: source,
            }),
        }
    }

    fn with_alternative<N>(self, source: N) -> FallbackLayer<P, N> {
        let (fallback, protocol) = (&self.shared.fallback, &self.shared.protocol);
        FallbackLayer::new(fallback.clone(), protocol.clone(), Arc::new(source))
    }
}

impl<P> FallbackLayer<P> {
    fn for_protocol(protocol: P, fallback: Fallback) -> Self {
        FallbackLayer::new(fallback, Arc::new(protocol), Arc::new(()))
    }
}

impl FallbackLayer<AnyService> {
    /// Over a service of any kind; its error becomes a `BoxError`.
    pub fn any(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(AnyService::new(), fallback)
    }

    /// Answers with clones of this value.
    #[must_use]
    pub fn value<V: Clone>(self, value: V) -> FallbackLayer<AnyService, FromValue<V>> {
        self.with_alternative(FromValue(value))
    }

    /// Answers with what the closure makes of the failure. It must not block, and if it panics, the failure stands.
    #[must_use]
    pub fn with<F, Res>(self, answer: F) -> FallbackLayer<AnyService, FromFn<F>>
    where
        F: Fn(&FailedCall<'_>) -> Res,
    {
        self.with_alternative(FromFn(answer))
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
    pub fn service<T>(self, other: T) -> FallbackLayer<AnyService, FromService<T>> {
        self.with_alternative(FromService(other))
    }
}

impl<P: Protocol + Clone, Src> FallbackLayer<P, Src> {
    /// Judges calls by a closure instead of by the protocol alone. Over HTTP every layer of the stack judges by it; see
    /// [`GuardLayer::classify`](crate::GuardLayer::classify).
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let (fallback, source) = (&self.shared.fallback, &self.shared.alternative);
        let protocol = P::clone(&self.shared.protocol).with_classifier(Classifier::new(classify));
        FallbackLayer::new(fallback.clone(), Arc::new(protocol), source.clone())
    }
}

impl<K> FallbackLayer<HttpProtocol<K>> {
    /// Answers with the response that the closure makes of the failure. It must not block, and if it panics, the
    /// failure stands.
    #[must_use]
    pub fn with<F, A>(self, answer: F) -> FallbackLayer<HttpProtocol<K>, FromFn<F>>
    where
        F: Fn(&FailedCall<'_>) -> Response<A>,
    {
        self.with_alternative(FromFn(answer))
    }

    /// Has another service answer the request, body included, if it was not begun or may be done twice: the
    /// [module](super#another-service) says which are. Any other request keeps its failure.
    ///
    /// The other service finds [`FallbackInfo`](super::FallbackInfo) in the extensions of its request. Its answer is the answer, and so
    /// is its error. What is to be awaited goes into one: `tower::service_fn(|request| async { .. })`. It is not begun after
    /// the caller's deadline, and ends with it; where there is none, it takes the time it takes: put a timeout around it.
    ///
    /// Requests are copied beforehand, since they are gone once they are sent. That costs the good path some allocations,
    /// for the head and, if there is a body, for what keeps it. Both services are sent a
    /// [`ReplayBody`](crate::retry::ReplayBody), or what [`request_body`](Self::request_body) makes of it.
    ///
    /// It is shared between calls, and so must be `Sync` where they are `Send`: tower's `BoxCloneSyncService` is.
    #[must_use]
    pub fn service<T>(self, other: T) -> FallbackLayer<HttpProtocol<K>, FromHttpService<T>> {
        self.with_alternative(FromHttpService {
            service: other,
            map: (),
        })
    }
}

impl<K, T: Clone, M> FallbackLayer<HttpProtocol<K>, FromHttpService<T, M>> {
    /// Makes the body that both services take out of the one that can be sent again, where they take one type only:
    /// `tonic::body::Body::new`, `axum::body::Body::new`. Default: as it is.
    #[must_use]
    pub fn request_body<N>(self, map: N) -> FallbackLayer<HttpProtocol<K>, FromHttpService<T, N>> {
        let other = self.shared.alternative.service.clone();
        self.with_alternative(FromHttpService {
            service: other,
            map,
        })
    }
}

impl FallbackLayer<Server> {
    /// Over an HTTP or gRPC server: the error type stays, `Infallible` too.
    pub fn server(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(Server::new(), fallback)
    }
}

impl FallbackLayer<Client> {
    /// Over an HTTP client such as hyper-util's; its error becomes a `BoxError`.
    pub fn client(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(Client::new(), fallback)
    }
}

impl FallbackLayer<GrpcClient> {
    /// Over a gRPC client such as tonic's `Channel`; its error becomes a `BoxError`.
    ///
    /// A call is judged by its headers: a status in the trailers, after messages or none, comes too late. Errors that
    /// are all there is arrive in headers, refusals too. [`grpc_message`](super::grpc_message) makes the answer.
    pub fn grpc_client(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(GrpcClient::new(), fallback)
    }
}

impl<S, P, Src> Layer<S> for FallbackLayer<P, Src> {
    type Service = FallbackService<S, P, Src>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(inner, self.shared.clone())
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
