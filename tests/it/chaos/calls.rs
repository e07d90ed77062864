//! The course of calls, of each protocol.

use std::{io, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    BoxError,
    call::{GrpcCode, find},
    chaos::{Chaos, ChaosBuilder, ChaosLayer, FaultKind, InjectedFault},
    testing::{Reply, Script},
};

use super::{HOUR, MILLI, SECOND, get, grpc, on};

fn fault(error: &BoxError) -> &InjectedFault {
    find(&**error).expect("an injected fault")
}

#[tokio::test(start_paused = true)]
async fn error_comes_in_place_of_a_plain_service() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let script: Script = Script::always(Reply::ok);
    let service = ChaosLayer::any(&chaos).layer(script.clone());
    let error = service.oneshot("ask").await.unwrap_err();
    assert_eq!(
        (fault(&error).chaos(), fault(&error).kind()),
        ("calls", FaultKind::Error)
    );
    assert_eq!(script.calls(), 0);
    assert_eq!(chaos.injected_count(FaultKind::Error), 1);
}

#[tokio::test(start_paused = true)]
async fn error_is_what_a_closure_makes() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let custom = |fault| io::Error::new(io::ErrorKind::ConnectionReset, fault);
    let script: Script = Script::always(Reply::ok);
    let any = ChaosLayer::any(&chaos)
        .error_with(custom)
        .layer(script.clone());
    let client = ChaosLayer::client(&chaos)
        .error_with(custom)
        .layer(script.clone());
    let errors = [
        any.oneshot("ask").await.unwrap_err(),
        client.oneshot(get("/")).await.unwrap_err(),
    ];
    for error in errors {
        let error = error.downcast_ref::<io::Error>().expect("the closure's");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(find::<InjectedFault>(error).is_some());
    }
    let panics = ChaosLayer::any(&chaos).error_with(|_| -> BoxError { panic!("a closure") });
    let error = panics.layer(script).oneshot("ask").await.unwrap_err();
    assert_eq!(fault(&error).kind(), FaultKind::Error);
}

#[tokio::test(start_paused = true)]
async fn error_of_a_server_is_a_response() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let script: Script = Script::always(Reply::ok);
    let server = ChaosLayer::server(&chaos).layer(script.clone());
    let response = server.clone().oneshot(get("/")).await.expect("a response");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert!(body.starts_with(br#"{"title":"Internal Server Error","status":500"#));
    let response = server.oneshot(grpc()).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn error_of_a_client_is_a_lost_connection() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let script: Script = Script::always(Reply::ok);
    let client = ChaosLayer::client(&chaos).layer(script.clone());
    let error = client.oneshot(get("/")).await.unwrap_err();
    assert!(error.is::<InjectedFault>());
    let grpc_client = ChaosLayer::grpc_client(&chaos).layer(script.clone());
    let error = grpc_client.oneshot(grpc()).await.unwrap_err();
    assert_eq!(fault(&error).kind(), FaultKind::Error);
    #[cfg(feature = "tonic")]
    {
        let status = error.downcast_ref::<tonic::Status>().expect("a status");
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }
    assert_eq!(script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn response_has_the_configured_status_or_code() {
    let chaos = on("calls", |chaos| {
        let chaos = chaos
            .response_rate(1.0)
            .status(StatusCode::TOO_MANY_REQUESTS);
        chaos.grpc_code(GrpcCode::RESOURCE_EXHAUSTED)
    });
    let script: Script = Script::always(Reply::ok);
    let server = ChaosLayer::server(&chaos).layer(script.clone());
    let client = ChaosLayer::client(&chaos).layer(script.clone());
    let grpc_client = ChaosLayer::grpc_client(&chaos).layer(script.clone());
    for response in [
        server.clone().oneshot(get("/")).await,
        client.clone().oneshot(get("/")).await,
    ] {
        assert_eq!(response.expect("a response").status(), 429);
    }
    for response in [
        server.oneshot(grpc()).await,
        client.oneshot(grpc()).await,
        grpc_client.oneshot(grpc()).await,
    ] {
        assert_eq!(response.expect("a response").headers()["grpc-status"], "8");
    }
    assert_eq!(
        (script.calls(), chaos.injected_count(FaultKind::Response)),
        (0, 5)
    );
    let any = ChaosLayer::any(&chaos).layer(script).oneshot("ask").await;
    assert_eq!(fault(&any.unwrap_err()).kind(), FaultKind::Response);
}

#[tokio::test(start_paused = true)]
async fn latency_comes_after_the_service_has_responded() {
    let chaos = on("calls", |chaos| chaos.latency_rate(1.0).latency(5 * SECOND));
    let script: Script = Script::always(|| Reply::ok().after(SECOND).data("hello"));
    let service = ChaosLayer::client(&chaos).layer(script.clone());
    let begun = Instant::now();
    let response = service.oneshot(get("/")).await.expect("a response");
    assert_eq!((begun.elapsed(), chaos.delayed_count()), (6 * SECOND, 0));
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "hello");
    assert_eq!(chaos.injected_count(FaultKind::Latency), 1);
}

#[tokio::test(start_paused = true)]
async fn latency_is_drawn_from_its_range() {
    let range = 100 * MILLI..=200 * MILLI;
    let chaos = on("calls", |chaos| {
        chaos.latency_rate(1.0).latency_range(range.clone()).seed(1)
    });
    let service = ChaosLayer::any(&chaos).layer(service_fn(async |_: ()| Ok::<_, BoxError>(())));
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = Instant::now();
        service
            .clone()
            .oneshot(())
            .await
            .expect("late, and no failure");
        times.push(begun.elapsed());
    }
    // The clock of tokio counts whole milliseconds.
    assert!(
        times
            .iter()
            .all(|time| range.contains(time) || *time == 201 * MILLI),
        "{times:?}"
    );
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 20, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn latency_delays_an_error_as_well() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0).latency_rate(1.0));
    let service = ChaosLayer::any(&chaos).layer(Script::<BoxError>::always(Reply::ok));
    let begun = Instant::now();
    service.oneshot("ask").await.expect_err("an error");
    assert_eq!(begun.elapsed(), SECOND);
    let failing = on("calls", |chaos| chaos.latency_rate(1.0));
    let service =
        ChaosLayer::any(&failing).layer(Script::<BoxError>::always(|| Reply::error("own")));
    let begun = Instant::now();
    let error = service.oneshot("ask").await.unwrap_err();
    assert_eq!(
        (begun.elapsed(), error.to_string().as_str()),
        (SECOND, "own")
    );
}

#[tokio::test(start_paused = true)]
async fn hang_lasts_until_the_call_is_dropped_and_frees_all() {
    let chaos = on("calls", |chaos| chaos.hang_rate(1.0));
    let script: Script = Script::always(Reply::ok);
    let call = ChaosLayer::client(&chaos)
        .layer(script.clone())
        .oneshot(get("/"));
    tokio::time::timeout(HOUR, call)
        .await
        .expect_err("it hangs");
    assert_eq!((script.calls(), chaos.delayed_count()), (0, 0));
    assert_eq!(chaos.injected_count(FaultKind::Hang), 1);
}

#[tokio::test(start_paused = true)]
async fn panic_is_one_of_the_call() {
    let chaos = on("calls", |chaos| chaos.panic_rate(1.0));
    let call = ChaosLayer::any(&chaos)
        .layer(Script::<BoxError>::always(Reply::ok))
        .oneshot("ask");
    let panic = AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
    let message = panic.downcast_ref::<String>().expect("a text");
    assert_eq!(message, r#"fault injected by chaos "calls": panic"#);
    assert_eq!(chaos.injected_count(FaultKind::Panic), 1);
}

#[tokio::test(start_paused = true)]
async fn predicate_chooses_the_requests() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let inner = || service_fn(async |_| Ok::<_, BoxError>(Response::new(String::new())));
    let layer = ChaosLayer::client(&chaos);
    let layer = layer.only(|head| head.uri.path().starts_with("/orders"));
    let client = layer.layer(inner());
    client
        .clone()
        .oneshot(get("/health"))
        .await
        .expect("left alone");
    client.oneshot(get("/orders/7")).await.expect_err("chosen");
    let any = ChaosLayer::any(&chaos).only(|n: &u32| *n == 7);
    let any = any.layer(service_fn(async |n: u32| Ok::<_, BoxError>(n)));
    assert_eq!(any.clone().oneshot(6).await.expect("left alone"), 6);
    any.oneshot(7).await.expect_err("chosen");
    assert_eq!(chaos.injected_count(FaultKind::Error), 2);
}

#[tokio::test(start_paused = true)]
async fn predicate_that_panics_chooses_nothing() {
    let chaos = on("calls", |chaos| chaos.error_rate(1.0));
    let any = ChaosLayer::any(&chaos).only(|_: &&str| panic!("a predicate"));
    let script: Script = Script::always(Reply::ok);
    any.layer(script.clone())
        .oneshot("ask")
        .await
        .expect("left alone");
    let client = ChaosLayer::client(&chaos).only(|_| panic!("a predicate"));
    client
        .layer(script)
        .oneshot(get("/"))
        .await
        .expect("left alone");
}

#[tokio::test(start_paused = true)]
async fn delayed_calls_are_bounded_and_what_does_not_fit_is_skipped() {
    type Configure = fn(ChaosBuilder) -> ChaosBuilder;
    let faults: [Configure; 2] = [
        |chaos| chaos.hang_rate(1.0),
        |chaos| chaos.latency_rate(1.0).latency(HOUR),
    ];
    for fault in faults {
        let chaos: Chaos = on("calls", |chaos| fault(chaos).max_delayed(1));
        let script: Script = Script::always(Reply::ok);
        let service = ChaosLayer::client(&chaos).layer(script.clone());
        let delayed = tokio::spawn(service.clone().oneshot(get("/")));
        tokio::task::yield_now().await;
        assert_eq!(chaos.delayed_count(), 1);
        service
            .clone()
            .oneshot(get("/"))
            .await
            .expect("not delayed");
        assert_eq!((chaos.delayed_count(), chaos.skipped_count()), (1, 1));
        delayed.abort();
        delayed.await.expect_err("aborted");
        assert_eq!(chaos.delayed_count(), 0);
        let again = tokio::spawn(service.oneshot(get("/")));
        tokio::task::yield_now().await;
        assert_eq!((chaos.delayed_count(), chaos.skipped_count()), (1, 1));
        drop(again);
    }
}
