//! The access log: one line per call, at the level of its outcome, without secrets.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, routing::get as on_get};
use http::{
    Request, Response,
    header::{HeaderName, HeaderValue},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    Context, GuardLayer, Outcome, context::TrustedProxies, observe, track::TrackBuilder,
};
use tracing::Level;

use super::{guarded, shop, track};
use crate::support::{
    both_versions,
    callsites::ask_all_subscribers,
    get, header, http1, listen, local,
    logs::{Event, logs},
    meter::meter,
    serve, text,
};

#[tokio::test]
async fn access_log_has_one_line_per_call() {
    let logs = logs();
    let address = serve(guarded(track())).await;
    for (version, client) in both_versions() {
        let mut request = get(address, "/orders/7?token=secret");
        let id = HeaderValue::from_static("mine");
        request.headers_mut().insert("x-correlation-id", id);
        let response = client.request(request).await.unwrap();
        let request_id = header(&response, "x-request-id").unwrap().to_owned();
        text(response).await;
        let line = logs.only_call();
        logs.clear();
        let expected = [
            ("service", "shop"),
            ("kind", "server"),
            ("method", "GET"),
            ("path", "/orders/7"),
            ("route", "/orders/{id}"),
            ("version", version),
            ("status", "200"),
            ("outcome", "success"),
            ("response_bytes", "7"),
            ("correlation_id", "mine"),
            ("request_id", &request_id),
            ("message", "call"),
        ];
        for (field, value) in expected {
            assert_eq!(line.get(field), value, "{field} over {version}");
        }
        assert_eq!(line.level, Level::INFO);
        for field in ["trace_id", "span_id", "duration_ms", "time_to_head_ms"] {
            assert_ne!(line.get(field), "", "{field}");
        }
        for field in [
            "error",
            "slow",
            "headers",
            "poll_time_ms",
            "request_bytes",
            "grpc_code",
        ] {
            assert_eq!(line.get(field), "", "{field}");
        }
        assert!(!format!("{line:?}").contains("secret"), "{line:#?}");
    }
}

#[tokio::test]
async fn access_log_level_follows_outcome() {
    let logs = logs();
    let app = guarded(track());
    for (path, level) in [
        ("/orders/7", Level::INFO),
        ("/nowhere", Level::INFO),
        ("/status/503", Level::WARN),
        ("/status/429", Level::WARN),
        ("/status/500", Level::ERROR),
        ("/status/504", Level::ERROR),
        ("/panics", Level::ERROR),
    ] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
        assert_eq!(logs.only_call().level, level, "{path}");
        logs.clear();
    }
}

fn paths(lines: &[Event]) -> Vec<&str> {
    lines.iter().map(|line| line.get("path")).collect()
}

#[tokio::test]
async fn access_log_skipped_returns_on_failure_or_slow() {
    for track in [
        track().sample(0.0),
        track().skip_log(|head| head.uri.path() != "/nothing"),
    ] {
        let logs = logs();
        let slow = (Duration::from_nanos(1), Duration::from_secs(60));
        let app = guarded(track.slow_route("/livez", slow.0, slow.1));
        let paths_sent = [
            "/orders/7",
            "/status/404",
            "/status/500",
            "/panics",
            "/livez",
        ];
        for path in paths_sent {
            text(app.clone().oneshot(local(path)).await.unwrap()).await;
        }
        assert_eq!(paths(&logs.calls()), ["/status/500", "/panics", "/livez"]);
        assert_eq!(logs.calls()[2].get("slow"), "warning");
    }
}

#[tokio::test]
async fn access_log_keeps_notable_calls_despite_sampling() {
    for track in [track().sample(0.0), track().skip_log(|_| true)] {
        let logs = logs();
        // A classifier may call anything the caller's own fault.
        let forgiving = |track: TrackBuilder| {
            let layer = observe(track.build().expect("a tracker"));
            shop().layer(layer.server().classify(|_| Outcome::ClientError))
        };
        for (app, path) in [
            (guarded(track.clone()), "/status/429"),
            (guarded(track.clone()), "/status/503"),
            (forgiving(track.clone()), "/status/500"),
            (guarded(track.clone()), "/status/404"),
            (guarded(track.clone()), "/livez"),
        ] {
            text(app.oneshot(local(path)).await.unwrap()).await;
        }
        let breaker = tower_keep::CircuitBreaker::builder("shop").build();
        let breaker = breaker.expect("sound settings");
        breaker.force_open();
        let guards = (track.build().expect("a tracker"), breaker);
        let rejected = shop().layer(GuardLayer::server(guards));
        text(rejected.oneshot(local("/rejected")).await.unwrap()).await;
        let expected = ["/status/429", "/status/503", "/status/500", "/rejected"];
        assert_eq!(paths(&logs.calls()), expected);
    }
}

#[tokio::test]
async fn access_log_samples_by_correlation_id() {
    let logs = logs();
    let hops = [guarded(track().sample(0.5)), guarded(track().sample(0.5))];
    for n in 0..100 {
        for hop in &hops {
            let mut request = local("/livez");
            let id = HeaderValue::try_from(format!("journey-{n}")).expect("an ID");
            request.headers_mut().insert("x-correlation-id", id);
            text(hop.clone().oneshot(request).await.unwrap()).await;
        }
    }
    let lines = logs.calls();
    let ids: Vec<_> = lines
        .iter()
        .map(|line| line.get("correlation_id"))
        .collect();
    assert!((40..160).contains(&ids.len()), "{}", ids.len());
    let (pairs, rest) = ids.as_chunks::<2>();
    assert!(rest.is_empty() && pairs.iter().all(|[one, other]| one == other));
}

#[tokio::test]
async fn access_log_and_span_omit_private_path() {
    let logs = logs();
    let app = guarded(track().log_path(false));
    text(app.oneshot(local("/orders/7")).await.unwrap()).await;
    let line = logs.only_call();
    assert_eq!(line.get("route"), "/orders/{id}");
    assert!(!format!("{line:?}").contains("/orders/7"), "{line:?}");
}

#[tokio::test]
async fn first_event_reaches_every_filtered_layer() {
    use tracing_subscriber::{
        EnvFilter, Layer as _, filter::LevelFilter, fmt, layer::SubscriberExt, registry,
    };

    let (mine, all) = (Written::default(), Written::default());
    let (to_mine, to_all) = (mine.clone(), all.clone());
    // The console shows the application, the exporter everything: they disagree about the access log.
    let console = fmt::layer().with_writer(move || to_mine.clone());
    let exporter = fmt::layer().with_writer(move || to_all.clone());
    let subscriber = registry()
        .with(console.with_filter(EnvFilter::new("it=info")))
        .with(exporter.with_filter(LevelFilter::INFO));
    ask_all_subscribers();
    let _default = tracing::subscriber::set_default(subscriber);
    let handler = async || {
        tracing::error!("the first");
        tracing::info!("the second");
        "an answer"
    };
    let router = Router::new().route("/", on_get(handler));
    let layer = observe(track().build().expect("a tracker"));
    let app = router.layer(layer.server());
    for _ in 0..3 {
        text(app.clone().oneshot(local("/")).await.unwrap()).await;
    }
    for written in [&mine, &all] {
        let text = String::from_utf8(written.0.lock().expect("no panic").clone());
        let text = text.expect("text");
        let count = |what: &str| text.matches(what).count();
        assert_eq!((count("the first"), count("the second")), (3, 3), "{text}");
    }
}

/// The bytes that a layer has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn access_log_skip_omits_named_calls_only() {
    let (meter, logs) = (meter(), logs());
    let app = guarded(track().skip_log(|head| head.uri.path() == "/livez"));
    for path in ["/livez", "/orders/7", "/livez"] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
    }
    assert_eq!(paths(&logs.calls()), ["/orders/7"]);
    assert_eq!(
        meter.calls(&[("http_route", "/livez")]),
        2.0,
        "counted all the same"
    );
}

#[tokio::test]
async fn access_log_sample_is_a_share_of_successes() {
    let logs = logs();
    let app = guarded(track().sample(0.5));
    for _ in 0..400 {
        text(app.clone().oneshot(local("/livez")).await.unwrap()).await;
    }
    let lines = logs.calls().len();
    // Ten standard deviations to either side.
    assert!((100..300).contains(&lines), "{lines}");
}

#[tokio::test]
async fn access_log_has_fields_of_application() {
    let logs = logs();
    let track = track().log_fields(|head, fields| {
        fields.add("tenant", head.uri.path().len());
        fields.add("user", "unknown");
        fields.add("session", "hush");
        if head.uri.path() == "/panics" {
            panic!("a sour hook");
        }
    });
    let handler = async || {
        let call = Context::current().expect("a context");
        call.add_field("items", 1);
        // Contexts that are derived from it are of the same call; a request that is sent is another one.
        let late = tokio::time::Instant::now() + Duration::from_secs(1);
        let derived = call.with_deadline(late).with_attempt(2);
        derived
            .with_baggage(Default::default())
            .add_field("user", 7);
        derived.add_field("items", 2);
        let answer = async |request: Request<Body>| {
            let sent = Context::current().expect("a context");
            sent.add_field("sent", request.uri());
            Ok::<_, Infallible>(Response::new(Body::empty()))
        };
        let client = observe("stock").client().layer(service_fn(answer));
        client.oneshot(local("/sent")).await.unwrap();
    };
    let panics = async || "not of the handler";
    let router = Router::new().route("/", on_get(handler));
    let router = router.route("/panics", on_get(panics));
    let app = router.layer(observe(track.build().expect("a tracker")).server());
    for path in ["/", "/panics"] {
        text(app.clone().oneshot(local(path)).await.unwrap()).await;
    }
    let calls = logs.calls();
    let fields: Vec<_> = calls.iter().map(|call| call.get("fields")).collect();
    assert_eq!(
        fields,
        [
            r#"sent="/sent""#,
            r#"items="2" user="7" tenant="1" session="REDACTED""#,
            r#"tenant="7" user="unknown" session="REDACTED""#,
        ]
    );
}

/// Without a context there is nowhere to add fields later, but those of the request are there.
#[tokio::test]
async fn access_log_has_fields_without_context() {
    let logs = logs();
    let track = track().log_fields(|_, fields| fields.add("tenant", "acme"));
    let layer = GuardLayer::server(track.build().expect("a tracker"));
    let app = shop().layer(layer);
    text(app.oneshot(local("/livez")).await.unwrap()).await;
    assert_eq!(logs.only_call().get("fields"), r#"tenant="acme""#);
}

#[tokio::test]
async fn client_address_is_peer_or_what_proxies_say() {
    let logs = logs();
    let proxies = TrustedProxies::x_forwarded_for(["127.0.0.0/8", "10.0.0.0/8"]).unwrap();
    let track = track().client_address(proxies).build().unwrap();
    let app = shop().layer(observe(track.clone()).server());
    // The peer as axum knows it, over a real connection.
    let (listener, address) = listen().await;
    let service = app.clone();
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    for (said, client) in [
        (None, "127.0.0.1"),
        (Some("192.0.2.1, 203.0.113.7, 10.1.1.1"), "203.0.113.7"),
        (Some("unknown"), "127.0.0.1"),
    ] {
        let mut request = get(address, "/livez");
        let said = said.map(HeaderValue::from_static);
        let headers = request.headers_mut();
        headers.extend(said.map(|said| (HeaderName::from_static("x-forwarded-for"), said)));
        text(http1().request(request).await.unwrap()).await;
        assert_eq!(logs.only_call().get("client.address"), client);
        let span = logs.call_spans().pop().expect("a span");
        assert_eq!(span.get("client.address"), client);
        logs.clear();
    }

    // A peer that is no proxy, in the extensions.
    let mut request = local("/livez");
    let said = HeaderValue::from_static("10.0.0.1");
    request.headers_mut().insert("x-forwarded-for", said);
    let peer: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
    request.extensions_mut().insert(peer);
    text(app.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(logs.only_call().get("client.address"), "2001:db8::1");
    logs.clear();

    // No peer, and a client.
    text(app.oneshot(local("/livez")).await.unwrap()).await;
    let client = observe(track).client().layer(shop());
    let mut request = local("/livez");
    request.extensions_mut().insert(peer);
    text(client.oneshot(request).await.unwrap()).await;
    for call in logs.calls() {
        assert_eq!(call.fields.get("client.address"), None);
    }
}

#[tokio::test]
async fn access_log_can_be_off() {
    let logs = logs();
    let app = guarded(track().access_log(false));
    text(app.oneshot(local("/status/500")).await.unwrap()).await;
    assert_eq!(logs.calls().len(), 0);
}

#[tokio::test]
async fn access_log_redacts_credentials() {
    let logs = logs();
    let names = [
        "user-agent",
        "Authorization",
        "cookie",
        "x-absent",
        "x-tenant",
    ];
    let address = serve(guarded(track().log_headers(names))).await;
    for (_, client) in both_versions() {
        let mut request = get(address, "/livez");
        for (name, value) in [
            ("user-agent", "test/1"),
            ("authorization", "Bearer hush"),
            ("cookie", "session=hush"),
            ("x-tenant", "acme"),
            ("x-private", "hush"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        text(client.request(request).await.unwrap()).await;
    }
    let expected = r#"user-agent="test/1" authorization=REDACTED cookie=REDACTED x-tenant="acme""#;
    for line in logs.calls() {
        assert_eq!(line.get("headers"), expected);
        assert!(!format!("{line:?}").contains("hush"));
    }
}

#[tokio::test]
async fn redact_adds_and_removes_header_names() {
    let logs = logs();
    let names = ["idempotency-key", "api-key", "x-account", "forwarded"];
    let track = track()
        .log_headers(names)
        .unredact_headers(["idempotency-key"])
        .redact_headers(["x-account"]);
    let mut request = local("/livez");
    for (name, value) in [
        ("idempotency-key", "k1"),
        ("api-key", "hush"),
        ("x-account", "hush"),
        ("forwarded", "for=a"),
        ("forwarded", "for=b"),
    ] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(name, value);
    }
    text(guarded(track).oneshot(request).await.unwrap()).await;
    assert_eq!(
        logs.only_call().get("headers"),
        r#"idempotency-key="k1" api-key=REDACTED x-account=REDACTED forwarded="for=a" forwarded="for=b""#
    );
}
