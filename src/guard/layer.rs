use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{Guard, Guarded, held::Shared};
use crate::{
    call::Classify,
    protocol::{Any, Client, GrpcClient, Server},
};

/// Wraps services into guards. Every service it makes, and every clone of them, shares the same guards.
///
/// The constructor says how calls are read and judged, see [`protocol`](crate::protocol).
///
/// ```
/// use tower::{ServiceBuilder, service_fn};
/// use tower_keep::{GuardLayer, Outcome, call::Ending, observe};
///
/// let service = ServiceBuilder::new()
///     .layer(observe("greeter").any())
///     .service(service_fn(|name: String| async move { Ok::<_, std::io::Error>(format!("hello {name}")) }));
/// # let _ = service;
///
/// // A guard of one's own, and a judgement of one's own.
/// let none: Option<tower_keep::Track> = None;
/// let layer = GuardLayer::server(none).classify(|end: &Ending<'_>| match end.status() {
///     Some(status) if status == 404 => Outcome::Failure,
///     _ => end.outcome(),
/// });
/// # let _ = layer;
/// ```
pub struct GuardLayer<G, P> {
    shared: Arc<Shared<G, P>>,
}

impl<G: Guard, P> GuardLayer<G, P> {
    fn new(guards: Arc<G>, protocol: P) -> Self {
        let wants = guards.wants();
        GuardLayer {
            shared: Arc::new(Shared {
                guards,
                protocol,
                wants,
            }),
        }
    }
}

impl<G: Guard> GuardLayer<G, Any> {
    /// Guards a service of any kind; its error becomes a `BoxError`.
    pub fn any(guards: G) -> Self {
        GuardLayer::new(Arc::new(guards), Any(()))
    }

    /// Judges calls by the classifier, which sees [`Ending::response`](crate::call::Ending::response) and
    /// [`Ending::error`](crate::call::Ending::error). Layers cloned before keep the guards and the old judgement.
    #[must_use]
    pub fn classify<C: Classify>(self, classify: C) -> GuardLayer<G, Any<C>> {
        GuardLayer::new(self.shared.guards.clone(), Any(classify))
    }
}

macro_rules! http_layer {
    ($constructor:ident, $protocol:ident, $doc:literal) => {
        impl<G: Guard> GuardLayer<G, $protocol> {
            #[doc = $doc]
            pub fn $constructor(guards: G) -> Self {
                GuardLayer::new(Arc::new(guards), $protocol(()))
            }

            /// Judges calls by the classifier instead of by the protocol alone. Layers cloned before keep the
            /// guards and the old judgement.
            #[must_use]
            pub fn classify<C: Classify>(self, classify: C) -> GuardLayer<G, $protocol<C>> {
                GuardLayer::new(self.shared.guards.clone(), $protocol(classify))
            }
        }
    };
}
http_layer!(
    server,
    Server,
    "Guards an HTTP or gRPC server: refusals are responses, the error type stays, panics are answered."
);
http_layer!(
    client,
    Client,
    "Guards an HTTP client: refusals are errors, so the error becomes a `BoxError`."
);
http_layer!(
    grpc_client,
    GrpcClient,
    "Guards a gRPC client such as tonic's `Channel`: refusals arrive as a `tonic::Status`. Other errors become a `BoxError`, which tonic's clients look into."
);

impl<G, P> GuardLayer<G, P> {
    /// The guards.
    pub fn guards(&self) -> &G {
        &self.shared.guards
    }
}

impl<S, G, P> Layer<S> for GuardLayer<G, P> {
    type Service = Guarded<S, G, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(inner, self.shared.clone())
    }
}

impl<G, P> Clone for GuardLayer<G, P> {
    fn clone(&self) -> Self {
        GuardLayer {
            shared: self.shared.clone(),
        }
    }
}

impl<G: fmt::Debug, P: fmt::Debug> fmt::Debug for GuardLayer<G, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer")
            .field("guards", &self.shared.guards)
            .field("protocol", &self.shared.protocol)
            .finish()
    }
}
