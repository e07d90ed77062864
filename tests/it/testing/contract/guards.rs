//! Guards, alone and in pairs, around services of every protocol.

use std::time::Duration;

use tower_keep::{
    Bulkhead, CircuitBreaker, GuardLayer, Throttle, Track,
    breaker::{KeyedBreaker, Switch},
    call::ClassifyInput,
    context::{Correlate, InheritContext, Propagate, Trust, TrustedProxies},
    operation,
    priority::{Prioritizer, PriorityClass},
    rate_limit::{KeyedRateLimit, RateLimit, RateLimitFields},
    testing::contract,
    timeout::Deadline,
};

use super::HOUR;

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
fn contract_deadline() {
    let bounded = || Deadline::builder("deadline").max(HOUR).build().unwrap();
    contract::check_guard(Deadline::default);
    contract::check_guard(bounded);
    contract::check_guard(|| (Correlate::default(), bounded()));
}
