//! The protection between the gateway and its upstream: time limits, retries within a budget, a circuit breaker, faults on
//! purpose, which only an operator switches on, and a balancer of several upstreams.

use bytes::Bytes;
use http::HeaderName;
use http::uri::{Authority, Scheme};
use http_body::Body;
use tower::ServiceBuilder;
use tower::layer::util::{Identity, Stack};
use tower_keep::balance::{Balance, Balancer, ToAuthority, to_authority};
use tower_keep::breaker::CircuitBreaker;
use tower_keep::chaos::{Chaos, ChaosLayer, HttpRequests};
use tower_keep::context::Propagate;
use tower_keep::protocol::Client;
use tower_keep::retry::{Retry, RetryLayer};
use tower_keep::timeout::{TimeoutLayer, Timeouts};
use tower_keep::{ConfigError, GuardLayer, Track};
use tower_layer::Layer;

use super::BoxError;
use super::client::UpstreamClient;
use super::http2_unsupported;
use super::policy::{Policy, UPSTREAM};
use super::upstream_url::UpstreamUrl;

/// The header that says how long the caller still waits, in milliseconds, as Envoy puts it. gRPC has a header of its own.
pub const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

pub struct Resilience {
    pub timeouts: Timeouts,
    pub retry: Retry,
    pub breaker: CircuitBreaker,
    pub balance: Balance,
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
        let balance = Balance::builder(UPSTREAM)
            .settings(&policy.balance)
            .build()?;
        if unprotected {
            breaker.disable();
            balance.disable();
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
            balance,
            layers: layers.into_inner(),
        })
    }
}

impl Resilience {
    /// Makes the client of these upstreams, each with connections of its own. With one upstream, nothing is ejected.
    pub fn balancer<B>(
        &self,
        upstreams: &[UpstreamUrl],
    ) -> Balancer<Authority, ToAuthority<UpstreamClient<B>>, Client>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let balancer = self.balance.client(|authority: &Authority| {
            to_authority(UpstreamClient::new(), Scheme::HTTP, authority.clone())
        });
        let authorities = upstreams.iter().map(UpstreamUrl::authority);
        balancer.endpoints().set(authorities.cloned());
        balancer
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
