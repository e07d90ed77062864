use tower_layer::Layer;

use super::{CircuitBreaker, OpenReady, OpenReadyLayer};
use crate::{
    call::Classify,
    guard::{GuardLayer, Guarded},
    protocol::{Any, Client, GrpcClient, Server},
};

impl CircuitBreaker {
    /// The breaker as a layer, for the protocol that is named next. An open circuit refuses at once, whether the
    /// wrapped service is ready or not; for that, the service must be `Clone`. Others want
    /// [`back_pressure`](BreakerLayers::back_pressure).
    pub fn layer(&self) -> BreakerLayers {
        BreakerLayers(self.clone())
    }

    /// Lets an open circuit refuse although the wrapped service is not ready: a part of [`layer`](Self::layer), for
    /// breakers that stand in a tuple of guards. To be put right inside of those.
    ///
    /// ```
    /// use tower::ServiceBuilder;
    /// use tower_keep::{CircuitBreaker, GuardLayer, Track};
    ///
    /// let breaker = CircuitBreaker::builder("quotes").build()?;
    /// let layers = ServiceBuilder::new()
    ///     .layer(GuardLayer::client((Track::named("quotes").client_side(), breaker.clone())))
    ///     .layer(breaker.open_ready());
    /// # let _ = layers;
    /// # Ok::<_, tower_keep::InvalidSetting>(())
    /// ```
    pub fn open_ready(&self) -> OpenReadyLayer {
        OpenReadyLayer::new(self.clone())
    }
}

/// A breaker that is about to become a layer; made by [`CircuitBreaker::layer`].
#[derive(Clone, Debug)]
pub struct BreakerLayers(CircuitBreaker);

/// A breaker that is about to become a layer which passes back-pressure on; made by
/// [`BreakerLayers::back_pressure`].
#[derive(Clone, Debug)]
pub struct BackPressure(CircuitBreaker);

impl BreakerLayers {
    /// Waits until the wrapped service is ready before it refuses, as layers commonly do. For services that are not
    /// `Clone`, and where a caller that is held up is better than one that is refused: a balancer that would otherwise
    /// send more to the one that answers so fast.
    pub fn back_pressure(self) -> BackPressure {
        BackPressure(self.0)
    }
}

/// A [breaker](CircuitBreaker) as a layer, open before ready. Every service it makes shares the circuit.
#[derive(Clone, Debug)]
pub struct BreakerLayer<P> {
    guard: GuardLayer<CircuitBreaker, P>,
    ready: OpenReadyLayer,
}

impl<S, P> Layer<S> for BreakerLayer<P> {
    type Service = Guarded<OpenReady<S>, CircuitBreaker, P>;

    fn layer(&self, inner: S) -> Self::Service {
        self.guard.layer(self.ready.layer(inner))
    }
}

macro_rules! protocol {
    ($constructor:ident, $protocol:ident, $doc:literal) => {
        impl BreakerLayers {
            #[doc = $doc]
            pub fn $constructor(self) -> BreakerLayer<$protocol> {
                BreakerLayer {
                    ready: self.0.open_ready(),
                    guard: GuardLayer::$constructor(self.0),
                }
            }
        }

        impl BackPressure {
            #[doc = $doc]
            pub fn $constructor(self) -> GuardLayer<CircuitBreaker, $protocol> {
                GuardLayer::$constructor(self.0)
            }
        }

        impl BreakerLayer<$protocol> {
            /// Judges calls by the classifier; see [`GuardLayer`].
            #[must_use]
            pub fn classify<C: Classify>(self, classify: C) -> BreakerLayer<$protocol<C>> {
                BreakerLayer {
                    guard: self.guard.classify(classify),
                    ready: self.ready,
                }
            }
        }
    };
}
protocol!(any, Any, "Round a service of any kind.");
protocol!(server, Server, "Round an HTTP or gRPC server.");
protocol!(client, Client, "Round an HTTP client.");
protocol!(grpc_client, GrpcClient, "Round a gRPC client.");
