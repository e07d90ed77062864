use std::{fmt, sync::Arc};

use http::Response;
use tower_layer::Layer;

use super::{
    FailedCall, Fallback, FallbackService, FromFn, FromHttpService, FromService, FromValue,
    layer_shared::LayerShared,
};
use crate::{
    call::{Classifier, ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Client, GrpcClient, HttpProtocol, Protocol, Server},
};

/// A layer that responds in place of failed calls: see the [module](super).
///
/// The constructor chooses the [`protocol`](crate::protocol), by which calls are read and classified; the next method
/// chooses what responds.
///
/// # Clones
///
/// Its services, and their clones, share the [`Fallback`] and what responds. A fallback service is cloned for each call that
/// it responds to.
pub struct FallbackLayer<P, A = ()> {
    shared: Arc<LayerShared<P, A>>,
}

impl<P, A> FallbackLayer<P, A> {
    fn new(fallback: Fallback, protocol: Arc<P>, alternative: Arc<A>) -> Self {
        FallbackLayer {
            shared: Arc::new(LayerShared {
                fallback,
                protocol,
                alternative,
            }),
        }
    }

    fn with_alternative<N>(self, alternative: N) -> FallbackLayer<P, N> {
        // Copied, since services that were made before share them.
        let (fallback, protocol) = (&self.shared.fallback, &self.shared.protocol);
        FallbackLayer::new(fallback.clone(), protocol.clone(), Arc::new(alternative))
    }
}

impl<P> FallbackLayer<P> {
    fn for_protocol(protocol: P, fallback: Fallback) -> Self {
        FallbackLayer::new(fallback, Arc::new(protocol), Arc::new(()))
    }
}

impl<P: Protocol + Clone, A> FallbackLayer<P, A> {
    /// Classifies calls by a closure instead of by the protocol alone. Over HTTP every layer of the stack uses it; see
    /// [`GuardLayer::classify`](crate::GuardLayer::classify).
    ///
    /// ```
    /// use tower_keep::{Outcome, fallback::{Fallback, FallbackLayer}};
    ///
    /// let layer = FallbackLayer::any(Fallback::new("quotes"))
    ///     .value(vec!["no quotes today"])
    ///     .classify(|call| match call.response::<Vec<&str>>() {
    ///         Some(quotes) if quotes.is_empty() => Outcome::Failure,
    ///         _ => call.outcome(),
    ///     });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let (fallback, alternative) = (&self.shared.fallback, &self.shared.alternative);
        let protocol = P::clone(&self.shared.protocol).with_classifier(Classifier::new(classify));
        FallbackLayer::new(fallback.clone(), Arc::new(protocol), alternative.clone())
    }
}

impl FallbackLayer<AnyService> {
    /// Wraps a service of any kind. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::any(Fallback::new("quotes")).value("no quotes today");
    /// # let _ = layer;
    /// ```
    pub fn any(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(AnyService::new(), fallback)
    }

    /// Responds with clones of this value.
    #[must_use]
    pub fn value<V: Clone>(self, value: V) -> FallbackLayer<AnyService, FromValue<V>> {
        self.with_alternative(FromValue(value))
    }

    /// Responds with what the closure makes of the failed call. The closure must not block. If it panics, the call keeps its
    /// failure.
    ///
    /// ```
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::any(Fallback::new("quotes"))
    ///     .with(|failed| format!("no quotes: {}", failed.outcome().as_str()));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn with<F, Res>(self, respond: F) -> FallbackLayer<AnyService, FromFn<F>>
    where
        F: Fn(&FailedCall<'_>) -> Res,
    {
        self.with_alternative(FromFn(respond))
    }

    /// Sends a clone of the request to another service. Each request is cloned in advance.
    ///
    /// The call ends with that service's response, or with its error, which becomes a `BoxError`. The service is not called
    /// after the [deadline](crate::context::deadline), and is dropped at it; without a deadline, put a timeout around it. An
    /// async closure is a service, too: `tower::service_fn(|request| async { .. })`.
    ///
    /// The service is shared between calls, and so must be `Sync` if they are `Send`: tower's `BoxCloneSyncService` is.
    ///
    /// Yesterday's quotes stand in for today's:
    ///
    /// ```
    /// use tower::service_fn;
    /// use tower_keep::{BoxError, fallback::{Fallback, FallbackLayer}};
    ///
    /// let archive = service_fn(|name: String| async move { Ok::<_, BoxError>(format!("{name}: 17")) });
    /// let layer = FallbackLayer::any(Fallback::new("quotes")).service(archive);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn service<T>(self, service: T) -> FallbackLayer<AnyService, FromService<T>> {
        self.with_alternative(FromService(service))
    }
}

impl FallbackLayer<Server> {
    /// Wraps an HTTP or gRPC server. The error type is unchanged, `Infallible` included.
    ///
    /// ```
    /// use http::Response;
    /// use http_body_util::Full;
    /// use bytes::Bytes;
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::server(Fallback::new("home"))
    ///     .with(|_| Response::new(Full::<Bytes>::from("back soon")));
    /// # let _ = layer;
    /// ```
    pub fn server(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(Server::new(), fallback)
    }
}

impl FallbackLayer<Client> {
    /// Wraps an HTTP client such as hyper-util's. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use http_body_util::Full;
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::client(Fallback::new("prices"))
    ///     .with(|_| Response::new(Full::<Bytes>::from("{}")));
    /// # let _ = layer;
    /// ```
    pub fn client(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(Client::new(), fallback)
    }
}

impl FallbackLayer<GrpcClient> {
    /// Wraps a gRPC client such as tonic's `Channel`. Its error becomes a `BoxError`.
    ///
    /// A call is classified by its headers: a status in the trailers, after messages or none, comes too late. Errors without
    /// messages, rejections included, come in headers. Use [`grpc_message`](super::grpc_message()) to respond.
    ///
    /// ```
    /// use tower_keep::fallback::{Fallback, FallbackLayer, grpc_message};
    ///
    /// let layer = FallbackLayer::grpc_client(Fallback::new("health"))
    ///     .with(|_| grpc_message(vec![0x08, 0x01]));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(fallback: Fallback) -> Self {
        FallbackLayer::for_protocol(GrpcClient::new(), fallback)
    }
}

impl<K> FallbackLayer<HttpProtocol<K>> {
    /// Responds with what the closure makes of the failed call. The closure must not block. If it panics, the call keeps its
    /// failure.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Response, StatusCode};
    /// use http_body_util::Full;
    /// use tower_keep::fallback::{Fallback, FallbackLayer};
    ///
    /// let layer = FallbackLayer::client(Fallback::new("prices")).with(|failed| {
    ///     let status = failed.status().unwrap_or(StatusCode::BAD_GATEWAY);
    ///     Response::new(Full::<Bytes>::from(format!("no prices: {status}")))
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn with<F, B>(self, respond: F) -> FallbackLayer<HttpProtocol<K>, FromFn<F>>
    where
        F: Fn(&FailedCall<'_>) -> Response<B>,
    {
        self.with_alternative(FromFn(respond))
    }

    /// Sends the request, its body included, to another service, if it was not begun or may be repeated: the
    /// [module](super#another-service) says which requests are. Any other request keeps its failure.
    ///
    /// The service finds [`FallbackInfo`](super::FallbackInfo) in the extensions of its request. The call ends with its
    /// response or its error. It is not called after the caller's deadline, and is dropped at it; without a deadline, put a
    /// timeout around it. An async closure is a service, too: `tower::service_fn(|request| async { .. })`.
    ///
    /// Requests are copied in advance, which costs every call some allocations: for the head and, if there is a body, for its
    /// buffer. Both services are sent a [`ReplayBody`](crate::retry::ReplayBody), or what
    /// [`request_body`](Self::request_body) makes of it.
    ///
    /// The service is shared between calls, and so must be `Sync` if they are `Send`: tower's `BoxCloneSyncService` is.
    ///
    /// A second region gets the orders that the first one never saw:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::service_fn;
    /// use tower_keep::{BoxError, fallback::{Fallback, FallbackLayer}, retry::ReplayBody};
    ///
    /// let second_region = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
    ///     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("accepted")))
    /// });
    /// let layer = FallbackLayer::client(Fallback::new("orders")).service(second_region);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn service<T>(self, service: T) -> FallbackLayer<HttpProtocol<K>, FromHttpService<T>> {
        self.with_alternative(FromHttpService { service, map: () })
    }
}

impl<K, T: Clone, M> FallbackLayer<HttpProtocol<K>, FromHttpService<T, M>> {
    /// Converts the replay body into the body type of both services, such as by `tonic::body::Body::new` or
    /// `axum::body::Body::new`. Default: no conversion, since many clients take any body.
    ///
    /// Both services take a boxed body here:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::{BodyExt, Full, combinators::BoxBody};
    /// use tower::service_fn;
    /// use tower_keep::{BoxError, fallback::{Fallback, FallbackLayer}, retry::ReplayBody};
    ///
    /// let second_region = service_fn(|_: Request<BoxBody<Bytes, BoxError>>| async {
    ///     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("accepted")))
    /// });
    /// let layer = FallbackLayer::client(Fallback::new("orders"))
    ///     .service(second_region)
    ///     .request_body(|body: ReplayBody<Full<Bytes>>| body.boxed());
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn request_body<N>(self, map: N) -> FallbackLayer<HttpProtocol<K>, FromHttpService<T, N>> {
        let service = self.shared.alternative.service.clone();
        self.with_alternative(FromHttpService { service, map })
    }
}

impl<S, P, A> Layer<S> for FallbackLayer<P, A> {
    type Service = FallbackService<S, P, A>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(inner, self.shared.clone())
    }
}

impl<P, A> Clone for FallbackLayer<P, A> {
    fn clone(&self) -> Self {
        FallbackLayer {
            shared: self.shared.clone(),
        }
    }
}

impl<P, A> fmt::Debug for FallbackLayer<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("fallback", &self.shared.fallback)
            .finish_non_exhaustive()
    }
}
