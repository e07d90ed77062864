use std::{fmt, hash::Hash, sync::Arc};

use http::{HeaderName, Request};
use tower_layer::Layer;

use super::{
    Coalesce, CoalesceService,
    key_source::{KeyFn, WholeHead},
};
use crate::protocol::{AnyService, Client, GrpcClient, HttpProtocol, Server};

/// The settings of a [`CoalesceLayer`], shared by its services.
pub(super) struct LayerConfig<P, K> {
    pub(super) coalesce: Coalesce,
    pub(super) protocol: P,
    pub(super) keys: K,
    /// The header with the time that the caller waits, where that is not gRPC's.
    pub(super) timeout_header: Option<HeaderName>,
}

/// A layer under which identical calls in flight are one call: see the [module](super).
///
/// The constructor chooses the [`protocol`](crate::protocol).
///
/// # Clones
///
/// Its services, and their clones, share the calls in flight, also where a layer is applied again for each connection.
pub struct CoalesceLayer<P, K> {
    config: Arc<LayerConfig<P, K>>,
}

impl<P, K> CoalesceLayer<P, K> {
    fn new(coalesce: Coalesce, protocol: P, keys: K) -> Self {
        CoalesceLayer::from_config(LayerConfig {
            coalesce,
            protocol,
            keys,
            timeout_header: None,
        })
    }

    fn from_config(config: LayerConfig<P, K>) -> Self {
        let config = Arc::new(config);
        CoalesceLayer { config }
    }

    /// Returns the handle.
    pub fn coalesce(&self) -> &Coalesce {
        &self.config.coalesce
    }
}

impl<F> CoalesceLayer<AnyService, KeyFn<F>> {
    /// Wraps a service of any kind whose responses are `Clone`. Its error becomes a `BoxError`.
    ///
    /// The closure returns the key of a request, or none for a call that is made for itself.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// let layer = CoalesceLayer::any(Coalesce::new("quotes"), |id: &u32| Some(*id));
    /// # let _ = layer;
    /// ```
    pub fn any<Req, Key>(coalesce: Coalesce, key: F) -> Self
    where
        F: Fn(&Req) -> Option<Key>,
        Key: Hash + Eq + Send + Sync + 'static,
    {
        CoalesceLayer::new(coalesce, AnyService::new(), KeyFn::new(key))
    }
}

impl CoalesceLayer<Server, WholeHead> {
    /// Wraps an HTTP server, such as an axum router: `GET` and `HEAD` requests with the same head are handled once. The error type is
    /// unchanged; unless it is `Infallible`, it must be `Clone`.
    ///
    /// The key ignores what other layers have left in the extensions of a request. Use [`keyed_by`](Self::keyed_by) if the response
    /// depends on it, such as on the address of the peer.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// let layer = CoalesceLayer::server(Coalesce::new("home"));
    /// # let _ = layer;
    /// ```
    pub fn server(coalesce: Coalesce) -> Self {
        CoalesceLayer::new(coalesce, Server::new(), WholeHead::default())
    }
}

impl CoalesceLayer<Client, WholeHead> {
    /// Wraps an HTTP client: `GET` and `HEAD` requests with the same head are sent once. Its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// let layer = CoalesceLayer::client(Coalesce::new("prices"));
    /// # let _ = layer;
    /// ```
    pub fn client(coalesce: Coalesce) -> Self {
        CoalesceLayer::new(coalesce, Client::new(), WholeHead::default())
    }
}

impl<F> CoalesceLayer<GrpcClient, KeyFn<F>> {
    /// Wraps a gRPC client such as tonic's `Channel`, for unary calls that only read. Its error becomes a `BoxError`.
    ///
    /// The message is in the body, which is not read for a key: the closure finds the key in the path, the metadata or the extensions of
    /// the request, such as one that the application has left there. A call without a key is made for itself. A response stream would be
    /// read to its end first, so give its method none.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// #[derive(Clone, PartialEq, Eq, Hash)]
    /// struct QuoteOf(u32);
    ///
    /// // The caller: `request.extensions_mut().insert(QuoteOf(7))`.
    /// let layer = CoalesceLayer::grpc_client(Coalesce::new("quotes"), |request: &http::Request<tonic::body::Body>| {
    ///     request.extensions().get::<QuoteOf>().cloned()
    /// });
    /// # let _ = layer;
    /// ```
    pub fn grpc_client<B, Key>(coalesce: Coalesce, key: F) -> Self
    where
        F: Fn(&Request<B>) -> Option<Key>,
        Key: Hash + Eq + Send + Sync + 'static,
    {
        CoalesceLayer::new(coalesce, GrpcClient::new(), KeyFn::new(key))
    }
}

impl<K> CoalesceLayer<HttpProtocol<K>, WholeHead> {
    /// Adds headers that may differ between requests that are the same, besides the IDs of calls. Default: none, since any other header
    /// may change the response.
    ///
    /// ```
    /// use http::header;
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// let layer = CoalesceLayer::server(Coalesce::new("home")).ignore_headers([header::USER_AGENT]);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn ignore_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut keys = self.config.keys.clone();
        keys.ignored.extend(names);
        self.with_keys(keys)
    }
}

impl<K, S> CoalesceLayer<HttpProtocol<K>, S> {
    /// Sets what the key of a request is, whatever its method: none for a call that is made for itself.
    ///
    /// Two requests with the same key get the same response, so the key must have all that the response depends on, above all whom
    /// it is for.
    ///
    /// ```
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// let layer = CoalesceLayer::server(Coalesce::new("rates")).keyed_by(|request: &http::Request<axum::body::Body>| {
    ///     (request.uri().path() == "/rates").then(|| "rates are the same for all")
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn keyed_by<B, Key, F>(self, key: F) -> CoalesceLayer<HttpProtocol<K>, KeyFn<F>>
    where
        F: Fn(&Request<B>) -> Option<Key>,
        Key: Hash + Eq + Send + Sync + 'static,
    {
        self.with_keys(KeyFn::new(key))
    }

    /// Sets the header that says how long the caller waits, where that is not `grpc-timeout`. It is removed from the request of a
    /// shared call, since others may wait longer. Default: none, since no such header is standard.
    ///
    /// Needed only where an outer layer or the application writes the header: a [time limit](crate::timeout) inside of this layer
    /// knows no deadline to send. The default key contains the header unless [`ignore_headers`](Self::ignore_headers) names it.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_keep::coalesce::{Coalesce, CoalesceLayer};
    ///
    /// const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
    ///
    /// let layer = CoalesceLayer::client(Coalesce::new("prices")).ignore_headers([TIME_LEFT]).timeout_header(TIME_LEFT);
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn timeout_header(self, header: HeaderName) -> Self
    where
        S: Clone,
    {
        let keys = self.config.keys.clone();
        let timeout_header = Some(header);
        CoalesceLayer::from_config(LayerConfig {
            timeout_header,
            ..self.config.with_keys(keys)
        })
    }

    /// Returns a copy with other keys: services that were made before keep theirs.
    fn with_keys<Other>(&self, keys: Other) -> CoalesceLayer<HttpProtocol<K>, Other> {
        CoalesceLayer::from_config(self.config.with_keys(keys))
    }
}

impl<P: Clone, K> LayerConfig<P, K> {
    fn with_keys<Other>(&self, keys: Other) -> LayerConfig<P, Other> {
        LayerConfig {
            coalesce: self.coalesce.clone(),
            protocol: self.protocol.clone(),
            keys,
            timeout_header: self.timeout_header.clone(),
        }
    }
}

impl<S, P, K> Layer<S> for CoalesceLayer<P, K> {
    type Service = CoalesceService<S, P, K>;

    fn layer(&self, inner: S) -> CoalesceService<S, P, K> {
        CoalesceService::new(inner, self.config.clone())
    }
}

impl<P, K> Clone for CoalesceLayer<P, K> {
    fn clone(&self) -> Self {
        CoalesceLayer {
            config: self.config.clone(),
        }
    }
}

impl<P, K> fmt::Debug for CoalesceLayer<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceLayer")
            .field("coalesce", &self.config.coalesce)
            .finish_non_exhaustive()
    }
}
