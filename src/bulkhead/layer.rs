use std::fmt;

use tower_layer::Layer;

use super::{Bulkhead, BulkheadService};
use crate::{
    call::{ClassifyInput, ClassifyOutput},
    guard::{BackPressure, FailFast, GuardLayer},
    protocol::{AnyService, Client, GrpcClient, Protocol, Server},
};

/// A layer whose calls wait for a slot if the bulkhead has a [queue](super::BulkheadBuilder::queue_limit): see the
/// [module](super). All services of the layer and their clones share the bulkhead.
///
/// `M` decides where they wait: in the call ([`FailFast`], the default), or in `poll_ready` ([`BackPressure`]).
pub struct BulkheadLayer<P, M = FailFast> {
    guards: GuardLayer<Bulkhead, P, M>,
}

impl<P> BulkheadLayer<P> {
    /// Has handles wait for readiness until they have a slot, which the next call takes.
    ///
    /// For a balancer, which then picks another endpoint, and for callers that should wait before they have a request.
    /// Handles wait in the same queue as calls, as long as their callers poll them: neither the queue's limit nor its wait
    /// limit bounds them, since there is no call yet that could be rejected. axum makes a handle for each request, so
    /// that requests would wait without a bound: use the queue there. A handle that is ready keeps its slot until it is
    /// called or dropped. A clone begins without one.
    ///
    /// ```
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use tower_keep::bulkhead::Bulkhead;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_keep::BoxError> {
    /// let reports = Bulkhead::builder("reports").limit(1).build()?;
    /// let mut service = ServiceBuilder::new()
    ///     .layer(reports.layer().any().back_pressure())
    ///     .service(service_fn(|id: u32| async move { Ok::<_, std::io::Error>(id) }));
    /// service.ready().await?;
    /// assert!(reports.is_full());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn back_pressure(self) -> BulkheadLayer<P, BackPressure> {
        BulkheadLayer {
            guards: self.guards.back_pressure(),
        }
    }
}

impl<P, M> BulkheadLayer<P, M> {
    /// Returns the bulkhead.
    pub fn bulkhead(&self) -> &Bulkhead {
        self.guards.guards()
    }
}

impl<P: Protocol + Clone, M> BulkheadLayer<P, M> {
    /// Classifies calls by a closure, which returns an [`Outcome`](crate::Outcome) or a [`ClassifyOutput`]: see
    /// [`GuardLayer::classify`].
    ///
    /// ```
    /// use tower_keep::{Outcome, bulkhead::Bulkhead};
    ///
    /// let layer = Bulkhead::new("site").layer().client().classify(|input| match input.status() {
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
        BulkheadLayer {
            guards: self.guards.classify(classify),
        }
    }
}

impl<S, P, M> Layer<S> for BulkheadLayer<P, M> {
    type Service = BulkheadService<S, P, M>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService::new(self.guards.layer(inner))
    }
}

impl<P, M> Clone for BulkheadLayer<P, M> {
    fn clone(&self) -> Self {
        BulkheadLayer {
            guards: self.guards.clone(),
        }
    }
}

impl<P, M> fmt::Debug for BulkheadLayer<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadLayer")
            .field("bulkhead", self.bulkhead())
            .finish_non_exhaustive()
    }
}

/// A builder that makes a bulkhead a layer of the chosen protocol; returned by [`Bulkhead::layer`].
///
/// ```
/// use tower_keep::bulkhead::Bulkhead;
///
/// let stock = Bulkhead::new("stock");
/// let (server, client) = (stock.layer().server(), stock.layer().client());
/// # let _ = (server, client);
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayerBuilder(pub(super) Bulkhead);

impl BulkheadLayerBuilder {
    /// Wraps a service of any kind. Its error becomes a `BoxError`, which is a [`Rejection`](crate::Rejection) if the call
    /// got no slot.
    pub fn any(self) -> BulkheadLayer<AnyService> {
        BulkheadLayer {
            guards: GuardLayer::any(self.0),
        }
    }

    /// Wraps an HTTP or gRPC server: rejections are responses, 503 or `RESOURCE_EXHAUSTED`, the error type stays.
    pub fn server(self) -> BulkheadLayer<Server> {
        BulkheadLayer {
            guards: GuardLayer::server(self.0),
        }
    }

    /// Wraps an HTTP client: rejections are errors, so the error becomes a `BoxError`.
    pub fn client(self) -> BulkheadLayer<Client> {
        BulkheadLayer {
            guards: GuardLayer::client(self.0),
        }
    }

    /// Wraps a gRPC client such as tonic's `Channel`: rejections arrive as a `tonic::Status`.
    pub fn grpc_client(self) -> BulkheadLayer<GrpcClient> {
        BulkheadLayer {
            guards: GuardLayer::grpc_client(self.0),
        }
    }
}
