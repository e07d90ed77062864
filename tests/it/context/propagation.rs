//! Who a call belongs to: read from the request, known everywhere below, sent on, and answered.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Cx, Poll, Waker},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request as AxumRequest},
    middleware::{Next, from_fn},
    routing::get as on_get,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::sync::{Barrier, oneshot};
use tonic::transport::{Endpoint, Server, server::TcpIncoming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome,
    context::{
        CallId, Correlate, CorrelateBuilder, IdFormat, Propagate, RequestIdPolicy, TracePolicy,
        Traceparent, Trust, in_context,
    },
    observe,
};

use crate::support::{
    both_versions, get,
    guards::{Fuse, witness},
    header, http1, listen,
    meter::meter,
    serve, text, within,
};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";

fn with<'a>(
    mut request: Request<Body>,
    headers: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> Request<Body> {
    for (name, value) in headers {
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    request
}

/// What a handler is told of its call, as `name=value` lines.
fn told() -> String {
    let call = Context::current().expect("a context");
    let mut told = format!(
        "request={} correlation={} trace={} span={} sampled={}",
        call.request_id(),
        call.correlation_id(),
        call.trace_id(),
        call.span_id(),
        call.trace_flags().is_sampled(),
    );
    if let Some(parent) = call.parent_id() {
        told += &format!(" parent={parent}");
    }
    if let Some(link) = call.linked_trace() {
        told += &format!(" link={link}");
    }
    if let Some(state) = call.tracestate().and_then(|state| state.to_header_value()) {
        told += &format!(" state={}", state.to_str().expect("text"));
    }
    told
}

fn word<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    told.split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Correlates calls in a way of its own, and answers with what handlers are told.
async fn telling(correlate: CorrelateBuilder) -> SocketAddr {
    let correlate = correlate.build().expect("settings");
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(GuardLayer::server(correlate));
    serve(app).await
}

// ---- known everywhere below

#[tokio::test]
async fn context_is_current_in_inner_middleware() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = {
        let seen = seen.clone();
        move |request: AxumRequest, next: Next| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(Context::current());
                let response = next.run(request).await;
                seen.lock().unwrap().push(Context::current());
                response
            }
        }
    };
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(from_fn(see))
        .layer(observe("shop").server());
    let response = http1().request(get(serve(app).await, "/")).await.unwrap();
    let id = header(&response, "x-request-id").unwrap();
    let seen = seen.lock().unwrap();
    let ids = seen.iter().map(|seen| seen.as_ref().unwrap().request_id());
    assert_eq!(ids.collect::<Vec<_>>(), [id, id]);
}

#[tokio::test]
async fn context_reaches_spawned_task_if_handed_on() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || {
                let call = Context::current().unwrap();
                let lost = tokio::spawn(async { Context::current() }).await.unwrap();
                assert_eq!(lost, None);
                let kept = tokio::spawn(in_context(async {
                    tokio::task::yield_now().await;
                    // Another step down, by the context itself.
                    let call = Context::current().unwrap();
                    let below = call.scope(async { Context::current() });
                    tokio::spawn(below).await.unwrap()
                }));
                assert_eq!(kept.await.unwrap().as_ref(), Some(&call));
                let blocking = tokio::task::spawn_blocking(move || call.run(told));
                assert_eq!(blocking.await.unwrap(), told());
                told()
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn context_is_separate_for_interleaved_calls() {
    const CALLS: usize = 8;
    let all_here = Arc::new(Barrier::new(CALLS));
    let app = Router::new()
        .route(
            "/",
            on_get(move || {
                let all_here = all_here.clone();
                async move {
                    let before = told();
                    all_here.wait().await;
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                        assert_eq!(told(), before);
                    }
                    before
                }
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let calls = (0..CALLS).map(|n| {
            let id = format!("call-{n}");
            let request = with(get(address, "/"), [("x-correlation-id", &*id)]);
            let answer = client.request(request);
            tokio::spawn(async move {
                let told = text(answer.await.unwrap()).await;
                assert_eq!(word(&told, "correlation"), Some(&*id));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            within(call).await.unwrap();
        }
        assert_eq!(Context::current(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn context_moves_with_call_across_threads() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || {
                let before = told();
                for _ in 0..20 {
                    tokio::spawn(in_context(tokio::task::yield_now()))
                        .await
                        .unwrap();
                    assert_eq!(told(), before);
                }
                before
            }),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        let calls = (0..50).map(|n| {
            let id = format!("call-{n}");
            let request = with(get(address, "/"), [("x-correlation-id", &*id)]);
            let answer = client.request(request);
            tokio::spawn(async move {
                let told = text(answer.await.unwrap()).await;
                assert_eq!(word(&told, "correlation"), Some(&*id));
                assert_eq!(Context::current(), None);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            within(call).await.unwrap();
        }
    }
}

#[tokio::test]
async fn context_is_current_in_body_poll_and_drop() {
    struct Stream(Option<oneshot::Sender<Option<Context>>>, u32);
    impl tokio_stream::Stream for Stream {
        type Item = Result<String, Infallible>;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Cx<'_>) -> Poll<Option<Self::Item>> {
            self.1 += 1;
            match self.1 {
                1 => Poll::Ready(Some(Ok(told()))),
                _ => Poll::Pending,
            }
        }
    }
    impl Drop for Stream {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(Context::current());
        }
    }

    let (sender, dropped) = oneshot::channel();
    let stream = Arc::new(Mutex::new(Some(Stream(Some(sender), 0))));
    let app = Router::new()
        .route(
            "/",
            on_get(move || {
                let stream = stream.lock().unwrap().take().unwrap();
                async { Body::from_stream(stream) }
            }),
        )
        .layer(observe("shop").server());
    let request = with(get(serve(app).await, "/"), [("x-correlation-id", "mine")]);
    let mut body = http1().request(request).await.unwrap().into_body();
    let frame = within(http_body_util::BodyExt::frame(&mut body))
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    assert_eq!(word(&told, "correlation"), Some("mine"));
    drop(body);
    let seen = within(dropped).await.unwrap().unwrap();
    assert_eq!(seen.correlation_id(), "mine");
}

// ---- answered

#[tokio::test]
async fn response_echoes_request_and_correlation_id() {
    let address = telling(Correlate::builder()).await;
    for (_, client) in both_versions() {
        // None came: one is made for both, and said once.
        let response = client.request(get(address, "/")).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap().to_owned();
        assert_eq!(header(&response, "x-correlation-id"), None);
        assert_eq!(header(&response, "traceparent"), None);
        assert_eq!(word(&text(response).await, "request"), Some(&*request_id));
        // Good ones stay what they are.
        let ids = [("x-request-id", "hop-2"), ("x-correlation-id", "journey")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_eq!(header(&response, "x-request-id"), Some("hop-2"));
        assert_eq!(header(&response, "x-correlation-id"), Some("journey"));
        // One of them is enough.
        let ids = [("x-request-id", "hop-3")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_eq!(header(&response, "x-request-id"), Some("hop-3"));
        assert_eq!(header(&response, "x-correlation-id"), None);
        assert_eq!(word(&text(response).await, "correlation"), Some("hop-3"));
        let ids = [("x-correlation-id", "journey")];
        let response = client.request(with(get(address, "/"), ids)).await.unwrap();
        assert_ne!(header(&response, "x-request-id"), Some("journey"));
    }
}

#[tokio::test]
async fn response_echoes_ids_on_rejection_and_panic() {
    let app = Router::new()
        .route("/panics", on_get(async || -> () { panic!("no") }))
        .route("/fails", on_get(async || StatusCode::BAD_GATEWAY))
        .route(
            "/rejected",
            on_get(async || ()).layer(GuardLayer::server(Fuse::blown())),
        )
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (_, client) in both_versions() {
        for (path, status) in [
            ("/panics", 500),
            ("/fails", 502),
            ("/rejected", 503),
            ("/x", 404),
        ] {
            let request = with(get(address, path), [("x-correlation-id", "mine")]);
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(
                header(&response, "x-correlation-id"),
                Some("mine"),
                "{path}"
            );
            assert!(response.headers().contains_key("x-request-id"), "{path}");
        }
    }
}

#[tokio::test]
async fn response_ids_override_those_of_handler() {
    let app = Router::new()
        .route(
            "/",
            on_get(async || ([("x-request-id", "forged"), ("x-other", "kept")], "")),
        )
        .layer(observe("shop").server());
    let request = with(get(serve(app).await, "/"), [("x-request-id", "mine")]);
    let response = http1().request(request).await.unwrap();
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids, ["mine"]);
    assert_eq!(header(&response, "x-other"), Some("kept"));
}

#[tokio::test]
async fn response_echo_is_configurable() {
    let asks = |head: &tower_keep::context::RequestHead<'_>| head.headers.contains_key("x-debug");
    let address = telling(Correlate::builder().echo(false).respond_traceparent(asks)).await;
    let response = http1().request(get(address, "/")).await.unwrap();
    assert_eq!(response.headers().get("x-request-id"), None);
    assert_eq!(response.headers().get("traceparent"), None);

    let request = with(
        get(address, "/"),
        [("x-debug", "1"), ("traceparent", TRACEPARENT)],
    );
    let response = http1().request(request).await.unwrap();
    let answered = header(&response, "traceparent").unwrap().to_owned();
    let told = text(response).await;
    let answered = Traceparent::parse(answered.as_bytes()).unwrap();
    assert_eq!(answered.trace_id.to_string(), TRACE_ID);
    assert_eq!(word(&told, "span"), Some(&*answered.parent_id.to_string()));
}

// ---- read from the request

#[tokio::test]
async fn trust_is_always_never_or_by_predicate() {
    let ids = [
        ("x-request-id", "theirs"),
        ("x-correlation-id", "theirs-too"),
    ];
    let internal = |head: &tower_keep::context::RequestHead<'_>| {
        head.uri.path() == "/" && head.headers.contains_key("x-internal")
    };
    let panics = |_: &tower_keep::context::RequestHead<'_>| panic!("who is it?");
    for (trust, request, believed) in [
        (Trust::always(), vec![], true),
        (Trust::never(), vec![], false),
        (Trust::when(internal), vec![], false),
        (Trust::when(internal), vec![("x-internal", "1")], true),
        (Trust::when(panics), vec![("x-internal", "1")], false),
    ] {
        let address = telling(Correlate::builder().trust(trust)).await;
        let request = with(with(get(address, "/"), ids), request);
        let response = http1().request(request).await.unwrap();
        let echoed = journey(response.headers()).unwrap().to_owned();
        assert_eq!(echoed == "theirs-too", believed);
        let told = text(response).await;
        assert_eq!(word(&told, "request") == Some("theirs"), believed);
        assert_eq!(word(&told, "correlation"), Some(&*echoed));
    }
}

#[tokio::test]
async fn trust_is_required_for_baggage() {
    for (trust, read) in [(Trust::always(), true), (Trust::never(), false)] {
        let correlate = Correlate::builder().trust(trust).build().unwrap();
        let carried = service_fn(|_: Request<()>| async {
            let baggage = Context::current().is_some_and(|context| context.baggage().is_some());
            Ok::<_, Infallible>(Response::new(Body::from(baggage.to_string())))
        });
        let layer = GuardLayer::server(correlate);
        let service = tower::Layer::layer(&layer, carried);
        let request = Request::builder().header("baggage", "tenant=7");
        let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
        let told = http_body_util::BodyExt::collect(response.into_body()).await;
        assert_eq!(told.unwrap().to_bytes(), read.to_string());
    }
}

#[tokio::test]
async fn trust_by_peer_address() {
    let believed = Arc::new(Mutex::new(None));
    let who = believed.clone();
    let trust = Trust::when(move |head| {
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map(|peer| peer.0) == *who.lock().unwrap()
    });
    let correlate = Correlate::builder().trust(trust).build().unwrap();
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(GuardLayer::server(correlate));
    let (listener, address) = listen().await;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    *believed.lock().unwrap() = Some(stream.local_addr().unwrap());
    let (mut known, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = || with(get(address, "/"), [("x-request-id", "theirs")]);
    let response = known.send_request(request()).await.unwrap();
    assert_eq!(header(&response, "x-request-id"), Some("theirs"));
    let response = http1().request(request()).await.unwrap();
    assert_ne!(header(&response, "x-request-id"), Some("theirs"));
}

#[tokio::test]
async fn correlation_accepts_several_headers() {
    let address = telling(
        Correlate::builder()
            .request_id_headers(["X-Trace", "x-amzn-trace-id", "x-request-id"])
            .correlation_id_headers(["x-journey"])
            .id_format(IdFormat::UuidV7),
    )
    .await;
    for (sent, request_id) in [
        (vec![("x-request-id", "third")], "third"),
        (
            vec![("x-request-id", "third"), ("x-amzn-trace-id", "Root=1-67")],
            "Root=1-67",
        ),
        (
            vec![("x-trace", "no good"), ("x-request-id", "third")],
            "third",
        ),
    ] {
        let response = http1()
            .request(with(get(address, "/"), sent))
            .await
            .unwrap();
        assert_eq!(header(&response, "x-trace"), Some(request_id));
        assert_eq!(header(&response, "x-journey"), None);
        assert_eq!(header(&response, "x-request-id"), None);
    }
    let journey = [("x-journey", "mine")];
    let request = with(get(address, "/"), journey);
    let response = http1().request(request).await.unwrap();
    assert_eq!(header(&response, "x-journey"), Some("mine"));
    let response = http1().request(get(address, "/")).await.unwrap();
    let made = header(&response, "x-trace").unwrap();
    assert_eq!(made.len(), 36, "a UUID: {made}");
}

#[tokio::test]
async fn malformed_ids_are_replaced_and_counted() {
    let meter = meter();
    let address = telling(Correlate::builder()).await;
    let long = "x".repeat(129);
    let ids = ["", "a b", "x level=error", &long, "a,b"];
    for (_, client) in both_versions() {
        for id in ids {
            let request = with(get(address, "/"), [("x-correlation-id", id)]);
            let response = client.request(request).await.unwrap();
            let request_id = header(&response, "x-request-id");
            assert_eq!(journey(response.headers()), request_id, "{id:?}");
        }
        let mut request = get(address, "/");
        let odd = HeaderValue::from_bytes(b"caf\xe9").unwrap();
        request.headers_mut().insert("x-request-id", odd);
        let response = client.request(request).await.unwrap();
        assert!(CallId::parse(&response.headers()["x-request-id"]).is_some());
    }
    let malformed = "tower_keep_malformed_headers_total";
    assert_eq!(meter.sum(malformed, &[("header", "id")]), Some(12.0));
    assert_eq!(meter.series(malformed).len(), 1);

    let broken = [
        ("traceparent", "00-not-a-trace"),
        ("tracestate", "a=1"),
        ("baggage", "no equals sign, a=1"),
    ];
    http1()
        .request(with(get(address, "/"), broken))
        .await
        .unwrap();
    let broken = [("traceparent", TRACEPARENT), ("tracestate", "no members")];
    http1()
        .request(with(get(address, "/"), broken))
        .await
        .unwrap();
    for header in ["traceparent", "tracestate", "baggage"] {
        assert_eq!(
            meter.sum(malformed, &[("header", header)]),
            Some(1.0),
            "{header}"
        );
    }
}

/// Without any connection: what a server would let through is more than any client sends.
fn answered(headers: HeaderMap) -> (HeaderMap, Context) {
    let seen = Arc::new(Mutex::new(None));
    let see = seen.clone();
    let mut service = ServiceBuilder::new()
        .layer(GuardLayer::server(Correlate::default()))
        .service(service_fn(move |_: Request<()>| {
            *see.lock().unwrap() = Context::current();
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        }));
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    let future = std::pin::pin!(service.call(request));
    let Poll::Ready(Ok(response)) = future.poll(&mut Cx::from_waker(Waker::noop())) else {
        panic!("not ready at once")
    };
    let seen = seen.lock().unwrap().take();
    (response.headers().clone(), seen.expect("a context"))
}

fn any_header_value() -> impl Strategy<Value = HeaderValue> {
    let plain = "[A-Za-z0-9._~+/=:@-]{0,140}";
    let text = plain.prop_map(|text| HeaderValue::from_str(&text).unwrap());
    let bytes = prop::collection::vec(any::<u8>(), 0..300)
        .prop_filter_map("no header", |bytes| HeaderValue::from_bytes(&bytes).ok());
    prop_oneof![text, bytes]
}

proptest! {
    #[test]
    fn correlation_ids_sent_on_are_always_valid(
        request_ids in prop::collection::vec(any_header_value(), 0..3),
        correlation_ids in prop::collection::vec(any_header_value(), 0..3),
        traceparent in any_header_value(),
        tracestate in any_header_value(),
        baggage in any_header_value(),
    ) {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &HeaderValue| {
            headers.append(HeaderName::from_static(name), value.clone());
        };
        request_ids.iter().for_each(|value| add("x-request-id", value));
        correlation_ids.iter().for_each(|value| add("x-correlation-id", value));
        add("traceparent", &traceparent);
        add("tracestate", &tracestate);
        add("baggage", &baggage);

        let (echoed, call) = answered(headers);
        let id = CallId::parse(&echoed["x-request-id"]).unwrap();
        prop_assert_eq!(id.as_str(), call.request_id());
        let correlation = echoed.get("x-correlation-id").unwrap_or(&echoed["x-request-id"]);
        let correlation = CallId::parse(correlation).unwrap();
        prop_assert_eq!(correlation.as_str(), call.correlation_id());
        // The first header is the one that counts: believed if it is good, replaced if not.
        match request_ids.first().map(CallId::parse) {
            Some(Some(first)) => prop_assert_eq!(id, first),
            _ => prop_assert_eq!(id.as_str().len(), 32),
        }
        if let Some(first) = correlation_ids.first().and_then(CallId::parse) {
            prop_assert_eq!(correlation, first);
        }
    }
}

// ---- traces

#[tokio::test]
async fn traceparent_continues_as_edge_configures() {
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let told_by = async |edge, sampled, traceparent: &str| {
        let correlate = Correlate::builder()
            .trace_policy(edge)
            .sample_new_traces(sampled);
        let headers = [("traceparent", traceparent), ("tracestate", "vendor=1")];
        let request = with(get(telling(correlate).await, "/"), headers);
        text(http1().request(request).await.unwrap()).await
    };

    for (edge, sampled, traceparent, is_sampled) in [
        (TracePolicy::Continue, false, TRACEPARENT, "true"),
        (TracePolicy::Continue, true, unsampled, "false"),
        (TracePolicy::Resample, false, TRACEPARENT, "false"),
        (TracePolicy::Resample, true, unsampled, "true"),
    ] {
        let told = told_by(edge, sampled, traceparent).await;
        assert_eq!(word(&told, "trace"), Some(TRACE_ID), "{edge:?}");
        assert_eq!(word(&told, "parent"), Some(PARENT_ID), "{edge:?}");
        assert_eq!(word(&told, "state"), Some("vendor=1"), "{edge:?}");
        assert_eq!(word(&told, "sampled"), Some(is_sampled), "{edge:?}");
        assert_eq!(word(&told, "link"), None, "{edge:?}");
        assert_ne!(word(&told, "span"), Some(PARENT_ID), "a span of its own");
    }

    for edge in [TracePolicy::Restart, TracePolicy::Ignore] {
        let told = told_by(edge, false, TRACEPARENT).await;
        assert_ne!(word(&told, "trace"), Some(TRACE_ID), "{edge:?}");
        assert_eq!(word(&told, "parent"), None, "{edge:?}");
        assert_eq!(word(&told, "state"), None, "{edge:?}");
        assert_eq!(word(&told, "sampled"), Some("false"), "{edge:?}");
        let linked = (edge == TracePolicy::Restart).then_some(TRACEPARENT);
        assert_eq!(word(&told, "link"), linked, "{edge:?}");
    }
}

#[tokio::test]
async fn correlate_keeps_existing_context() {
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(observe("inner").server())
        .layer(observe("outer").server());
    let request = with(get(serve(app).await, "/"), [("traceparent", TRACEPARENT)]);
    let response = http1().request(request).await.unwrap();
    let id = header(&response, "x-request-id").unwrap().to_owned();
    assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
    let told = text(response).await;
    assert_eq!(word(&told, "request"), Some(&*id));
    assert_eq!(word(&told, "parent"), Some(PARENT_ID));
}

// ---- sent on

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

fn sent<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().expect("text"))
}

/// The ID of the journey, which is the request ID where nothing else is said.
fn journey(headers: &HeaderMap) -> Option<&str> {
    sent(headers, "x-correlation-id").or(sent(headers, "x-request-id"))
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

// ---- settings

#[test]
fn invalid_context_settings_are_named() {
    let error = Correlate::builder()
        .request_id_headers(["x request id"])
        .build();
    let error = error.unwrap_err();
    assert_eq!(error.field(), "request_id_headers");
    assert!(
        error
            .to_string()
            .starts_with(r#"correlation: request_id_headers is "x request id", must be"#)
    );
    let none: [&str; 0] = [];
    let error = Correlate::builder()
        .correlation_id_headers(none)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "correlation: correlation_id_headers is 0 names, must be 1 to 8 header names"
    );
    for name in ["authorization", "cookie", "host", ""] {
        assert!(
            Correlate::builder()
                .request_id_headers([name])
                .build()
                .is_err()
        );
        assert!(
            Propagate::builder()
                .request_id_header(name)
                .build()
                .is_err()
        );
        assert!(
            Propagate::builder()
                .correlation_id_header(name)
                .build()
                .is_err()
        );
    }
}
