//! One request, followed by its correlation ID from the client through a gateway to an upstream and back.

use std::{collections::BTreeSet, error::Error, fmt, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get as on_get,
};
use http::{Request, StatusCode};
use tower::{ServiceBuilder, ServiceExt};
use tower_keep::{
    BoxError, ErrorTracker, GuardLayer, Rejection, Track,
    context::{Correlate, Propagate},
    errors::ErrorGroup,
    observe, operation,
};

use crate::support::{
    both_versions, get,
    guards::Fuse,
    header, http1,
    logs::{Event, Logs, Span, logs},
    meter::meter,
    nobody, serve, text,
};

/// The errors of one service, and its tracker.
fn tracked(name: &'static str) -> (Track, ErrorTracker) {
    let errors = ErrorTracker::default();
    let track = Track::builder(name).errors(errors.clone()).build();
    (track.expect("a tracker"), errors)
}

/// Two services and what they know of errors.
struct House {
    gateway: SocketAddr,
    upstream_errors: ErrorTracker,
    client_errors: ErrorTracker,
    gateway_errors: ErrorTracker,
}

#[derive(Debug)]
struct StockIsGone(u16);

impl fmt::Display for StockIsGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stock answered {}", self.0)
    }
}
impl Error for StockIsGone {}

/// The error that the gateway answers with where it has nothing better.
struct Failed(BoxError);

impl<E: Into<BoxError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        if let Some(why) = Rejection::find(&*self.0) {
            return why.clone().into_response();
        }
        let mut response = StatusCode::BAD_GATEWAY.into_response();
        let error: Arc<dyn Error + Send + Sync> = self.0.into();
        response.extensions_mut().insert(error);
        response
    }
}

impl House {
    async fn build() -> House {
        let (track, upstream_errors) = tracked("stock");
        let upstream = Router::new()
            .route("/stock/{id}", on_get(async || "5 left"))
            .route("/broken/{id}", on_get(broken))
            .route(
                "/panics/{id}",
                on_get(async || -> () { panic!("the shelf fell down") }),
            )
            .layer(observe(track).server());
        let mut house = House::before(serve(upstream).await).await;
        house.upstream_errors = upstream_errors;
        house
    }

    /// A gateway before some upstream.
    async fn before(upstream: SocketAddr) -> House {
        let (track, client_errors) = tracked("stock");
        let guards = (Propagate::default(), (track, Fuse::blows_after(3)));
        let client = ServiceBuilder::new()
            .layer(GuardLayer::client(guards))
            .service(http1());

        let (track, gateway_errors) = tracked("shop");
        let fetch = move |State(kind): State<&'static str>| {
            let client = client.clone();
            async move {
                tracing::info!(target: "shop", "asking for stock");
                let request = get(upstream, &format!("/{kind}/7"));
                let response = client.oneshot(request).await?;
                if response.status() != 200 {
                    return Err(StockIsGone(response.status().as_u16()).into());
                }
                Ok::<_, Failed>(text(response).await)
            }
        };
        let app = Router::new()
            .route("/shop/{id}", on_get(fetch.clone()).with_state("stock"))
            .route(
                "/shop/{id}/broken",
                on_get(fetch.clone()).with_state("broken"),
            )
            .route("/shop/{id}/panics", on_get(fetch).with_state("panics"))
            .layer(observe(track).server());
        House {
            gateway: serve(app).await,
            upstream_errors: ErrorTracker::default(),
            client_errors,
            gateway_errors,
        }
    }

    fn request(&self, path: &str) -> Request<Body> {
        let mut request = get(self.gateway, path);
        let headers = request.headers_mut();
        headers.insert("x-correlation-id", "journey-7".parse().unwrap());
        headers.insert("traceparent", TRACEPARENT.parse().unwrap());
        request
    }
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

async fn broken() -> StatusCode {
    let load = async { Err::<(), _>(std::io::Error::other("the disk is full")) };
    let _ = operation("load_stock").errors(None).run(load).await;
    tracing::info!(target: "stock", "giving up");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// The lines of one journey: of the upstream, of the gateway's client, and of the gateway. Their calls end in
/// this order.
fn lines(logs: &Logs) -> [Event; 3] {
    let lines = logs.calls();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| (line.get("service"), line.get("kind")))
        .collect();
    assert_eq!(
        kinds,
        [("stock", "server"), ("stock", "client"), ("shop", "server")]
    );
    lines.try_into().expect("three lines")
}

/// The span of the same call.
fn span_of<'a>(spans: &'a [Span], line: &Event) -> &'a Span {
    let of_line = |span: &&Span| span.get("span_id") == line.get("span_id");
    spans.iter().find(of_line).expect("a span")
}

fn only_group(errors: &ErrorTracker) -> ErrorGroup {
    let [group] = &errors.groups()[..] else {
        panic!("one group expected: {:#?}", errors.groups())
    };
    group.clone()
}

#[tokio::test]
async fn correlation_id_is_in_every_log_of_a_success() {
    let house = House::build().await;
    for (version, client) in both_versions() {
        let logs = logs();
        let response = client.request(house.request("/shop/7")).await.unwrap();
        assert_eq!(
            header(&response, "x-correlation-id"),
            Some("journey-7"),
            "{version}"
        );
        let request_id = header(&response, "x-request-id").unwrap().to_owned();
        assert_eq!(text(response).await, "5 left");

        let [upstream, client, gateway] = lines(&logs);
        for line in [&upstream, &client, &gateway] {
            assert_eq!(line.get("correlation_id"), "journey-7");
            assert_eq!(line.get("trace_id"), TRACE_ID);
            assert_eq!(line.get("outcome"), "success");
        }
        for line in [&upstream, &client, &gateway] {
            assert_eq!(line.get("request_id"), request_id);
        }
        let span_ids: BTreeSet<_> = [&upstream, &client, &gateway]
            .map(|line| line.get("span_id"))
            .into();
        assert_eq!(span_ids.len(), 3);

        // The spans say the same, and hang together as far as they are of one service.
        let spans = logs.spans();
        for line in [&upstream, &client, &gateway] {
            let span = span_of(&spans, line);
            assert_eq!(span.get("correlation_id"), "journey-7");
            assert_eq!(span.get("request_id"), line.get("request_id"));
            assert_eq!(span.get("trace_id"), TRACE_ID);
        }
        let parent = |line| {
            span_of(&spans, line)
                .parent
                .map(|at| spans[at].get("span_id"))
        };
        assert_eq!(parent(&client), Some(gateway.get("span_id")));
        assert_eq!(parent(&upstream), None);
        // What the handler said is found in the span of its call.
        let said = &logs.events("shop")[0];
        assert_eq!(
            spans[said.span.unwrap()].get("span_id"),
            gateway.get("span_id")
        );
    }
}

#[tokio::test]
async fn correlation_id_finds_upstream_failure_everywhere() {
    let house = House::build().await;
    for (version, client) in both_versions() {
        let logs = logs();
        let response = client
            .request(house.request("/shop/7/broken"))
            .await
            .unwrap();
        assert_eq!(response.status(), 502);
        assert_eq!(
            header(&response, "x-correlation-id"),
            Some("journey-7"),
            "{version}"
        );
        let request_id = header(&response, "x-request-id").unwrap();

        let [upstream, client, gateway] = lines(&logs);
        let statuses = [&upstream, &client, &gateway].map(|line| line.get("status"));
        assert_eq!(statuses, ["500", "500", "502"]);
        for (line, errors) in [
            (&upstream, &house.upstream_errors),
            (&client, &house.client_errors),
            (&gateway, &house.gateway_errors),
        ] {
            assert_eq!(line.get("correlation_id"), "journey-7");
            assert_eq!(line.get("trace_id"), TRACE_ID);
            let group = only_group(errors);
            let record = group.latest().record();
            assert_eq!(line.get("error_group"), group.fingerprint().to_string());
            assert_eq!(record.correlation_id(), Some("journey-7"));
            assert_eq!(record.request_id(), Some(line.get("request_id")));
            assert_eq!(record.trace_id(), Some(TRACE_ID));
            assert_eq!(record.message(), line.get("error"));
        }
        assert_eq!(gateway.get("request_id"), request_id);
        assert_eq!(gateway.get("error"), "stock answered 500");
        assert_eq!(gateway.get("error_type"), "StockIsGone");

        // The operation that began it, deep inside of the upstream.
        let began = &logs.events("tower_keep::operation")[0];
        assert_eq!(began.get("correlation_id"), "journey-7");
        assert_eq!(began.get("request_id"), upstream.get("request_id"));
        assert_eq!(began.get("error"), "the disk is full");
    }
    assert_eq!(only_group(&house.gateway_errors).count(), 2);
}

#[tokio::test]
async fn correlation_of_upstream_panic_is_failure_outside() {
    let (house, logs, meter) = (House::build().await, logs(), meter());
    let response = http1()
        .request(house.request("/shop/7/panics"))
        .await
        .unwrap();
    assert_eq!(response.status(), 502);
    let [upstream, client, gateway] = lines(&logs);
    let outcomes = [&upstream, &client, &gateway].map(|line| line.get("outcome"));
    assert_eq!(outcomes, ["panicked", "failure", "failure"]);
    assert_eq!(upstream.get("error"), "the shelf fell down");
    assert_eq!(only_group(&house.upstream_errors).kind(), "panic");
    let known = |group: ErrorGroup| group.latest().record().correlation_id().map(str::to_owned);
    for errors in [
        &house.upstream_errors,
        &house.client_errors,
        &house.gateway_errors,
    ] {
        assert_eq!(known(only_group(errors)).as_deref(), Some("journey-7"));
    }
    for (service, kind, outcome) in [
        ("stock", "server", "panicked"),
        ("stock", "client", "failure"),
        ("shop", "server", "failure"),
    ] {
        let labels = [("service", service), ("kind", kind), ("outcome", outcome)];
        assert_eq!(meter.calls(&labels), 1.0, "{service} {kind}");
    }
}

#[tokio::test]
async fn correlation_of_lost_upstream_until_open_circuit() {
    let (house, logs) = (House::before(nobody()).await, logs());
    for _ in 0..3 {
        let response = http1().request(house.request("/shop/7")).await.unwrap();
        assert_eq!(response.status(), 502);
        assert_eq!(header(&response, "x-correlation-id"), Some("journey-7"));
    }
    let group = only_group(&house.gateway_errors);
    let record = group.latest().record();
    assert_eq!(record.correlation_id(), Some("journey-7"));
    assert!(
        record.causes().any(|cause| cause.contains("refused")),
        "{record:#?}"
    );
    logs.clear();

    // The guard of the client has seen enough: its rejection leaves as the gateway's own.
    let response = http1().request(house.request("/shop/7")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(header(&response, "retry-after"), Some("2"));
    assert_eq!(header(&response, "x-correlation-id"), Some("journey-7"));
    let lines = logs.calls();
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line.get("kind"), line.get("outcome")))
        .collect();
    assert_eq!(told, [("client", "rejected"), ("server", "rejected")]);
    assert_eq!(
        only_group(&house.gateway_errors).count(),
        3,
        "a rejection is no error"
    );
}

#[tokio::test]
async fn correlation_of_gateway_replaces_forwarded_headers() {
    let upstream = Router::new()
        .fallback(async |request: axum::extract::Request| {
            let headers = request.headers();
            assert_eq!(headers.get_all("x-correlation-id").iter().count(), 1);
            assert_eq!(headers.get_all("traceparent").iter().count(), 1);
            headers["traceparent"].to_str().unwrap().to_owned()
        })
        .layer(GuardLayer::server(Correlate::default()));
    let upstream = serve(upstream).await;
    let client = ServiceBuilder::new()
        .layer(observe("stock").client())
        .service(http1());
    let pass_on = async move |mut request: axum::extract::Request| {
        *request.uri_mut() = format!("http://{upstream}/").parse().unwrap();
        client.oneshot(request).await.unwrap().map(Body::new)
    };
    let app = Router::new()
        .fallback(move |request| pass_on.clone()(request))
        .layer(observe("shop").server());
    let gateway = serve(app).await;

    let logs = logs();
    let mut request = get(gateway, "/");
    request
        .headers_mut()
        .insert("x-correlation-id", "journey-7".parse().unwrap());
    request
        .headers_mut()
        .insert("traceparent", TRACEPARENT.parse().unwrap());
    let response = http1().request(request).await.unwrap();
    // The answer of the upstream has IDs, too: those of the gateway win.
    assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
    let request_id = header(&response, "x-request-id").unwrap().to_owned();
    let sent = text(response).await;
    let [client, gateway] = &logs.calls()[..] else {
        panic!("{:#?}", logs.calls())
    };
    assert_eq!(gateway.get("request_id"), request_id);
    assert_eq!(sent, format!("00-{TRACE_ID}-{}-01", client.get("span_id")));
}
