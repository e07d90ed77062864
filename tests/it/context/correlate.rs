//! IDs, baggage and traces that are read from requests, and whom they are believed.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::ConnectInfo, routing::get as on_get};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tower::{ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer,
    context::{CallId, Correlate, IdFormat, TracePolicy, Trust},
    observe,
};

use super::{TRACE_ID, TRACEPARENT, answered, journey, telling, told, with, word};
use crate::support::{both_versions, get, header, http1, listen, local, meter::meter, serve, text};

const PARENT_ID: &str = "b7ad6b7169203331";

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
async fn trust_networks_keeps_ids_of_their_peers() {
    let trust = Trust::networks(["10.0.0.0/8", "fd00::/8"]).unwrap();
    let correlate = Correlate::builder().trust(trust);
    // A trusted peer's trace is continued.
    let correlate = correlate.trace_policy(TracePolicy::Ignore).build().unwrap();
    let app = Router::new()
        .route("/", on_get(async || told()))
        .layer(GuardLayer::server(correlate));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (peer, is_trusted) in [
        (Some("10.1.2.3:80"), true),
        (Some("[::ffff:10.1.2.3]:80"), true),
        (Some("[fd12::1]:80"), true),
        (Some("11.0.0.1:80"), false),
        (Some("[fe80::1]:80"), false),
        (None, false),
    ] {
        let headers = [
            ("x-request-id", "theirs"),
            ("x-forwarded-for", "10.0.0.1"),
            ("traceparent", trace),
        ];
        let mut request = with(local("/"), headers);
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let response = app.clone().oneshot(request).await.unwrap();
        let id = header(&response, "x-request-id");
        assert_eq!(id == Some("theirs"), is_trusted, "{peer:?}");
        let told = text(response).await;
        assert_eq!(told.contains(&trace[3..35]), is_trusted, "{peer:?} {told}");
    }
    let error = Trust::networks(["10.0.0.0/33"]).unwrap_err();
    assert_eq!(error.field(), "networks");
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
