//! The gateway as a process of its own, with real traffic over the loopback.

mod alerts;
mod balance;
mod bounded;
mod chains;
mod client;
#[cfg(target_os = "linux")]
mod footprint;
#[cfg(target_os = "linux")]
mod hostile;
mod metastable;
#[cfg(unix)]
mod policy;
mod process;
mod resilience;
#[cfg(target_os = "linux")]
mod soak;
mod stack;
mod upstream;

use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_keep::Outcome;

use client::{Client, full, get, piece, pieces, text};
use process::{Gateway, eventually};
use upstream::Upstream;

// ------------------------------------------------------------------------------------------------ passing on

#[tokio::test]
async fn http_of_both_versions_passes_to_upstreams_of_both() {
    let mut upstream = Upstream::start().await;
    for (protocol, sent) in [("h1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let args = ["--upstream-protocol", protocol];
        let gateway = Gateway::before(&upstream.url(), &args).await;
        for (client, version) in clients() {
            let answer = client.get(&gateway.at("/a//b?c=%20")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.version(), version);
            assert_eq!(text(answer).await, "from upstream");
            let received = upstream.received().await;
            assert_eq!(received.version, sent);
            let path = received.uri.path_and_query().expect("a path");
            assert_eq!(path, "/a//b?c=%20");
        }
    }
}

#[tokio::test]
async fn body_pieces_arrive_and_return_before_the_next_is_sent() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    for (client, _) in clients() {
        let (sender, body) = pieces();
        let send = |text: &'static str| sender.send(Frame::data(text.into())).expect("a reader");
        send("first");
        let request = Request::post(gateway.at("/echo")).body(body);
        let answer = client.send(request.expect("a request")).await;
        let mut echo = answer.into_body();
        assert_eq!(data(&mut echo).await, "first");
        for text in ["second", "third"] {
            send(text);
            assert_eq!(data(&mut echo).await, text);
        }
        drop(sender);
        assert_eq!(echo.collect().await.expect("an end").to_bytes(), "");
    }
    for size in [
        "http_server_request_body_size_bytes_sum",
        "http_server_response_body_size_bytes_sum",
    ] {
        eventually(size, async || {
            (gateway.metric(size, &[]).await == 32.0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn grpc_calls_streams_and_statuses_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (reporter, service) = tonic_health::server::health_reporter();
    let serving = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    let gateway = Gateway::before(&url, &[]).await;
    let channel = Endpoint::try_from(gateway.url.clone()).expect("a URL");
    let mut health = HealthClient::new(channel.connect_lazy());
    let about = |service: &str| HealthCheckRequest {
        service: service.into(),
    };

    let mut asked = tonic::Request::new(about(""));
    let id = "grpc-chain".parse().expect("a value");
    asked.metadata_mut().insert("x-correlation-id", id);
    let answer = health.check(asked).await.expect("an answer");
    assert!(!answer.metadata().contains_key("x-correlation-id"));
    assert_eq!(answer.into_inner().status, 1);

    let status = health.check(about("nobody")).await.expect_err("unknown");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "service not registered")
    );

    let mut news = health
        .watch(about(""))
        .await
        .expect("a stream")
        .into_inner();
    for (set, expected) in [(None, 1), (Some(ServingStatus::NotServing), 2)] {
        if let Some(status) = set {
            reporter.set_service_status("", status).await;
        }
        let next = timeout(process::DEADLINE, news.next())
            .await
            .expect("in time");
        assert_eq!(next.expect("a message").expect("no error").status, expected);
    }
    drop(news);

    for outcome in ["success", "client_error", "cancelled"] {
        eventually(outcome, async || {
            (gateway.ended(outcome).await == 1.0).then_some(())
        })
        .await;
    }
    let labels = [
        "kind=\"server\"",
        "rpc_method=\"grpc.health.v1.Health/Check\"",
    ];
    let checks = gateway.metric("tower_keep_calls_total", &labels).await;
    assert_eq!(checks, 2.0);
}

#[tokio::test]
async fn trailers_arrive_as_they_were_sent() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let answer = Client::http2().send(grpc(&gateway.at("/checksum"))).await;
    let body = answer.into_body().collect().await.expect("a whole body");
    let trailers = body.trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    let checksums: Vec<_> = trailers.get_all("checksum").iter().collect();
    assert_eq!(checksums, ["4711", "4712"]);
}

#[tokio::test]
async fn upgraded_connection_carries_bytes_both_ways() {
    let gateway = Gateway::start(&["--load", "0"]).await;
    let request = get(
        &gateway.at("/upgrade"),
        &[("connection", "upgrade"), ("upgrade", "echo")],
    );
    let answer = Client::http1().send(request).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["upgrade"], "echo");
    let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await.expect("a switch"));
    for sent in [*b"ping", *b"pong"] {
        tunnel.write_all(&sent).await.expect("an open tunnel");
        let mut echo = [0; 4];
        let read = timeout(process::DEADLINE, tunnel.read_exact(&mut echo)).await;
        read.expect("in time").expect("an open tunnel");
        assert_eq!(echo, sent);
    }
}

// ------------------------------------------------------------------------------------------- what can go wrong

#[tokio::test]
async fn upstream_that_is_gone_is_a_502_with_the_true_cause_until_it_is_back() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let (client, address) = (Client::http1(), upstream.address);
    assert_eq!(client.get(&gateway.at("/")).await.status(), StatusCode::OK);

    upstream.kill().await;
    for _ in 0..3 {
        let answer = client.get(&gateway.at("/")).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let told = text(answer).await;
        assert!(!told.contains("refused"), "an inside matter: {told}");
    }
    let answer = Client::http2().send(grpc(&gateway.at("/demo/Call"))).await;
    assert_eq!(answer.headers()["grpc-status"], "14");
    let groups = gateway.errors().await;
    let refused = |group: &serde_json::Value| {
        let chain = group["latest"]["chain"].as_array().expect("a list");
        chain
            .iter()
            .any(|cause| cause.to_string().contains("refused"))
    };
    assert!(groups.iter().any(refused), "{groups:#?}");

    let _upstream = Upstream::start_at(address).await;
    assert_eq!(client.get(&gateway.at("/")).await.status(), StatusCode::OK);
}

/// One that was taken out of service for its upstream could not even answer 502.
#[tokio::test]
async fn readiness_does_not_depend_on_the_upstream() {
    const TOKEN: &str = "the token of a viewer";
    let upstream = Upstream::start().await;
    let url = upstream.url();
    upstream.kill().await;
    let gateway = Gateway::with_env(&["--upstream", &url], &[("OPS_VIEWER_TOKEN", TOKEN)]).await;
    let client = Client::http1();
    let health = format!("{}/ops/health", gateway.admin);
    let bearer = format!("Bearer {TOKEN}");
    eventually("unhealthy", async || {
        let answer = client
            .send(get(&health, &[("authorization", &bearer)]))
            .await;
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    assert!(gateway.is_ready().await);
}

/// Some sixty connections kept every probe out, and an orchestrator would have killed the process.
#[tokio::test]
async fn probes_get_through_beside_many_connections() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &[]).await;
    let address = gateway.admin.trim_start_matches("http://");
    let mut idle = Vec::new();
    for _ in 0..300 {
        let connecting = timeout(process::DEADLINE, async {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
            stream.write_all(request).await.expect("sent");
            stream.read_u8().await.expect("an answer");
            stream
        });
        idle.push(connecting.await.expect("in time"));
    }
    assert!(gateway.is_ready().await);
}

#[tokio::test]
async fn upstream_that_hangs_is_timed_out() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream.url(), &["--timeout", "0.2"]).await;
    let answer = Client::http1().get(&gateway.at("/hold")).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let answer = Client::http2().send(grpc(&gateway.at("/hold"))).await;
    assert_eq!(answer.headers()["grpc-status"], "4");
    for kind in ["kind=\"server\"", "kind=\"client\""] {
        let labels = [kind, "outcome=\"timed_out\""];
        let seen = gateway.metric("tower_keep_calls_total", &labels).await;
        assert_eq!(seen, 2.0, "{kind}");
    }
    let groups = gateway.errors().await;
    for group in &groups {
        assert_eq!(group["kind"], "timeout", "{groups:#?}");
    }
}

#[tokio::test]
async fn rejections_and_panics_are_answered_with_the_ids_of_the_call() {
    let gateway = Gateway::start(&["--load", "0"]).await;
    let rejected = Client::http1().get(&gateway.at("/gate")).await;
    assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.headers()["retry-after"], "1");
    id(rejected.headers());
    let panicked = Client::http1().get(&gateway.at("/panic")).await;
    assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let groups = gateway.errors().await;
    let [group] = &*groups else {
        panic!("a rejection is no error: {groups:#?}");
    };
    assert_eq!(group["kind"], "panic");
    assert_eq!(group["latest"]["request_id"], id(panicked.headers()));
    for outcome in ["rejected", "panicked"] {
        assert_eq!(gateway.ended(outcome).await, 1.0, "{outcome}");
    }
}

// ------------------------------------------------------------------------------------------------ what is told

#[tokio::test]
async fn outcomes_of_each_kind_show_within_ten_seconds_of_a_start_without_options() {
    let gateway = Gateway::start(&[]).await;
    let shown = timeout(Duration::from_secs(10), async {
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            eventually(outcome, async || {
                (gateway.ended(outcome).await > 0.0).then_some(())
            })
            .await;
        }
    });
    if shown.await.is_err() {
        panic!("{}", gateway.page("/metrics").await);
    }
    // What the upstream's routes are is known only where it is the gateway's own.
    let labels = ["http_route=\"/ok\"", "outcome=\"success\""];
    assert!(gateway.metric("tower_keep_calls_total", &labels).await > 0.0);
}

#[tokio::test]
async fn in_flight_returns_to_zero_and_paths_never_become_labels() {
    let mut upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream.url(), &[]).await;
    let mut held = Vec::new();
    for (client, _) in [clients(), clients()].concat() {
        let url = gateway.at("/hold");
        held.push(tokio::spawn(
            async move { text(client.get(&url).await).await },
        ));
        upstream.received().await;
    }
    let gauges = ["http_server_active_requests", "http_client_active_requests"];
    for gauge in gauges {
        assert_eq!(gateway.metric(gauge, &[]).await, 4.0, "{gauge}");
    }

    // One of each version is given up.
    for call in held.drain(..2) {
        call.abort();
    }
    eventually("cancelled calls", async || {
        (gateway.ended("cancelled").await == 2.0).then_some(())
    })
    .await;
    upstream.held.add_permits(2);
    for call in held {
        assert_eq!(call.await.expect("an answer"), "from upstream");
    }
    let answer = Client::http1().get(&gateway.at("/made-up-4711")).await;
    text(answer).await;
    for gauge in gauges {
        eventually(gauge, async || {
            (gateway.metric(gauge, &[]).await == 0.0).then_some(())
        })
        .await;
    }
    assert_eq!(gateway.ended("success").await, 3.0);
    assert!(!gateway.page("/metrics").await.contains("4711"));
    gateway.line(|line| line.contains("cancelled 2")).await;
    gateway.line(|line| line.contains("in-flight 0")).await;
}

// ----------------------------------------------------------------------------------------------------- the end

#[cfg(unix)]
#[tokio::test]
async fn signal_ends_the_gateway_when_calls_in_flight_are_done() {
    for signal in ["TERM", "INT"] {
        let mut upstream = Upstream::start().await;
        let gateway = Gateway::before(&upstream.url(), &["--grace", "60"]).await;
        assert!(gateway.is_ready().await);
        let url = gateway.at("/hold");
        let call = tokio::spawn(async move { text(Client::http1().get(&url).await).await });
        upstream.received().await;

        gateway.signal(signal).await;
        eventually("not ready", async || {
            (!gateway.is_ready().await).then_some(())
        })
        .await;
        upstream.held.add_permits(1);
        assert_eq!(call.await.expect("an answer"), "from upstream");
        assert_eq!(gateway.exit().await.code(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn shutdown_cuts_off_calls_after_the_grace() {
    let mut upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream.url(), &["--grace", "0.2"]).await;
    let url = gateway.at("/hold");
    let call = tokio::spawn(async move { Client::http1().get(&url).await });
    upstream.received().await;
    gateway.signal("TERM").await;
    gateway.line(|line| line.contains("cut off")).await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    call.await.expect_err("no answer");
}

// -------------------------------------------------------------------------------------------------- the helpers

fn clients() -> [(Client, Version); 2] {
    [
        (Client::http1(), Version::HTTP_11),
        (Client::http2(), Version::HTTP_2),
    ]
}

fn grpc(url: &str) -> Request<client::AnyBody> {
    let request = Request::post(url)
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(full(vec![0; 5])).expect("a request")
}

async fn data(body: &mut Incoming) -> String {
    let piece = piece(body).await.expect("a piece");
    let data = piece.into_data().expect("data");
    String::from_utf8(data.into()).expect("text")
}

fn id(headers: &HeaderMap) -> String {
    headers["x-request-id"].to_str().expect("text").to_owned()
}
