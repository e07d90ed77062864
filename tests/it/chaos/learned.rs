//! The lesson of the layers around a chaos: the same as of a real fault.

use http::StatusCode;
use http_body_util::BodyExt;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, CircuitBreaker, GuardLayer, Outcome, Retry,
    breaker::CircuitState,
    call::{Evidence, GrpcCode},
    chaos::{Chaos, ChaosBuilder, ChaosLayer, FaultKind},
    retry::RetryLayer,
    testing::{RecordedEnd, RecordingGuard, Reply, Script},
    timeout::TimeoutLayer,
};

use super::{SECOND, get, grpc, on};

type Configure = fn(ChaosBuilder) -> ChaosBuilder;

fn script() -> Script {
    Script::always(|| Reply::ok().data("hello"))
}

#[tokio::test(start_paused = true)]
async fn client_faults_are_classified_as_real_ones() {
    use Evidence::Unhealthy;
    let faults: [(Configure, Outcome, Evidence); 6] = [
        (|chaos| chaos.error_rate(1.0), Outcome::Failure, Unhealthy),
        (
            |chaos| chaos.response_rate(1.0),
            Outcome::Overload,
            Unhealthy,
        ),
        (
            |chaos| chaos.response_rate(1.0).status(StatusCode::BAD_GATEWAY),
            Outcome::Failure,
            Unhealthy,
        ),
        (|chaos| chaos.hang_rate(1.0), Outcome::TimedOut, Unhealthy),
        (
            |chaos| chaos.latency_rate(1.0).latency(20 * SECOND),
            Outcome::TimedOut,
            Unhealthy,
        ),
        (|chaos| chaos.cut_rate(1.0), Outcome::Failure, Unhealthy),
    ];
    for (fault, outcome, evidence) in faults {
        let chaos: Chaos = on("learned", fault);
        let spy = RecordingGuard::new();
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(spy.clone()))
            .layer(TimeoutLayer::client(10 * SECOND))
            .layer(ChaosLayer::client(&chaos))
            .service(script());
        if let Ok(response) = client.oneshot(get("/")).await {
            let _ = response.into_body().collect().await;
        }
        let end: RecordedEnd = spy.single();
        assert_eq!(
            (end.outcome, end.evidence),
            (outcome, evidence),
            "{chaos:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn server_faults_are_classified_as_real_ones() {
    let faults: [(Configure, Outcome, Outcome); 3] = [
        (
            |chaos| chaos.error_rate(1.0),
            Outcome::Failure,
            Outcome::Failure,
        ),
        (
            |chaos| {
                chaos
                    .response_rate(1.0)
                    .grpc_code(GrpcCode::RESOURCE_EXHAUSTED)
            },
            Outcome::Overload,
            Outcome::Overload,
        ),
        (
            |chaos| chaos.panic_rate(1.0),
            Outcome::Panicked,
            Outcome::Panicked,
        ),
    ];
    for (fault, http, of_grpc) in faults {
        let chaos: Chaos = on("learned", fault);
        for (request, outcome) in [(get("/"), http), (grpc(), of_grpc)] {
            let spy = RecordingGuard::new();
            let server = ServiceBuilder::new()
                .layer(GuardLayer::server(spy.clone()))
                .layer(ChaosLayer::server(&chaos))
                .service(script());
            let response = server.oneshot(request).await.expect("a response");
            let _ = response.into_body().collect().await;
            assert_eq!(spy.single().outcome, outcome, "{chaos:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_client_faults_are_classified_as_real_ones() {
    let faults: [(Configure, Outcome); 2] = [
        (|chaos| chaos.error_rate(1.0), Outcome::Failure),
        (|chaos| chaos.response_rate(1.0), Outcome::Failure),
    ];
    for (fault, outcome) in faults {
        let chaos: Chaos = on("learned", fault);
        let spy = RecordingGuard::new();
        let client = ServiceBuilder::new()
            .layer(GuardLayer::grpc_client(spy.clone()))
            .layer(ChaosLayer::grpc_client(&chaos))
            .service(script());
        let _ = client.oneshot(grpc()).await;
        let end = spy.single();
        assert_eq!((end.outcome, end.evidence), (outcome, Evidence::Unhealthy));
    }
}

/// A rehearsal is worth nothing if the breaker stays closed in it.
#[tokio::test(start_paused = true)]
async fn breaker_opens_in_a_rehearsal_and_closes_after_it() {
    let faults: [Configure; 3] = [
        |chaos| chaos.error_rate(1.0),
        |chaos| chaos.response_rate(1.0),
        |chaos| chaos.hang_rate(1.0),
    ];
    for fault in faults {
        let chaos: Chaos = on("learned", fault);
        let breaker = CircuitBreaker::builder("learned").build().expect("valid");
        let client = ServiceBuilder::new()
            .layer(breaker.layer().client())
            .layer(TimeoutLayer::client(SECOND))
            .layer(ChaosLayer::client(&chaos))
            .service(script());
        for _ in 0..20 {
            let _ = client.clone().oneshot(get("/")).await;
        }
        assert_eq!(breaker.state(), CircuitState::Open, "{chaos:?}");
        chaos.disable();
        tokio::time::sleep(60 * SECOND).await;
        for _ in 0..10 {
            let response = client.clone().oneshot(get("/")).await.expect("a response");
            response.into_body().collect().await.expect("a body");
        }
        assert_eq!(breaker.state(), CircuitState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_faults_until_one_attempt_has_none() {
    let chaos = on("learned", |chaos| chaos.error_rate(0.5).seed(3));
    let retry = Retry::builder("learned").max_attempts(100).budget(None);
    let retry = retry.build().expect("valid");
    let client = ServiceBuilder::new()
        .layer(RetryLayer::client(retry))
        .layer(ChaosLayer::client(&chaos))
        .service(script());
    for _ in 0..20 {
        client
            .clone()
            .oneshot(get("/"))
            .await
            .expect("a response, in the end");
    }
    assert!(chaos.injected_count(FaultKind::Error) > 5);
}

/// Readers of an error group or a log line see that it was a rehearsal.
#[tokio::test(start_paused = true)]
async fn cause_of_a_response_is_the_fault() {
    let chaos = on("rehearsal", |chaos| chaos.response_rate(1.0));
    let spy = RecordingGuard::new();
    let server = GuardLayer::server(spy.clone()).layer(ChaosLayer::server(&chaos).layer(script()));
    let response = server.oneshot(get("/")).await.expect("a response");
    let _ = response.into_body().collect().await;
    let cause = spy.single().cause.expect("a cause");
    assert_eq!(cause, r#"fault injected by chaos "rehearsal": response"#);
}

#[tokio::test(start_paused = true)]
async fn ready_error_of_the_service_is_passed_on() {
    let chaos = on("learned", |chaos| chaos.error_rate(1.0));
    let failing = Script::<BoxError>::always(Reply::ok).fails_ready(|| "gone".into());
    let error = ChaosLayer::client(&chaos)
        .layer(failing)
        .oneshot(get("/"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "gone");
}
