//! Layers that change the call.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::{Response, StatusCode};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer,
    call::ClassifyInput,
    chaos::{Chaos, ChaosBuilder, ChaosLayer},
    coalesce::{Coalesce, CoalesceLayer},
    fallback::{FailedCall, Fallback, FallbackLayer},
    hedge::{Hedge, HedgeLayer},
    observe,
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitLayer},
    retry::{AttemptResult, Retry, RetryDecision, RetryLayer, RetryPolicy},
    testing::{ReadyChecked, RecordingGuard, Reply, Script, ScriptedBody, contract},
    timeout::{TimeoutLayer, Timeouts},
    track::{RequestBodyLayer, RouteLayer},
};

use super::HOUR;

#[test]
fn contract_rate_limit_that_waits() {
    let limit = || RateLimit::new("signed");
    let keyed = || KeyedRateLimit::new("signed").keyed_by_header(http::header::AUTHORIZATION);
    contract::check_any(|| RateLimitLayer::any(limit()), || 7_u32);
    contract::check_http(|| RateLimitLayer::server(limit()));
    contract::check_http(|| RateLimitLayer::client(limit()));
    contract::check_http(|| RateLimitLayer::grpc_client(limit()));
    contract::check_http(|| RateLimitLayer::server(keyed()));
}

#[test]
fn contract_layers_that_are_no_guards() {
    contract::check_http(|| RouteLayer::new("/orders/{id}"));
    contract::check_http(RouteLayer::matched_path);
    contract::check_http(|| RequestBodyLayer::new(|body| body));
}

#[test]
fn contract_coalesce() {
    let coalesce = || Coalesce::new("signed");
    // Calls that share one depend on each other, which the contract forbids.
    let none = |_: &http::Request<ScriptedBody>| None::<()>;
    contract::check_http(|| CoalesceLayer::client(coalesce()).keyed_by(none));
    contract::check_http(|| CoalesceLayer::grpc_client(coalesce(), none));
    contract::check_any(
        || {
            tower::ServiceBuilder::new()
                .layer(CoalesceLayer::any(coalesce(), |_: &&str| None::<()>))
                .map_response(|response: Response<ScriptedBody>| response.status())
                .into_inner()
        },
        || "ask",
    );
}

#[test]
fn contract_coalesce_of_calls_that_lead() {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    contract::check_any(
        || {
            let key = |_: &&str| Some(NEXT.fetch_add(1, Relaxed));
            tower::ServiceBuilder::new()
                .layer(CoalesceLayer::any(Coalesce::new("signed"), key))
                .map_response(|response: Response<ScriptedBody>| response.status())
                .into_inner()
        },
        || "ask",
    );
}

#[cfg(feature = "cache")]
#[test]
fn contract_cache() {
    use tower_keep::cache::{Cache, CacheLayer, HttpCacheLayer};
    let cache = || Cache::new("signed");
    contract::check_http(|| HttpCacheLayer::server(cache()));
    contract::check_http(|| HttpCacheLayer::client(cache()));
    contract::check_any(
        || {
            tower::ServiceBuilder::new()
                .layer(CacheLayer::any(cache(), |_: &&str| None::<()>))
                .map_response(|response: Response<ScriptedBody>| response.status())
                .into_inner()
        },
        || "ask",
    );
}

#[test]
fn contract_fallback() {
    fn spare(_: &FailedCall<'_>) -> Response<ScriptedBody> {
        Response::new(ScriptedBody::from("spare").end_after_extra_poll())
    }
    // Waits for the clock: whoever wakes the task himself is held to be the layer.
    let reply = || {
        Reply::<BoxError>::ok()
            .after(Duration::from_millis(100))
            .data("spare")
    };
    let other = ReadyChecked::new(Script::always(reply));
    let to = || other.clone();
    let fallback = || Fallback::new("signed");
    contract::check_http(|| FallbackLayer::server(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::client(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::grpc_client(fallback()).with(spare));
    contract::check_http(|| FallbackLayer::server(fallback()).service(to()));
    contract::check_http(|| FallbackLayer::client(fallback()).service(to()));
    contract::check_http(|| FallbackLayer::grpc_client(fallback()).service(to()));
    contract::check_any(|| FallbackLayer::any(fallback()).with(spare), || "ask");
    contract::check_any(|| FallbackLayer::any(fallback()).service(to()), || "ask");
    contract::check_any(
        || {
            // A value is cloned, and a scripted response cannot be.
            tower::ServiceBuilder::new()
                .layer(FallbackLayer::any(fallback()).value(StatusCode::OK))
                .map_response(|response: Response<ScriptedBody>| response.status())
                .into_inner()
        },
        || "ask",
    );
    // One for all runs, and for whatever fails.
    let fallback = Fallback::builder("signed").when(|_| true).build().unwrap();
    contract::check_http(|| FallbackLayer::server(fallback.clone()).with(spare));
    contract::check_http(|| FallbackLayer::client(fallback.clone()).service(to()));
    // The other service is under the same law.
    let script = other.get_ref();
    assert!(script.calls() > 0);
    assert_eq!((script.in_flight(), other.violations()), (0, 0));
}

#[test]
fn contract_retry() {
    let retry = || Retry::new("signed");
    contract::check_http(|| RetryLayer::client(retry()));
    contract::check_http(|| RetryLayer::grpc_client(retry()).retry_if_request(|_| true));
    contract::check_http(|| RetryLayer::grpc_client(retry()).retry_unsent(false));
    contract::check_any(|| RetryLayer::any(retry()), || "a request");
    contract::check_any(|| RetryLayer::with_policy(retry(), Copying), || "a request");
}

#[test]
fn contract_hedge() {
    let learning = || Hedge::new("signed");
    let late = || Hedge::builder("signed").delay(HOUR).build().unwrap();
    let soon = || {
        let hedge = Hedge::builder("signed").delay(Duration::from_millis(1));
        hedge.max_hedges(2).budget(None).build().unwrap()
    };
    for hedge in [learning, late, soon] {
        contract::check_http(|| HedgeLayer::client(hedge()));
        contract::check_http(|| HedgeLayer::grpc_client(hedge()).hedge_if_request(|_| true));
        contract::check_http(|| HedgeLayer::client(hedge()).max_replay_bytes(1));
        contract::check_any(|| HedgeLayer::any(hedge()), || "a request");
        contract::check_any(|| HedgeLayer::with_policy(hedge(), Copying), || "a request");
    }
    contract::check_http(|| {
        tower::ServiceBuilder::new()
            .layer(RetryLayer::client(Retry::new("signed")))
            .layer(HedgeLayer::client(soon()))
            .into_inner()
    });
}

struct Copying;

impl RetryPolicy<&'static str, Response<ScriptedBody>> for Copying {
    fn clone_request(&self, request: &&'static str) -> Option<&'static str> {
        Some(request)
    }
    fn decide(
        &self,
        tried: &AttemptResult<'_, &'static str, Response<ScriptedBody>>,
    ) -> RetryDecision {
        tried.default_decision
    }
}

#[test]
fn contract_timeout() {
    contract::check_any(|| TimeoutLayer::any(HOUR), || "a request");
    contract::check_http(|| TimeoutLayer::server(HOUR));
    contract::check_http(|| TimeoutLayer::client(HOUR));
    contract::check_http(|| TimeoutLayer::grpc_client(HOUR));
    contract::check_http(|| TimeoutLayer::server(HOUR).body_idle(HOUR));
    contract::check_http(|| TimeoutLayer::client(HOUR).body_total(HOUR));
}

#[test]
fn contract_chaos_off_and_on() {
    let rare = || {
        let chaos = Chaos::builder("signed").error_rate(0.0).build().unwrap();
        chaos.enable();
        chaos
    };
    for chaos in [|| Chaos::new("signed"), rare] {
        contract::check_http(|| ChaosLayer::server(&chaos()));
        contract::check_http(|| ChaosLayer::client(&chaos()).only(|_| true));
        contract::check_http(|| ChaosLayer::grpc_client(&chaos()));
        contract::check_any(|| ChaosLayer::any(&chaos()), || "a request");
        contract::check_any(|| ChaosLayer::any(&chaos()).only(|_: &u32| true), || 7);
    }
}

/// Calls that are late keep the contract, and so do slow bodies.
#[test]
fn contract_chaos_with_faults() {
    let on = |chaos: ChaosBuilder| {
        let chaos = chaos.build().unwrap();
        chaos.enable();
        chaos
    };
    let time = Duration::from_millis(10);
    let late = || on(Chaos::builder("signed").latency_rate(1.0).latency(time));
    contract::check_http(|| ChaosLayer::server(&late()));
    contract::check_http(|| ChaosLayer::client(&late()));
    contract::check_any(|| ChaosLayer::any(&late()), || "a request");
    let slow = || on(Chaos::builder("signed").slow_rate(1.0).slow_speed(100));
    contract::check_http(|| ChaosLayer::client(&slow()));
    let cut = || on(Chaos::builder("signed").cut_rate(1.0));
    contract::check_http(|| ChaosLayer::client(&cut()));
}

#[test]
fn contract_timeout_with_readiness() {
    let any = || TimeoutLayer::any(HOUR).include_readiness();
    contract::check_any(any, || "a request");
    contract::check_http(|| TimeoutLayer::server(HOUR).include_readiness());
    contract::check_http(|| TimeoutLayer::client(HOUR).include_readiness());
    contract::check_http(|| TimeoutLayer::grpc_client(HOUR).include_readiness());
}

#[test]
fn contract_timeout_inside_retry() {
    let timeouts = Timeouts::builder("signed").total(HOUR).build().unwrap();
    contract::check_http(|| {
        tower::ServiceBuilder::new()
            .layer(TimeoutLayer::client(timeouts.total()))
            .layer(RetryLayer::client(Retry::new("signed")))
            .layer(TimeoutLayer::client(timeouts.attempt()))
            .into_inner()
    });
}

#[test]
fn contract_layers_with_classifier() {
    let classify = |end: &ClassifyInput<'_>| end.outcome();
    let breaker = || CircuitBreaker::builder("signed").build().unwrap().layer();
    let (fallback, retry) = (|| Fallback::new("signed"), || Retry::new("signed"));
    contract::check_http(|| GuardLayer::server(RecordingGuard::new()).classify(classify));
    contract::check_any(
        || GuardLayer::any(RecordingGuard::new()).classify(classify),
        || 7,
    );
    contract::check_http(|| breaker().client().classify(classify));
    contract::check_http(|| RetryLayer::client(retry()).classify(classify));
    contract::check_any(|| RetryLayer::any(retry()).classify(classify), || 7);
    let hedge = || Hedge::new("signed");
    contract::check_http(|| HedgeLayer::client(hedge()).classify(classify));
    contract::check_any(|| HedgeLayer::any(hedge()).classify(classify), || 7);
    contract::check_http(|| {
        let layer = FallbackLayer::client(fallback()).classify(classify);
        layer.with(|_| Response::new(ScriptedBody::new()))
    });
}

#[test]
fn contract_stacked_layers() {
    contract::check_http(|| {
        tower::layer::util::Stack::new(observe("inner").server(), observe("outer").server())
    });
}
