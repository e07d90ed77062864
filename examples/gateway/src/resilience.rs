//! What stands between the gateway and its upstream: time limits, retries within a budget, a circuit breaker, and faults on
//! purpose, which only an operator switches on.

use http::HeaderName;
use tower::ServiceBuilder;
use tower::layer::util::{Identity, Stack};
use tower_keep::breaker::CircuitBreaker;
use tower_keep::chaos::{Chaos, ChaosLayer, HttpRequests};
use tower_keep::context::Propagate;
use tower_keep::protocol::Client;
use tower_keep::retry::{Retry, RetryLayer};
use tower_keep::timeout::{TimeoutLayer, Timeouts};
use tower_keep::{ConfigError, GuardLayer, Track};
use tower_layer::Layer;

use super::http2_unsupported;
use super::policy::{Policy, UPSTREAM};

/// How long the caller still waits, in milliseconds, as Envoy puts it. gRPC has a header of its own.
pub const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

pub struct Resilience {
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub breaker: CircuitBreaker,
    layers: Layers,
}

/// Outermost last, as tower stacks them.
type Layers =
    Stack<Faults, Stack<Attempt, Stack<Outbound, Stack<Retries, Stack<Total, Identity>>>>>;
type Total = TimeoutLayer<Client>;
type Retries = RetryLayer<Client>;
type Outbound = GuardLayer<(Propagate, (Track, CircuitBreaker)), Client>;
type Attempt = TimeoutLayer<Client>;
type Faults = ChaosLayer<Client, HttpRequests>;

impl Resilience {
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(policy: &Policy, unprotected: bool) -> Result<Self, ConfigError> {
        let timeouts = Timeouts::builder(UPSTREAM)
            .settings(&policy.timeouts)
            .build()?;
        let retry = Retry::builder(UPSTREAM).settings(&policy.retry).build()?;
        let breaker = CircuitBreaker::builder(UPSTREAM)
            .settings(&policy.breaker)
            .build()?;
        if unprotected {
            breaker.disable();
        }
        // One call is one line and one error record: those of the inbound tracker, which learns the true cause.
        let track = Track::builder(UPSTREAM)
            .access_log(false)
            .errors(None)
            .build()?;
        let layers = ServiceBuilder::new()
            .layer(TimeoutLayer::client(timeouts.total()))
            .layer(RetryLayer::client(retry.clone()))
            .layer(
                GuardLayer::client((Propagate::default(), (track, breaker.clone())))
                    .classify(http2_unsupported::classify),
            )
            .layer(TimeoutLayer::client(timeouts.attempt()).timeout_header(TIME_LEFT))
            // Off, and without rates: both are set in the console, to rehearse an outage of the upstream.
            .layer(ChaosLayer::client(&Chaos::new(UPSTREAM)));
        Ok(Self {
            timeouts,
            retry,
            breaker,
            layers: layers.into_inner(),
        })
    }
}

impl<S> Layer<S> for Resilience
where
    Layers: Layer<S>,
{
    type Service = <Layers as Layer<S>>::Service;

    fn layer(&self, client: S) -> Self::Service {
        self.layers.layer(client)
    }
}
