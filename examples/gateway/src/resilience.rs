//! What stands between the gateway and its upstream: time limits, retries within a budget, a circuit breaker.

use std::time::Duration;

use http::HeaderName;
use tower::ServiceBuilder;
use tower::layer::util::{Identity, Stack};
use tower_keep::breaker::CircuitBreaker;
use tower_keep::context::Propagate;
use tower_keep::protocol::Client;
use tower_keep::retry::{Backoff, Budget, Retry, RetryLayer};
use tower_keep::timeout::{TimeoutLayer, Timeouts};
use tower_keep::{ConfigError, GuardLayer, Track};
use tower_layer::Layer;

use super::args::Args;
use super::http2_unsupported;

/// How long the caller still waits, in milliseconds, as Envoy puts it. gRPC has a header of its own.
pub const TIME_LEFT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// Longer waits that an upstream asks for are left to the client.
const PATIENCE: Duration = Duration::from_millis(250);
/// Attempts of an unprotected gateway. Each on its own seems reasonable.
const TOO_MANY: u32 = 5;

pub struct Resilience {
    pub breaker: CircuitBreaker,
    layers: Layers,
}

/// Outermost last, as tower stacks them.
type Layers = Stack<Attempt, Stack<Outbound, Stack<Retries, Stack<Total, Identity>>>>;
type Total = TimeoutLayer<Client>;
type Retries = RetryLayer<Client>;
type Outbound = GuardLayer<(Propagate, (Track, CircuitBreaker)), Client>;
type Attempt = TimeoutLayer<Client>;

impl Resilience {
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(args: &Args) -> Result<Self, ConfigError> {
        let timeouts = Timeouts::builder("upstream")
            .attempt(args.timeout)
            .total(args.total)
            .build()?;
        let breaker = breaker(args)?;
        // One call is one line and one error record: those of the inbound tracker, which learns the true cause.
        let track = Track::builder("upstream")
            .access_log(false)
            .errors(None)
            .build()?;
        let layers = ServiceBuilder::new()
            .layer(TimeoutLayer::client(timeouts.total()))
            .layer(RetryLayer::client(retries(args)?))
            .layer(
                GuardLayer::client((Propagate::default(), (track, breaker.clone())))
                    .classify(http2_unsupported::classify),
            )
            .layer(TimeoutLayer::client(timeouts.attempt()).timeout_header(TIME_LEFT));
        Ok(Self {
            breaker,
            layers: layers.into_inner(),
        })
    }
}

fn retries(args: &Args) -> Result<Retry, ConfigError> {
    let retry = Retry::builder("upstream")
        .backoff(Backoff::exponential(Duration::from_millis(20)))
        .max_retry_after(PATIENCE);
    if args.unprotected {
        return retry.max_attempts(TOO_MANY).budget(None::<Budget>).build();
    }
    // One that hangs is not asked again: its client has waited long enough.
    retry.max_attempts(2).max_elapsed(args.timeout).build()
}

fn breaker(args: &Args) -> Result<CircuitBreaker, ConfigError> {
    let breaker = CircuitBreaker::builder("upstream")
        .time_window(Duration::from_secs(10), 10)
        .consecutive_failures(20)
        .open_time(args.open)
        // Longer than an attempt: what a client stalls has then ended as its own fault, and is no probe that failed.
        .probe_timeout(args.total)
        .build()?;
    if args.unprotected {
        breaker.disable();
    }
    Ok(breaker)
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
