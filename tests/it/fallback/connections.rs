//! Over real connections: axum, hyper and tonic.

use std::{convert::Infallible, net::SocketAddr};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{get as on_get, post as on_post},
};
use bytes::Bytes;
use http::StatusCode;
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as ClientError;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keep::{
    BoxError, CircuitBreaker, Outcome,
    fallback::{Fallback, FallbackInfo, FallbackLayer},
    observe,
    testing::ScriptedBody,
};

use crate::support::{both_versions, get, header, http1, nobody, serve, text, within};

fn fallback(name: &'static str) -> Fallback {
    let header = http::HeaderName::from_static("x-served-by");
    Fallback::builder(name).header(header).build().unwrap()
}

async fn fails() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::test]
async fn axum_router_failure_is_replaced() {
    let calm =
        |_: &tower_keep::fallback::FailedCall<'_>| -> Response { "all is calm".into_response() };
    let app = Router::new()
        .route("/fails", on_get(fails))
        .route("/fine", on_get(|| async { "fine" }))
        .layer(FallbackLayer::server(fallback("calm")).with(calm))
        .layer(observe("shop").server());
    let address = serve(app).await;
    for (version, client) in both_versions() {
        let answers = [
            ("/fails", 200, Some("calm"), "all is calm"),
            ("/fine", 200, None, "fine"),
            ("/nowhere", 404, None, ""),
        ];
        for (path, status, by, said) in answers {
            let answer = within(client.request(get(address, path))).await.unwrap();
            assert_eq!(answer.status(), status, "{version} {path}");
            assert_eq!(header(&answer, "x-served-by"), by, "{version} {path}");
            assert_eq!(text(answer).await, said, "{version} {path}");
        }
    }
}

#[tokio::test]
async fn axum_route_failure_is_replaced_by_service() {
    let stale = service_fn(|request: Request| async move {
        let served: &FallbackInfo = request.extensions().get().expect("told");
        let said = format!(
            "{} from yesterday, {}",
            request.uri().path(),
            served.outcome()
        );
        Ok::<_, Infallible>(Response::new(Body::from(said)))
    });
    let layer = FallbackLayer::server(fallback("stale"))
        .service(stale)
        .request_body(Body::new);
    let app = Router::new()
        .route("/prices", on_get(fails).route_layer(layer))
        .route("/fails", on_get(fails));
    let address = serve(app).await;
    let client = http1();
    let answer = within(client.request(get(address, "/prices")))
        .await
        .unwrap();
    assert_eq!(text(answer).await, "/prices from yesterday, failure");
    let answer = within(client.request(get(address, "/fails")))
        .await
        .unwrap();
    assert_eq!(answer.status(), 500);
}

/// Asks for the same path, elsewhere.
fn elsewhere(
    to: SocketAddr,
) -> impl Service<http::Request<Body>, Response = http::Response<Incoming>, Error = ClientError> + Clone
{
    ServiceBuilder::new()
        .map_request(move |mut request: http::Request<Body>| {
            let path = request.uri().path();
            *request.uri_mut() = format!("http://{to}{path}").parse().unwrap();
            request
        })
        .service(http1())
}

/// A client that goes to the second host when the first is gone, or its circuit open.
fn with_second_host(
    breaker: &CircuitBreaker,
    second: SocketAddr,
) -> impl Service<
    http::Request<Body>,
    Response = http::Response<impl HttpBody<Error = BoxError>>,
    Error = BoxError,
> + Clone {
    let fallback = FallbackLayer::client(fallback("second"))
        .service(elsewhere(second))
        .request_body(Body::new);
    ServiceBuilder::new()
        .layer(observe("stock").client())
        .layer(fallback)
        .layer(breaker.layer().client())
        .service(http1())
}

#[tokio::test]
async fn hyper_client_falls_back_when_host_is_gone_or_open() {
    let second = serve(Router::new().route("/", on_get(|| async { "second" }))).await;
    let first = nobody();
    let breaker = CircuitBreaker::builder("first").build().unwrap();
    let client = with_second_host(&breaker, second);
    for outcome in [Outcome::Failure, Outcome::Rejected] {
        let answer = within(client.clone().oneshot(get(first, "/")))
            .await
            .unwrap();
        let served: &FallbackInfo = answer.extensions().get().expect("served");
        assert_eq!(served.outcome(), outcome);
        assert_eq!(header(&answer, "x-served-by"), Some("second"));
        assert_eq!(text(answer).await, "second");
        breaker.force_open();
    }
}

#[tokio::test]
async fn post_never_sent_reaches_second_host() {
    let echo = |order: Bytes| async move { order };
    let second = serve(Router::new().route("/orders", on_post(echo))).await;
    let first = nobody();
    let breaker = CircuitBreaker::builder("first").build().unwrap();
    let client = with_second_host(&breaker, second);
    let piece = Bytes::from(vec![b'x'; 50_000]);
    let order = || {
        let pieces = ScriptedBody::new().data(piece.clone()).pending(1);
        http::Request::post(format!("http://{first}/orders"))
            .body(Body::new(pieces.data(piece.clone())))
            .unwrap()
    };
    // Nobody is there to connect to, then the circuit is open.
    for outcome in [Outcome::Failure, Outcome::Rejected] {
        let answer = within(client.clone().oneshot(order())).await.unwrap();
        let served: &FallbackInfo = answer.extensions().get().expect("served");
        assert_eq!(served.outcome(), outcome);
        assert_eq!(text(answer).await.len(), 100_000);
        breaker.force_open();
    }
}

#[tokio::test]
async fn post_received_by_first_host_is_not_repeated() {
    let second = serve(Router::new().route("/orders", on_post(|| async { "twice" }))).await;
    let first = serve(Router::new().route("/orders", on_post(fails))).await;
    let breaker = CircuitBreaker::builder("first").build().unwrap();
    let client = with_second_host(&breaker, second);
    let order = http::Request::post(format!("http://{first}/orders"));
    let order = order.body(Body::from("an order")).unwrap();
    let answer = within(client.oneshot(order)).await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(answer.extensions().get::<FallbackInfo>().is_none());
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn tonic_client_failure_is_replaced_by_message() {
    use tonic::transport::Endpoint;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tower_keep::fallback::grpc_message;

    let first = nobody();
    let channel = Endpoint::from_shared(format!("http://{first}"));
    let breaker = CircuitBreaker::builder("health").build().unwrap();
    let service = ServiceBuilder::new()
        .layer(observe("health").grpc_client())
        .layer(
            FallbackLayer::grpc_client(fallback("unknown")).with(|failed| {
                // SERVICE_UNKNOWN while it is down, NOT_SERVING while we do not ask.
                let status = if failed.rejection().is_some() { 2 } else { 3 };
                grpc_message(vec![0x08, status])
            }),
        )
        .layer(breaker.layer().grpc_client())
        .service(channel.unwrap().connect_lazy());
    let mut client = HealthClient::new(service);
    for status in [3, 2] {
        let answer = within(client.check(HealthCheckRequest::default())).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.get_ref().status, status);
        assert_eq!(answer.metadata().get("x-served-by").unwrap(), "unknown");
        breaker.force_open();
    }
}
