//! Methods that callers make up get no series.

use tonic::{Request, Status, service::Routes};
use tonic_health::pb::{health_client::HealthClient, health_server::HealthServer};
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{GuardLayer, Track, observe};

use super::{Scripted, channel, check};
use crate::support::{get, guards::Fuse, http2, meter::meter, text};

#[tokio::test]
async fn unimplemented_methods_share_one_series() {
    let meter = meter();
    let address = serve_tonic!(
        observe("health").server(),
        HealthServer::new(Scripted::default())
    );
    let client = http2();
    for path in [
        "/grpc.health.v1.Health/Guess",
        "/no.such.Service/Call",
        "/x",
    ] {
        let mut request = get(address, path);
        *request.method_mut() = http::Method::POST;
        request
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        let response = client.request(request).await.unwrap();
        assert_eq!(crate::support::header(&response, "grpc-status"), Some("12"));
    }
    let duration = "rpc_server_call_duration_seconds";
    let other = [
        ("rpc_method", "_OTHER"),
        ("rpc_response_status_code", "UNIMPLEMENTED"),
    ];
    assert_eq!(meter.count(duration, &other), 3.0);
    assert_eq!(meter.series(&format!("{duration}_count")).len(), 1);
}

/// A caller that is turned away before the method is looked up says nothing about methods: guards and interceptors answer
/// for made-up ones, too, and strangers could fill the table of those that get series of their own.
#[tokio::test]
async fn rejected_calls_add_no_method_label() {
    let meter = meter();
    let stranger = |address, method: &str| {
        let mut request = get(address, &format!("/grpc.health.v1.Health/{method}"));
        *request.method_mut() = http::Method::POST;
        let grpc = "application/grpc".parse().unwrap();
        request.headers_mut().insert("content-type", grpc);
        request
    };
    let keep_out = |request: Request<()>| match request.metadata().get("x-key") {
        Some(_) => Ok(request),
        None => Err(Status::unauthenticated("who are you?")),
    };
    let health = HealthServer::with_interceptor(Scripted::default(), keep_out);
    let guarded = serve_tonic!(observe("guarded").server(), health);
    let guards = (Track::new("rejected"), Fuse::blown());
    let health = HealthServer::new(Scripted::default());
    let rejected = serve_tonic!(GuardLayer::server(guards), health);
    let client = http2();
    for n in 0..5 {
        for address in [guarded, rejected] {
            let request = stranger(address, &format!("MadeUp{n}"));
            text(client.request(request).await.unwrap()).await;
        }
    }
    assert!(!meter.render().contains("MadeUp"), "{}", meter.render());

    // Those who are let in are believed, and from then on everybody who calls the same.
    let mut request = Request::new(check(""));
    request.metadata_mut().insert("x-key", "1".parse().unwrap());
    HealthClient::new(channel(guarded))
        .check(request)
        .await
        .unwrap();
    text(client.request(stranger(guarded, "Check")).await.unwrap()).await;
    let of = |code| {
        [
            ("rpc_method", "grpc.health.v1.Health/Check"),
            ("rpc_response_status_code", code),
        ]
    };
    let duration = "rpc_server_call_duration_seconds";
    assert_eq!(meter.count(duration, &of("OK")), 1.0);
    assert_eq!(meter.count(duration, &of("UNAUTHENTICATED")), 1.0);
}

/// Strangers could fill the table of those that get series of their own, and from then on nobody else would get one.
#[tokio::test]
async fn made_up_methods_add_no_label() {
    let made_up = |number: u32| {
        http::Request::post(format!("http://peer/grpc.health.v1.Health/MadeUp{number}"))
            .version(http::Version::HTTP_2)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap()
    };
    let meter = meter();
    let turn_away = |_: Request<()>| Err(Status::invalid_argument("come with a key"));
    let health = HealthServer::with_interceptor(Scripted::default(), turn_away);
    let server = ServiceBuilder::new()
        .layer(observe("server").server())
        .service(Routes::new(health));
    // Nobody implements anything there.
    let peer = || Routes::new(HealthServer::new(Scripted::default()));
    let client = ServiceBuilder::new()
        .layer(observe("client").client())
        .service(peer());
    let grpc_client = ServiceBuilder::new()
        .layer(observe("grpc_client").grpc_client())
        .service(peer());
    for number in 0..10_000 {
        text(server.clone().oneshot(made_up(number)).await.unwrap()).await;
        text(client.clone().oneshot(made_up(number)).await.unwrap()).await;
        text(grpc_client.clone().oneshot(made_up(number)).await.unwrap()).await;
    }
    assert!(!meter.render().contains("MadeUp"));
    for (name, code, calls) in [
        ("rpc_server_call_duration_seconds", "INVALID_ARGUMENT", 1e4),
        ("rpc_client_call_duration_seconds", "UNIMPLEMENTED", 2e4),
    ] {
        let labels = [("rpc_method", "_OTHER"), ("rpc_response_status_code", code)];
        assert_eq!(meter.count(name, &labels), calls);
        assert_eq!(meter.series(&format!("{name}_count")).len(), 1);
    }
    // Generated code is no stranger.
    let mut request = made_up(0);
    let method = tonic::GrpcMethod::new("test.Chat", "Whisper");
    request.extensions_mut().insert(method);
    text(grpc_client.oneshot(request).await.unwrap()).await;
    let labels = [
        ("rpc_method", "test.Chat/Whisper"),
        ("rpc_response_status_code", "UNIMPLEMENTED"),
    ];
    assert_eq!(
        meter.count("rpc_client_call_duration_seconds", &labels),
        1.0
    );
}
