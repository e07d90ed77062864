//! The context that is sent on with outgoing requests.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, routing::get as on_get};
use http::{HeaderMap, Request, Response, StatusCode};
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome,
    context::{Correlate, Propagate, RequestIdPolicy, Traceparent},
    observe,
};

use super::{TRACEPARENT, journey, sent, told, with, word};
use crate::support::{both_versions, get, guards::witness, http1, listen, serve, text};

/// Answers with the headers that came, by `name=value` lines, and fails as often as it is told to.
async fn parrot(failures: usize) -> (SocketAddr, Arc<Mutex<Vec<HeaderMap>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let left = Arc::new(AtomicUsize::new(failures));
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        hear.lock().unwrap().push(headers);
        let failed = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        match failed {
            Ok(_) => StatusCode::SERVICE_UNAVAILABLE,
            Err(_) => StatusCode::OK,
        }
    });
    (serve(app).await, heard)
}

#[tokio::test]
async fn propagate_sends_context_of_current_call() {
    let (address, heard) = parrot(0).await;
    for (_, client) in both_versions() {
        let client = ServiceBuilder::new()
            .layer(observe("parrot").client())
            .service(client);
        let call = Context::new_root();
        // What a caller left in the request is stale, and replaced.
        let stale = [
            ("x-correlation-id", "stale"),
            ("traceparent", TRACEPARENT),
            ("tracestate", "a=1"),
        ];
        let request = with(get(address, "/"), stale);
        call.scope(client.oneshot(request)).await.unwrap();

        let headers = heard.lock().unwrap().pop().unwrap();
        assert_eq!(sent(&headers, "x-correlation-id"), None);
        assert_eq!(sent(&headers, "x-request-id"), Some(call.request_id()));
        let traceparent = sent(&headers, "traceparent").unwrap();
        let traceparent = Traceparent::parse(traceparent.as_bytes()).unwrap();
        assert_eq!(traceparent.trace_id, call.trace_id());
        assert_ne!(traceparent.parent_id, call.span_id(), "a span of its own");
        assert_eq!(sent(&headers, "tracestate"), None);
    }
}

#[tokio::test]
async fn propagate_without_context_begins_one() {
    let (address, heard) = parrot(0).await;
    let client = ServiceBuilder::new()
        .layer(observe("parrot").client())
        .service(http1());
    for _ in 0..2 {
        client.clone().oneshot(get(address, "/")).await.unwrap();
    }
    let heard = heard.lock().unwrap();
    assert_ne!(journey(&heard[0]), journey(&heard[1]));
    assert!(sent(&heard[0], "traceparent").is_some());
}

#[tokio::test]
async fn propagate_prefers_context_in_extensions() {
    let (address, heard) = parrot(0).await;
    let client = ServiceBuilder::new()
        .layer(observe("parrot").client())
        .service(http1());
    let (given, current) = (Context::new_root(), Context::new_root());
    let mut request = get(address, "/");
    request.extensions_mut().insert(given.clone());
    current.scope(client.oneshot(request)).await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(journey(&heard[0]), Some(given.correlation_id()));
}

/// Each hop has a request ID of its own.
fn own_ids() -> Propagate {
    let propagate = Propagate::builder()
        .request_id_policy(RequestIdPolicy::Generate)
        .build();
    propagate.expect("sound settings")
}

#[tokio::test]
async fn propagate_gives_each_attempt_a_span_id() {
    for (_, client) in both_versions() {
        let (witness, mut ends) = witness();
        let (address, heard) = parrot(2).await;
        let attempts = ServiceBuilder::new()
            .layer(GuardLayer::client((witness, own_ids())))
            .service(client);
        let call = Context::new_root();
        let persist = async {
            loop {
                let attempt = attempts.clone().oneshot(get(address, "/"));
                let response = attempt.await.unwrap();
                if response.status() == 200 {
                    return text(response).await;
                }
            }
        };
        call.scope(persist).await;

        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert_eq!(heard.len(), 3);
        let mut spans: Vec<_> = heard
            .iter()
            .map(|headers| {
                assert_eq!(
                    sent(headers, "x-correlation-id"),
                    Some(call.correlation_id())
                );
                let traceparent = sent(headers, "traceparent").unwrap();
                let traceparent = Traceparent::parse(traceparent.as_bytes()).unwrap();
                assert_eq!(traceparent.trace_id, call.trace_id());
                (
                    traceparent.parent_id.to_string(),
                    sent(headers, "x-request-id").unwrap(),
                )
            })
            .collect();
        spans.sort_unstable();
        spans.dedup_by(|one, other| one.0 == other.0 || one.1 == other.1);
        assert_eq!(spans.len(), 3);
        for outcome in [Outcome::Overload, Outcome::Overload, Outcome::Success] {
            assert_eq!(ends.next_outcome().await, outcome);
        }
    }
}

/// A gateway that calls the address through the client, and answers with what it is told of its own call.
async fn relay<S, B>(client: S, to: SocketAddr) -> SocketAddr
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: std::fmt::Debug,
    B: Send,
{
    let handler = move || async move {
        client.oneshot(get(to, "/")).await.unwrap();
        told()
    };
    let app = Router::new().route("/", on_get(handler));
    serve(app.layer(GuardLayer::server(Correlate::default()))).await
}

/// A gateway that passes requests on as they came has the context of its own call in their extensions: each attempt
/// was a child of that, and the logical call round the attempts had none.
#[tokio::test]
async fn propagate_attempt_is_child_of_logical_call() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = |seen: &Arc<Mutex<Vec<_>>>| {
        let seen = seen.clone();
        move || {
            seen.lock()
                .unwrap()
                .push(Context::current().expect("a context"))
        }
    };
    let (logical, attempt) = (see(&seen), see(&seen));
    let client = ServiceBuilder::new()
        .layer(GuardLayer::client(Propagate::default()))
        .map_request(move |request: Request<Body>| {
            logical();
            request
        })
        .layer(GuardLayer::client(Propagate::default()))
        .service(service_fn(move |_: Request<Body>| {
            attempt();
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        }));

    let call = Context::new_root();
    let by_extension = {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(call.clone());
        request
    };
    for request in [Request::new(Body::empty()), by_extension] {
        call.scope(client.clone().oneshot(request)).await.unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let [logical, attempt] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(logical.parent_id(), Some(call.span_id()));
        assert_eq!(attempt.parent_id(), Some(logical.span_id()));
        assert_eq!(attempt.correlation_id(), call.correlation_id());
    }
}

#[tokio::test]
async fn propagate_headers_are_configurable() {
    let (address, heard) = parrot(0).await;
    let propagate = Propagate::builder()
        .request_id_header("x-hop")
        .correlation_id_header("x-journey")
        .request_id_policy(RequestIdPolicy::Generate)
        .baggage(true)
        .build()
        .unwrap();
    let client = ServiceBuilder::new()
        .layer(observe("parrot").propagate(propagate).client())
        .service(http1());
    let gateway = relay(client, address).await;
    let headers = [
        ("baggage", "tenant=acme, plan=free"),
        ("traceparent", TRACEPARENT),
        ("tracestate", "vendor=1"),
    ];
    let response = http1()
        .request(with(get(gateway, "/"), headers))
        .await
        .unwrap();
    let told = text(response).await;

    let first = heard.lock().unwrap().pop().unwrap();
    assert_ne!(sent(&first, "x-hop"), word(&told, "request"));
    assert_eq!(sent(&first, "x-journey"), word(&told, "correlation"));
    assert_eq!(sent(&first, "x-request-id"), None);
    assert_eq!(sent(&first, "baggage"), Some("tenant=acme, plan=free"));
    assert_eq!(sent(&first, "tracestate"), Some("vendor=1"));

    // Left alone, baggage stays at home: third parties are called with it, too.
    let client = ServiceBuilder::new()
        .layer(observe("parrot").client())
        .service(http1());
    let gateway = relay(client, address).await;
    http1()
        .request(with(get(gateway, "/"), headers))
        .await
        .unwrap();
    let second = heard.lock().unwrap().pop().unwrap();
    assert_eq!(sent(&second, "baggage"), None);
    assert_eq!(sent(&second, "tracestate"), Some("vendor=1"));
}

/// A gRPC service that answers with the context it finds, in the metadata of a status.
struct Telling;

#[tonic::async_trait]
impl Health for Telling {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        let extension = request.extensions().get::<Context>().cloned();
        assert_eq!(extension, Context::current());
        Err(tonic::Status::not_found(told()))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, tonic::Status>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::not_found(told()))
    }
}

#[tokio::test]
async fn propagate_reaches_tonic_service() {
    let (listener, address) = listen().await;
    let echoes = Correlate::builder().echo_grpc(true).build();
    let observe_and_echo = observe("health").correlate(echoes.expect("sound settings"));
    let server = Server::builder()
        .layer(observe_and_echo.server())
        .add_service(HealthServer::new(Telling));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let service = ServiceBuilder::new()
        .layer(observe("health").grpc_client())
        .service(channel);
    let mut client = HealthClient::new(service);

    let call = Context::new_root();
    let mut spans = Vec::new();
    for _ in 0..2 {
        let request = HealthCheckRequest::default();
        let status = call.scope(client.check(request)).await.unwrap_err();
        let told = status.message();
        assert_eq!(word(told, "correlation"), Some(call.correlation_id()));
        assert_eq!(word(told, "trace"), Some(&*call.trace_id().to_string()));
        let echoed = status
            .metadata()
            .get("x-request-id")
            .unwrap()
            .to_str()
            .unwrap();
        assert_eq!(word(told, "request"), Some(echoed));
        spans.push(word(told, "parent").unwrap().to_owned());
    }
    assert_ne!(spans[0], spans[1], "a span for each attempt");
    assert!(!spans.contains(&call.span_id().to_string()));
    let status = call
        .scope(client.watch(HealthCheckRequest::default()))
        .await;
    assert_eq!(
        word(status.unwrap_err().message(), "correlation"),
        Some(call.correlation_id())
    );
}
