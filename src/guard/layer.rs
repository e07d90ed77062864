use std::{fmt, marker::PhantomData, sync::Arc};

use tower_layer::Layer;

use super::{BackPressure, FailFast, Guard, GuardStack, Guarded, Measure, PassThrough};
use crate::{
    call::{Classifier, ClassifyInput, ClassifyOutput},
    protocol::{AnyService, Client, GrpcClient, Protocol, Server},
    util::sharded_arc::ShardedArc,
};

/// A layer that wraps services in guards. All services of the layer and their clones share the same guards.
///
/// The constructor chooses how calls are read and classified, see [`protocol`](crate::protocol). `M` decides about readiness
/// while the guards reject: [`FailFast`], [`BackPressure`] or [`PassThrough`].
///
/// ```
/// use tower::{ServiceBuilder, service_fn};
/// use tower_keep::{GuardLayer, Outcome, observe};
///
/// let service = ServiceBuilder::new()
///     .layer(observe("greeter").any())
///     .service(service_fn(|name: String| async move { Ok::<_, std::io::Error>(format!("hello {name}")) }));
/// # let _ = service;
///
/// // A custom guard, and a custom classifier.
/// let none: Option<tower_keep::Track> = None;
/// let layer = GuardLayer::server(none).classify(|end| match end.status() {
///     Some(status) if status == 404 => Outcome::Failure,
///     _ => end.outcome(),
/// });
/// # let _ = layer;
/// ```
pub struct GuardLayer<G, P, M = FailFast> {
    stack: ShardedArc<GuardStack<G, P>>,
    mode: PhantomData<fn() -> M>,
}

impl<G: Guard, P, M> GuardLayer<G, P, M> {
    fn new(guards: Arc<G>, protocol: P) -> Self {
        let wants = guards.measure();
        GuardLayer::of(guards, protocol, wants)
    }

    fn of(guards: Arc<G>, protocol: P, wants: Measure) -> Self {
        GuardLayer {
            stack: ShardedArc::new(GuardStack {
                guards,
                protocol,
                measure: wants,
            }),
            mode: PhantomData,
        }
    }
}

#[cfg(feature = "balance")]
impl<G: Guard, P> GuardLayer<G, P> {
    /// Guards a service by a protocol that the caller has chosen.
    pub(crate) fn with_protocol(guards: G, protocol: P) -> Self {
        GuardLayer::new(Arc::new(guards), protocol)
    }
}

impl<G: Guard> GuardLayer<G, AnyService> {
    /// Guards a service of any kind; its error becomes a `BoxError`.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer};
    ///
    /// let layer = GuardLayer::any(CircuitBreaker::new("printer"));
    /// # let _ = layer;
    /// ```
    pub fn any(guards: G) -> Self {
        GuardLayer::new(Arc::new(guards), AnyService::new())
    }
}

impl<G: Guard> GuardLayer<G, Server> {
    /// Guards an HTTP or gRPC server: rejections and panics become responses, the error type stays.
    ///
    /// A pair of guards: calls that the breaker rejects are tracked as well.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer, Track};
    ///
    /// let layer = GuardLayer::server((Track::new("orders"), CircuitBreaker::new("orders")));
    /// # let _ = layer;
    /// ```
    pub fn server(guards: G) -> Self {
        GuardLayer::new(Arc::new(guards), Server::new())
    }
}

impl<G: Guard> GuardLayer<G, Client> {
    /// Guards an HTTP client: rejections are errors, so the error becomes a `BoxError`.
    ///
    /// Sends the context of the caller on:
    ///
    /// ```
    /// use tower_keep::{GuardLayer, context::Propagate};
    ///
    /// let layer = GuardLayer::client(Propagate::default());
    /// # let _ = layer;
    /// ```
    pub fn client(guards: G) -> Self {
        GuardLayer::new(Arc::new(guards), Client::new())
    }
}

impl<G: Guard> GuardLayer<G, GrpcClient> {
    /// Guards a gRPC client such as tonic's `Channel`: rejections arrive as a `tonic::Status`. Other errors become a `BoxError`,
    /// whose source chain tonic's clients search.
    ///
    /// ```
    /// use tower_keep::{CircuitBreaker, GuardLayer};
    ///
    /// let layer = GuardLayer::grpc_client(CircuitBreaker::new("stock"));
    /// # let _ = layer;
    /// ```
    pub fn grpc_client(guards: G) -> Self {
        GuardLayer::new(Arc::new(guards), GrpcClient::new())
    }
}

impl<G, P, M> GuardLayer<G, P, M> {
    /// Stays pending in `poll_ready` while the guards reject; see [`BackPressure`].
    #[must_use]
    pub fn back_pressure(self) -> GuardLayer<G, P, BackPressure> {
        GuardLayer {
            stack: self.stack,
            mode: PhantomData,
        }
    }

    /// Passes on the readiness of the wrapped service as it is; see [`PassThrough`].
    #[must_use]
    pub fn pass_through(self) -> GuardLayer<G, P, PassThrough> {
        GuardLayer {
            stack: self.stack,
            mode: PhantomData,
        }
    }

    /// Returns the guards.
    pub fn guards(&self) -> &G {
        &self.stack.guards
    }
}

impl<G: Guard, P: Protocol + Clone, M> GuardLayer<G, P, M> {
    /// Classifies calls by a closure, which returns an [`Outcome`](crate::Outcome) or a [`ClassifyOutput`].
    ///
    /// Over HTTP all layers of the stack use the classifier, wherever it is set; see [`protocol`](crate::protocol). It runs when
    /// something final is known: the head of a response, the status of a gRPC call wherever it comes, an error, the response of
    /// a plain service; and again if the body fails after its head. It should depend on its argument only, since each layer may
    /// call it. A panic makes the call a failure. An error that it classifies otherwise than the protocol is wrapped, so that
    /// outer layers agree: find the original with [`call::find`](crate::call::find).
    ///
    /// Clones made before keep the old classifier.
    ///
    /// ```
    /// use tower_keep::{GuardLayer, Outcome, Track};
    ///
    /// // A missing page is a failure here, such as of a static site.
    /// let layer = GuardLayer::server(Track::new("site")).classify(|input| match input.status() {
    ///     Some(status) if status == 404 => Outcome::Failure,
    ///     _ => input.outcome(),
    /// });
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn classify<V: Into<ClassifyOutput>>(
        self,
        classify: impl Fn(&ClassifyInput<'_>) -> V + Send + Sync + 'static,
    ) -> Self {
        let protocol = self.stack.protocol.clone();
        let protocol = protocol.with_classifier(Classifier::new(classify));
        GuardLayer::of(self.stack.guards.clone(), protocol, self.stack.measure)
    }
}

impl<S, G, P, M> Layer<S> for GuardLayer<G, P, M> {
    type Service = Guarded<S, G, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.stack.clone())
    }
}

impl<G, P, M> Clone for GuardLayer<G, P, M> {
    fn clone(&self) -> Self {
        GuardLayer {
            stack: self.stack.clone(),
            mode: PhantomData,
        }
    }
}

impl<G: fmt::Debug, P: fmt::Debug, M> fmt::Debug for GuardLayer<G, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer")
            .field("guards", &self.stack.guards)
            .field("protocol", &self.stack.protocol)
            .finish()
    }
}

/// A builder that makes a guard a layer of the chosen protocol; returned by the `layer` method of a guard.
///
/// The same breaker, in front of a server and around a client:
///
/// ```
/// use tower_keep::CircuitBreaker;
///
/// let breaker = CircuitBreaker::new("stock");
/// let (server, client) = (breaker.layer().server(), breaker.layer().client());
/// # let _ = (server, client);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GuardLayerBuilder<G>(pub(crate) G);

impl<G: Guard> GuardLayerBuilder<G> {
    /// Guards a service of any kind; see [`GuardLayer::any`].
    pub fn any(self) -> GuardLayer<G, AnyService> {
        GuardLayer::any(self.0)
    }

    /// Guards an HTTP or gRPC server; see [`GuardLayer::server`].
    pub fn server(self) -> GuardLayer<G, Server> {
        GuardLayer::server(self.0)
    }

    /// Guards an HTTP client; see [`GuardLayer::client`].
    pub fn client(self) -> GuardLayer<G, Client> {
        GuardLayer::client(self.0)
    }

    /// Guards a gRPC client; see [`GuardLayer::grpc_client`].
    pub fn grpc_client(self) -> GuardLayer<G, GrpcClient> {
        GuardLayer::grpc_client(self.0)
    }
}
