//! Unary calls and streams are one call on both sides, and both agree about them.

use tonic::Code;
use tonic_health::{
    ServingStatus,
    pb::{health_client::HealthClient, health_server::HealthServer},
    server::health_reporter,
};
use tower::ServiceBuilder;
use tower_keep::{GuardLayer, Outcome, Track, call::GrpcCode, observe};

use super::{Scripted, channel, check};
use crate::{
    integration::tracked,
    support::{guards::witness, logs::logs, meter::meter},
};

#[tokio::test]
async fn unary_call_is_one_call_on_both_sides() {
    let (meter, logs) = (meter(), logs());
    let (_reporter, health) = health_reporter();
    let address = serve_tonic!(observe("health").server(), health);
    let mut client = HealthClient::new(
        ServiceBuilder::new()
            .layer(observe("health").grpc_client())
            .service(channel(address)),
    );

    let answer = client.check(check("")).await.unwrap();
    assert_eq!(answer.get_ref().status, ServingStatus::Serving as i32);
    assert!(
        !answer.metadata().contains_key("x-request-id"),
        "not asked for"
    );
    let status = client.check(check("unheard of")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);

    for side in ["server", "client"] {
        let duration = format!("rpc_{side}_call_duration_seconds");
        let method = ("rpc_method", "grpc.health.v1.Health/Check");
        let of = |code| {
            [
                method,
                ("rpc_response_status_code", code),
                ("rpc_system_name", "grpc"),
            ]
        };
        assert_eq!(meter.count(&duration, &of("OK")), 1.0, "{side}");
        assert_eq!(meter.count(&duration, &of("NOT_FOUND")), 1.0, "{side}");
        let calls = |outcome| meter.calls(&[method, ("kind", side), ("outcome", outcome)]);
        assert_eq!(
            (calls("success"), calls("client_error")),
            (1.0, 1.0),
            "{side}"
        );
        let active = format!("http_{side}_active_requests");
        assert_eq!(meter.sum(&active, &[]), Some(0.0), "{side}");
    }
    // The server's line comes first: its call ends before the client has heard of it.
    let lines = logs.calls();
    let kinds: Vec<_> = lines.iter().map(|line| line.get("kind")).collect();
    assert_eq!(kinds, ["server", "client", "server", "client"]);
    let codes: Vec<_> = lines.iter().map(|line| line.get("grpc_code")).collect();
    assert_eq!(codes, ["OK", "OK", "NOT_FOUND", "NOT_FOUND"]);
    assert!(
        lines
            .iter()
            .all(|line| line.get("route") == "grpc.health.v1.Health/Check")
    );
    for span in logs.call_spans() {
        assert_eq!(span.get("otel.name"), "grpc.health.v1.Health/Check");
        assert_eq!(span.get("rpc.system.name"), "grpc");
        assert!(span.closed);
    }
}

#[tokio::test]
async fn stream_is_one_call_until_its_trailers() {
    let meter = meter();
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let (mut reporter, health) = health_reporter();
    let track = Track::new("health");
    let address = serve_tonic!(GuardLayer::server((served, track.clone())), health);
    let layer = GuardLayer::grpc_client((called, track));
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));

    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    let mut stream = client.watch(check("shop")).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
    reporter
        .set_service_status("shop", ServingStatus::NotServing)
        .await;
    assert_eq!(stream.message().await.unwrap().unwrap().status, 2);
    assert_eq!(
        (server_ends.so_far(), client_ends.so_far()),
        (vec![], vec![])
    );
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(1.0));
    assert_eq!(meter.sum("http_client_active_requests", &[]), Some(1.0));

    reporter.clear_service_status("shop").await;
    assert_eq!(stream.message().await.unwrap(), None);
    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Success, Some(GrpcCode::OK))
        );
        assert_eq!(told.response_bytes, 14, "two messages of two bytes, framed");
    }
    assert_eq!(meter.sum("http_server_active_requests", &[]), Some(0.0));
    assert_eq!(meter.sum("http_client_active_requests", &[]), Some(0.0));
}

#[tokio::test]
async fn grpc_code_outcome_agrees_on_both_sides() {
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let address = serve_tonic!(
        GuardLayer::server(served),
        HealthServer::new(Scripted::default())
    );
    let layer = GuardLayer::grpc_client(called);
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));

    for (service, code, outcome) in [
        ("", Code::Ok, Outcome::Success),
        ("missing", Code::NotFound, Outcome::ClientError),
        ("forbidden", Code::PermissionDenied, Outcome::ClientError),
        ("made up", Code::InvalidArgument, Outcome::ClientError),
        ("busy", Code::ResourceExhausted, Outcome::Overload),
        ("late", Code::DeadlineExceeded, Outcome::TimedOut),
        ("gone", Code::Unavailable, Outcome::Failure),
        ("torn", Code::Internal, Outcome::Failure),
    ] {
        let answer = client.check(check(service)).await;
        assert_eq!(
            answer.map_or_else(|status| status.code(), |_| Code::Ok),
            code
        );
        for ends in [&mut server_ends, &mut client_ends] {
            let told = ends.next().await;
            assert_eq!(told.outcome, outcome, "{service}");
            assert_eq!(told.code.unwrap().as_u8(), code as u8, "{service}");
        }
    }
    // The same in trailers, after a message.
    let mut stream = client.watch(check("torn")).await.unwrap().into_inner();
    assert!(stream.message().await.is_ok());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DataLoss);
    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Failure, Some(GrpcCode::DATA_LOSS))
        );
        assert_eq!(told.cause, "grpc-message: torn");
    }
}

#[tokio::test]
async fn status_error_is_grouped_by_source_or_message() {
    let (served, server_errors) = tracked("health");
    let (called, client_errors) = tracked("health");
    let server = observe(served).server();
    let address = serve_tonic!(server, HealthServer::new(Scripted::default()));
    let layer = observe(called).grpc_client();
    let mut client =
        HealthClient::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    // The server learns the method from an answer that only its implementation can have given.
    client.check(check("")).await.unwrap();
    client.check(check("torn")).await.unwrap_err();
    client.check(check("missing")).await.unwrap_err();

    let [group] = &server_errors.groups()[..] else {
        panic!("{:#?}", server_errors.groups())
    };
    let on_server = group.latest().record();
    assert_eq!(on_server.route(), Some("grpc.health.v1.Health/Check"));
    assert!(
        on_server.message().contains("cannot read order 7"),
        "{on_server:#?}"
    );
    assert_eq!(on_server.causes().last(), Some("a page is torn"));

    let [group] = &client_errors.groups()[..] else {
        panic!("{:#?}", client_errors.groups())
    };
    let on_client = group.latest().record();
    assert_eq!(
        (group.kind(), group.message()),
        ("INTERNAL", "cannot read order <num>")
    );
    assert_eq!(on_client.correlation_id(), on_server.correlation_id());
    assert_eq!(on_client.trace_id(), on_server.trace_id());
}
