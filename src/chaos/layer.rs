use std::{fmt, marker::PhantomData, sync::Arc};

use http::HeaderName;
use tower_layer::Layer;

use super::{
    AllRequests, Chaos, ChaosService, HttpRequests, InjectedFault, RequestsIf, config::ChaosConfig,
};
use crate::{
    call::BoxError,
    context::{RequestHead, RequestPredicate},
    protocol::{AnyService, Client, GrpcClient, HttpProtocol, Server},
};

/// A layer that injects faults into calls: see the [module](super).
///
/// ```
/// use http::StatusCode;
/// use tower_keep::chaos::{Chaos, ChaosLayer};
///
/// let chaos = Chaos::builder("orders").response_rate(0.01).status(StatusCode::BAD_GATEWAY).build()?;
/// let layer = ChaosLayer::client(&chaos).only(|head| head.uri.path().starts_with("/orders"));
/// # let _ = layer;
/// # Ok::<_, tower_keep::ConfigError>(())
/// ```
///
/// # Panics
///
/// Calls that are late or hang, and bodies that are slow, panic outside of a tokio runtime that has a timer.
///
/// # Clones
///
/// Its services, and their clones, share the [`Chaos`].
pub struct ChaosLayer<P, M> {
    config: Arc<ChaosConfig<P, M>>,
}

impl<P, M> ChaosLayer<P, M> {
    fn new(chaos: &Chaos, protocol: P, requests: M) -> Self {
        ChaosLayer {
            config: Arc::new(ChaosConfig {
                chaos: chaos.clone(),
                protocol,
                requests,
                error: None,
            }),
        }
    }

    /// Returns the chaos.
    pub fn chaos(&self) -> &Chaos {
        &self.config.chaos
    }
}

impl ChaosLayer<AnyService, AllRequests> {
    /// Wraps a service of any kind. Its error becomes a `BoxError`. A response in its place is an error as well, and bodies are
    /// left alone, since a plain service has neither.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::any(&Chaos::new("db"));
    /// # let _ = layer;
    /// ```
    pub fn any(chaos: &Chaos) -> Self {
        ChaosLayer::new(chaos, AnyService::new(), AllRequests)
    }

    /// Injects faults into the calls of those requests only that the closure chooses. The others take no place in the sequence
    /// of faults. If it panics, it counts as `false`. Default: all requests.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::any(&Chaos::new("db")).only(|query: &String| query.starts_with("SELECT"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn only<Req, F: Fn(&Req) -> bool>(
        self,
        predicate: F,
    ) -> ChaosLayer<AnyService, RequestsIf<Req, F>> {
        let config = (*self.config).clone();
        ChaosLayer {
            config: Arc::new(ChaosConfig {
                requests: RequestsIf {
                    predicate,
                    request: PhantomData,
                },
                chaos: config.chaos,
                protocol: config.protocol,
                error: config.error,
            }),
        }
    }
}

impl<M: Clone> ChaosLayer<AnyService, M> {
    /// Sets the error of calls that fail without a response. Default: the [`InjectedFault`] itself, which is a failure. A
    /// closure that panics is replaced by the default.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::any(&Chaos::new("db"))
    ///     .error_with(|fault| Error::new(ErrorKind::ConnectionReset, fault));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn error_with<E: Into<BoxError>>(
        self,
        error: impl Fn(InjectedFault) -> E + Send + Sync + 'static,
    ) -> Self {
        self.with_config(|config| config.error = Some(Arc::new(move |fault| error(fault).into())))
    }
}

impl ChaosLayer<Server, HttpRequests> {
    /// Wraps an HTTP or gRPC server; the error type is unchanged. Calls that fail without a response get 500 or `INTERNAL`.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::server(&Chaos::new("orders"));
    /// # let _ = layer;
    /// ```
    pub fn server(chaos: &Chaos) -> Self {
        ChaosLayer::new(chaos, Server::new(), HttpRequests::default())
    }
}

impl ChaosLayer<Client, HttpRequests> {
    /// Wraps an HTTP client. Its error becomes a `BoxError`, which is an [`InjectedFault`] where a call fails without a response.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::client(&Chaos::new("payments"));
    /// # let _ = layer;
    /// ```
    pub fn client(chaos: &Chaos) -> Self {
        ChaosLayer::new(chaos, Client::new(), HttpRequests::default())
    }

    /// Sets the error of calls that fail without a response: see that of a [plain service](ChaosLayer::<AnyService, AllRequests>::error_with).
    #[must_use]
    pub fn error_with<E: Into<BoxError>>(
        self,
        error: impl Fn(InjectedFault) -> E + Send + Sync + 'static,
    ) -> Self {
        self.with_config(|config| config.error = Some(Arc::new(move |fault| error(fault).into())))
    }
}

impl ChaosLayer<GrpcClient, HttpRequests> {
    /// Wraps a gRPC client such as tonic's `Channel`. Calls that fail without a response end with a status of code
    /// `UNAVAILABLE`, as where the connection is lost; without the feature `tonic`, with an [`InjectedFault`].
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let layer = ChaosLayer::grpc_client(&Chaos::new("stock"));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(chaos: &Chaos) -> Self {
        ChaosLayer::new(chaos, GrpcClient::new(), HttpRequests::default())
    }
}

impl<K> ChaosLayer<HttpProtocol<K>, HttpRequests> {
    /// Injects faults into the calls of those requests only that the closure chooses by their head. The others take no place
    /// in the sequence of faults. If it panics, it counts as `false`. Default: all requests.
    ///
    /// ```
    /// use tower_keep::chaos::{Chaos, ChaosLayer};
    ///
    /// let chaos = Chaos::new("orders");
    /// let layer = ChaosLayer::server(&chaos).only(|head| !head.uri.path().starts_with("/healthz"));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn only(
        self,
        predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        let predicate = RequestPredicate::new(predicate);
        self.with_config(|config| config.requests.predicate = Some(predicate))
    }

    /// Lets callers ask for the faults of their own requests in this header, while the chaos is on. The header is removed, so
    /// that the next hop does not inject them again.
    ///
    /// For test clients on a network that is trusted: whoever can send the header can make calls fail, and delay as many at once
    /// as [`max_delayed`](super::ChaosBuilder::max_delayed) allows. Behind a proxy that takes calls of strangers, let it remove the header.
    /// Default: no header, and callers decide nothing.
    ///
    /// The value is a list of what should happen. One that is not understood, or longer than 128 bytes, is as if it were not
    /// there; then the rates decide, as for requests without it.
    ///
    /// | item | what happens | bound |
    /// |---|---|---|
    /// | `latency=250ms`, `latency=2s` | the response comes later | at most 30 s |
    /// | `error` | the call fails without a response | one of these |
    /// | `status=503` | a response with this status; over gRPC with `UNAVAILABLE` | 400 to 599; one of these |
    /// | `grpc=8` | a response with this gRPC code; over plain HTTP with 503 | 1 to 16; one of these |
    /// | `cut=100` | the body breaks off after so many bytes | one of both |
    /// | `slow=1000` | the body has so many bytes per second | at least 64; one of both |
    ///
    /// ```
    /// use http::{HeaderName, Request, Response};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use tower_keep::{BoxError, chaos::{Chaos, ChaosLayer}};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
    /// let chaos = Chaos::new("orders");
    /// chaos.enable();
    /// let server = ServiceBuilder::new()
    ///     .layer(ChaosLayer::server(&chaos).request_header(HeaderName::from_static("x-chaos")))
    ///     .service(service_fn(async |_| Ok::<_, BoxError>(Response::new("an order".to_owned()))));
    /// let request = Request::get("/orders/7").header("x-chaos", "latency=250ms, status=502");
    /// let response = server.oneshot(request.body(String::new())?).await?;
    /// assert_eq!(response.status(), 502);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn request_header(self, name: HeaderName) -> Self {
        self.with_config(|config| config.requests.header = Some(name))
    }
}

impl<P: Clone, M: Clone> ChaosLayer<P, M> {
    fn with_config(self, change: impl FnOnce(&mut ChaosConfig<P, M>)) -> Self {
        // A copy: services that were made before keep their settings.
        let mut config = (*self.config).clone();
        change(&mut config);
        ChaosLayer {
            config: Arc::new(config),
        }
    }
}

impl<S, P, M> Layer<S> for ChaosLayer<P, M> {
    type Service = ChaosService<S, P, M>;

    fn layer(&self, inner: S) -> ChaosService<S, P, M> {
        ChaosService::new(inner, self.config.clone())
    }
}

impl<P, M> Clone for ChaosLayer<P, M> {
    fn clone(&self) -> Self {
        ChaosLayer {
            config: self.config.clone(),
        }
    }
}

impl<P, M> fmt::Debug for ChaosLayer<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosLayer")
            .field("chaos", &self.config.chaos)
            .finish_non_exhaustive()
    }
}
