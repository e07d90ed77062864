//! Every guard and every layer of the crate signs the contract, and fits where it is meant to.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::{Response, StatusCode};
use tower_keep::{
    BoxError, CircuitBreaker, Guard, GuardLayer, Rejection, Throttle, Track,
    breaker::{KeyedBreaker, Switch},
    bulkhead::Bulkhead,
    call::{CallClock, CallEnd, ClassifyInput},
    chaos::{Chaos, ChaosBuilder, ChaosLayer},
    coalesce::{Coalesce, CoalesceLayer},
    context::{Correlate, InheritContext, Propagate, Trust, TrustedProxies},
    fallback::{FailedCall, Fallback, FallbackLayer},
    guard::Admit,
    hedge::{Hedge, HedgeLayer},
    observe, operation,
    priority::{Prioritizer, PriorityClass},
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitFields, RateLimitLayer},
    retry::{AttemptResult, Retry, RetryDecision, RetryLayer, RetryPolicy},
    testing::{ReadyChecked, RecordingGuard, Reply, Script, ScriptedBody, contract},
    timeout::{Deadline, TimeoutLayer, Timeouts},
    track::{RequestBodyLayer, RouteLayer},
};

/// Longer than any run of the contract.
const HOUR: Duration = Duration::from_secs(3_600);

/// All layers and guards: a new one fails the test below until its name is here and it has a test.
const SIGNED: [&str; 31] = [
    "Bulkhead",
    "BulkheadLayer",
    "CacheLayer",
    "ChaosLayer",
    "CircuitBreaker",
    "CoalesceLayer",
    "Correlate",
    "Deadline",
    // In `balance::contract`.
    "EndpointGuard",
    "FallbackLayer",
    "GuardLayer",
    "HedgeLayer",
    "HttpCacheLayer",
    "IncludeReadinessLayer",
    "InheritContext",
    "KeyedGuard",
    "KeyedRateLimitGuard",
    "Operation",
    "Option",
    "Prioritizer",
    "PrioritizerGuard",
    "Propagate",
    "RateLimit",
    "RateLimitLayer",
    "RecordingGuard",
    "RequestBodyLayer",
    "RetryLayer",
    "RouteLayer",
    "Throttle",
    "TimeoutLayer",
    "Track",
];

#[test]
fn contract_covers_every_layer_and_guard() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/public-api.txt");
    // A package goes without it.
    let Ok(api) = std::fs::read_to_string(file) else {
        return;
    };
    let is_ours = |what: &str| what.contains("tower_layer::Layer<") || what.ends_with("::Guard");
    let mut found: Vec<&str> = api
        .lines()
        .filter_map(|line| line.strip_prefix("impl")?.split_once(" for "))
        // A layer of `tracing-subscriber`'s is none of tower's, and a tuple has no name.
        .filter(|(what, whom)| is_ours(what) && !whom.starts_with('('))
        .filter_map(|(_, whom)| whom.split(['<', ' ']).next()?.rsplit("::").next())
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, SIGNED);
}

#[test]
fn contract_unit_guard() {
    struct Nothing;
    impl Guard for Nothing {
        type Permit = ();
        fn on_end(&self, (): (), _: &CallEnd<'_>) {}
    }
    impl<Req> Admit<Req> for Nothing {
        fn admit(&self, _: &mut Req, _: &CallClock) -> Result<(), Rejection> {
            Ok(())
        }
    }
    contract::check_guard(|| Nothing);
}

#[test]
fn contract_correlate() {
    contract::check_guard(Correlate::default);
}

#[test]
fn contract_propagate() {
    contract::check_guard(Propagate::default);
}

#[test]
fn contract_track() {
    contract::check_guard(|| Track::new("signed"));
}

#[test]
fn contract_track_with_everything_on() {
    contract::check_guard(|| {
        Track::builder("signed")
            .poll_time(true)
            .readiness_wait(true)
            .time_to_head(true)
            .body_sizes(true)
            .server_timing(|_| true)
            .response_time(|_| true)
            .build()
            .unwrap()
    });
}

#[test]
fn contract_inherit() {
    contract::check_guard(|| InheritContext);
    contract::check_any_guard(|| InheritContext, || "a request");
}

#[test]
fn contract_operation() {
    contract::check_guard(|| operation("signed"));
    contract::check_any_guard(|| operation("signed"), || 7_u32);
}

#[test]
fn contract_breaker() {
    let by_rate = || CircuitBreaker::builder("signed").build().unwrap();
    let in_a_row = || CircuitBreaker::classic("signed").build().unwrap();
    contract::check_guard(by_rate);
    contract::check_guard(in_a_row);
    contract::check_guard(|| (Correlate::default(), (Track::new("signed"), by_rate())));
    contract::check_any_guard(by_rate, || 7_u32);
}

#[test]
fn contract_bulkhead() {
    let until_head = || {
        let builder = Bulkhead::builder("signed").until_head(true);
        builder.build().unwrap()
    };
    let bulkhead = || Bulkhead::new("signed");
    contract::check_guard(bulkhead);
    contract::check_guard(until_head);
    contract::check_guard(|| (Track::new("signed"), bulkhead()));
    contract::check_any_guard(bulkhead, || 7_u32);
    contract::check_http(|| bulkhead().layer().server());
    contract::check_http(|| bulkhead().layer().client().back_pressure());
    contract::check_http(|| bulkhead().layer().grpc_client());
    contract::check_any(|| bulkhead().layer().any(), || 7_u32);
    contract::check_http(|| GuardLayer::server(bulkhead()).back_pressure());
}

#[test]
fn contract_bulkhead_with_queue() {
    // As many as the contract has at once: one that waits for another needs that to be polled.
    let queuing = || {
        let builder = Bulkhead::builder("signed").limit(2).queue_limit(10);
        builder.wait_limit(HOUR).build().unwrap().layer()
    };
    let classify = |input: &ClassifyInput<'_>| input.outcome();
    contract::check_http(|| queuing().server());
    contract::check_http(|| queuing().client().classify(classify));
    contract::check_http(|| queuing().grpc_client());
    contract::check_any(|| queuing().any(), || 7_u32);
    contract::check_http(|| queuing().server().back_pressure());
    contract::check_any(|| queuing().any().back_pressure(), || 7_u32);
}

#[test]
fn contract_breaker_readiness_and_back_pressure() {
    let breaker = || CircuitBreaker::builder("signed").build().unwrap();
    contract::check_http(|| breaker().layer().server());
    contract::check_http(|| breaker().layer().client());
    contract::check_http(|| breaker().layer().grpc_client());
    contract::check_any(|| breaker().layer().any(), || 7_u32);
    contract::check_http(|| breaker().layer().server().back_pressure());
    contract::check_http(|| breaker().layer().server().pass_through());
}

#[test]
fn contract_breaker_retry_after_and_switch() {
    contract::check_guard(|| {
        CircuitBreaker::builder("signed")
            .open_on_retry_after(Duration::from_secs(60))
            .open_on_head(Duration::from_secs(60), |_| None)
            .slow_call(Duration::from_secs(60))
            .switch(&Switch::new())
            .build()
            .unwrap()
    });
}

#[test]
fn contract_keyed_breaker() {
    let keyed = || -> KeyedBreaker<String> {
        let template = CircuitBreaker::builder("signed");
        KeyedBreaker::builder(template).build().unwrap()
    };
    contract::check_guard(|| keyed().keyed_by_authority());
    contract::check_any_guard(|| keyed().keyed_by(|n: &u32| Some(n.to_string())), || 7);
    contract::check_any_guard(|| keyed().keyed_by_ref(|_: &u32| None::<&str>), || 7);
}

#[test]
fn contract_rate_limit() {
    let limit = || RateLimit::new("signed");
    contract::check_guard(limit);
    contract::check_guard(|| (Correlate::default(), (Track::new("signed"), limit())));
    contract::check_any_guard(limit, || 7_u32);
    contract::check_http(|| limit().layer().server().back_pressure());
    contract::check_http(|| limit().layer().client().pass_through());
    contract::check_guard(|| {
        RateLimit::builder("signed")
            .fields(RateLimitFields::Always)
            .shadow(true)
            .build()
            .unwrap()
    });
}

#[test]
fn contract_throttle() {
    let throttle = || Throttle::new("signed");
    contract::check_guard(throttle);
    contract::check_guard(|| (Correlate::default(), (Track::new("signed"), throttle())));
    contract::check_any_guard(throttle, || 7_u32);
    contract::check_http(|| throttle().layer().server());
    contract::check_http(|| throttle().layer().client().back_pressure());
    contract::check_http(|| throttle().layer().grpc_client());
}

#[test]
fn contract_prioritizer() {
    let prioritizer = || Prioritizer::new("signed");
    contract::check_guard(prioritizer);
    contract::check_guard(|| prioritizer().by_extension());
    contract::check_guard(|| prioritizer().by_header(Trust::always()));
    contract::check_guard(|| (Correlate::default(), (Track::new("signed"), prioritizer())));
    contract::check_any_guard(prioritizer, || 7_u32);
    contract::check_any_guard(
        || prioritizer().by(|_: &u32| Some(PriorityClass::High)),
        || 7,
    );
    contract::check_http(|| prioritizer().layer().server());
    contract::check_http(|| prioritizer().layer().client().back_pressure());
    contract::check_http(|| prioritizer().layer().grpc_client());
}

#[test]
fn contract_keyed_rate_limit() {
    let keyed = || KeyedRateLimit::new("signed");
    contract::check_guard(|| keyed().keyed_by_header(http::header::AUTHORIZATION));
    contract::check_guard(|| keyed().keyed_by_client_address(TrustedProxies::none()));
    contract::check_any_guard(|| keyed().keyed_by(|n: &u32| Some(n % 2)), || 7);
    contract::check_any_guard(|| keyed().keyed_by_ref(|_: &u32| None::<&str>), || 7);
}

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
fn contract_spy() {
    contract::check_guard(RecordingGuard::new);
    contract::check_guard(RecordingGuard::timed);
}

#[test]
fn contract_pairs_and_options() {
    contract::check_guard(|| (Correlate::default(), Track::new("signed")));
    contract::check_guard(|| (Propagate::default(), Track::new("signed")));
    contract::check_guard(|| ((InheritContext, Some(operation("signed"))), None::<Track>));
    contract::check_guard(|| None::<RecordingGuard>);
    contract::check_guard(|| Some((RecordingGuard::new(), RecordingGuard::timed())));
    contract::check_any_guard(|| (InheritContext, operation("signed")), || ());
}

#[test]
fn contract_observe_layers() {
    contract::check_http(|| observe("signed").server());
    contract::check_http(|| observe("signed").client());
    contract::check_http(|| observe("signed").grpc_client());
    contract::check_any(|| observe("signed").any(), || "a request");
    contract::check_any(|| GuardLayer::any(None::<InheritContext>), || "a request");
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
fn contract_deadline() {
    let bounded = || Deadline::builder("deadline").max(HOUR).build().unwrap();
    contract::check_guard(Deadline::default);
    contract::check_guard(bounded);
    contract::check_guard(|| (Correlate::default(), bounded()));
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
