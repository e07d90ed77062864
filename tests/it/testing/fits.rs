//! Layers and guards fit the services, clients and routers that they are meant for.

use std::{convert::Infallible, time::Duration};

use axum::{Router, extract::Request as AxumRequest, response::IntoResponse, routing::Route};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper_util::rt::TokioExecutor;
use tonic::service::Routes;
use tower::{Layer, Service};
use tower_keep::{
    BoxError, Bulkhead, CircuitBreaker, Guard, GuardLayer, Throttle, Track,
    coalesce::{Coalesce, CoalesceLayer},
    context::{Correlate, InheritContext, Propagate, Trust},
    fallback::{Fallback, FallbackLayer, grpc_message},
    guard::{Admit, GuardFuture, GuardedBody},
    hedge::{Hedge, HedgeLayer},
    observe, operation,
    priority::Prioritizer,
    protocol::Server,
    retry::{ReplayBody, Retry, RetryLayer},
    testing::{RecordingGuard, Reply, Script, ScriptFuture, ScriptedBody},
    timeout::TimeoutLayer,
    track::RouteLayer,
};

#[test]
fn server_layers_fit_axum_and_tonic() {
    fn fits<G>(guards: fn() -> G)
    where
        G: Admit<AxumRequest> + Admit<Request<tonic::body::Body>>,
        G: Guard<Permit: Send> + Send + Sync + 'static,
    {
        fits_axum(GuardLayer::server(guards()));
        fits_tonic_server(GuardLayer::server(guards()));
    }
    fits(|| (Correlate::default(), Track::new("fits")));
    fits(|| (InheritContext, operation("fits")));
    fits(|| (Some(Propagate::default()), None::<RecordingGuard>));
    fits_axum(observe("fits").server());
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    fits_axum(breaker.layer().server());
    fits_tonic_server(breaker.layer().server());
    fits_tonic_server(observe("fits").server());
    let bulkhead = Bulkhead::new("fits");
    fits_axum(bulkhead.layer().server());
    fits_tonic_server(bulkhead.layer().server());
    let throttle = Throttle::new("fits");
    fits_axum(throttle.layer().server());
    fits_tonic_server(throttle.layer().server());
    let prioritizer = Prioritizer::new("fits");
    fits_axum(prioritizer.by_header(Trust::never()).layer().server());
    fits_tonic_server(prioritizer.by_extension().layer().server());
    let coalesce = || CoalesceLayer::server(Coalesce::new("fits"));
    fits_axum(coalesce());
    fits_tonic_server(coalesce());
    fits_axum(coalesce().keyed_by(|request: &AxumRequest| Some(request.uri().clone())));
    fits_axum(RouteLayer::matched_path());
    let limit = Duration::from_secs(1);
    fits_axum(TimeoutLayer::server(limit));
    fits_tonic_server(TimeoutLayer::server(limit).body_idle(limit));
    let fallback = || FallbackLayer::server(Fallback::new("fits"));
    fits_axum(fallback().with(|_| Response::new(ScriptedBody::new())));
    fits_axum(fallback().service(Router::<()>::new()));
    fits_tonic_server(fallback().with(|_| Response::new(ScriptedBody::new())));
}

#[cfg(feature = "cache")]
#[test]
fn caches_fit_axum_tonic_and_hyper() {
    use tower_keep::cache::{Cache, HttpCacheLayer};
    fits_axum(HttpCacheLayer::server(Cache::new("fits")));
    fits_tonic_server(HttpCacheLayer::server(Cache::new("fits")));
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let http = http.build_http::<ScriptedBody>();
    is_client(HttpCacheLayer::client(Cache::new("fits")).layer(http));
}

#[test]
fn client_layers_fit_hyper_and_tonic() {
    let limit = Duration::from_secs(1);
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let http = http.build_http::<ScriptedBody>();
    is_client(observe("fits").client().layer(http.clone()));
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    is_client(breaker.layer().client().layer(http.clone()));
    is_client(Bulkhead::new("fits").layer().client().layer(http.clone()));
    is_client(GuardLayer::client((InheritContext, operation("fits"))).layer(http.clone()));
    is_client(TimeoutLayer::client(limit).layer(http.clone()));
    is_client(CoalesceLayer::client(Coalesce::new("fits")).layer(http.clone()));
    let fallback = || FallbackLayer::client(Fallback::new("fits"));
    let replays = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let replays = replays.build_http::<ReplayBody<ScriptedBody>>();
    is_client(HedgeLayer::client(Hedge::new("fits")).layer(replays.clone()));
    is_client(fallback().service(replays.clone()).layer(replays));
    is_client(
        fallback()
            .with(|_| Response::new(ScriptedBody::new()))
            .layer(http),
    );
    // A channel wants a runtime, even one that never connects.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:9").connect_lazy();
    let breaker = CircuitBreaker::builder("fits").build().unwrap();
    fits_tonic_client(breaker.layer().grpc_client().layer(channel.clone()));
    let bulkhead = Bulkhead::new("fits").layer().grpc_client();
    fits_tonic_client(bulkhead.layer(channel.clone()));
    fits_tonic_client(TimeoutLayer::grpc_client(limit).layer(channel.clone()));
    let by_path = |request: &Request<tonic::body::Body>| Some(request.uri().path().to_owned());
    let coalesce = CoalesceLayer::grpc_client(Coalesce::new("fits"), by_path);
    fits_tonic_client(coalesce.layer(channel.clone()));
    // All of them at once, as a client would have them.
    let stack = tower::ServiceBuilder::new()
        .layer(FallbackLayer::grpc_client(Fallback::new("fits")).with(|_| grpc_message("hi")))
        .layer(TimeoutLayer::grpc_client(limit))
        .layer(RetryLayer::grpc_client(Retry::new("fits")).request_body(tonic::body::Body::new))
        .layer(HedgeLayer::grpc_client(Hedge::new("fits")).request_body(tonic::body::Body::new))
        .layer(breaker.layer().grpc_client())
        .layer(observe("fits").grpc_client())
        .layer(TimeoutLayer::grpc_client(limit))
        .service(channel.clone());
    fits_tonic_client(stack);
    let fallback = FallbackLayer::grpc_client(Fallback::new("fits"));
    fits_tonic_client(
        fallback
            .clone()
            .service(channel.clone())
            .request_body(tonic::body::Body::new)
            .layer(channel.clone()),
    );
    let fallback = fallback.with(|_| grpc_message("hi"));
    fits_tonic_client(fallback.layer(channel.clone()));
    let layered = observe("fits").grpc_client().layer(channel);
    fits_tonic_client(layered.clone());
    let client = tonic_health::pb::health_client::HealthClient::new(layered.clone());
    let _ = client.clone();
    let asks = |request: tonic::Request<()>| Ok(request);
    let _ = tonic_health::pb::health_client::HealthClient::with_interceptor(layered, asks);
}

/// The bounds of `Router::layer`, as axum 0.8.9 has them.
fn fits_axum<L>(layer: L)
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<AxumRequest> + Clone + Send + Sync + 'static,
    <L::Service as Service<AxumRequest>>::Response: IntoResponse + 'static,
    <L::Service as Service<AxumRequest>>::Error: Into<Infallible> + 'static,
    <L::Service as Service<AxumRequest>>::Future: Send + 'static,
{
    let _: Router = Router::new()
        .route("/", axum::routing::get(|| async { "hello" }))
        .route_layer(layer.clone())
        .layer(layer);
}

/// The bounds of `Router::serve`, as tonic 0.14.9 has them.
fn fits_tonic_server<L, B>(_: L)
where
    L: Layer<Routes> + Clone,
    L::Service: Service<Request<tonic::body::Body>, Response = Response<B>>,
    L::Service: Clone + Send + 'static,
    <L::Service as Service<Request<tonic::body::Body>>>::Future: Send,
    <L::Service as Service<Request<tonic::body::Body>>>::Error: Into<BoxError> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
}

/// The bounds of generated clients, those with an interceptor included.
fn fits_tonic_client<S, B>(_: S)
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>> + Clone + Send + Sync,
    S::Error: Into<BoxError> + Send + Sync,
    S::Future: Send,
    B: Body<Data = Bytes> + Default + Send + 'static,
    B::Error: Into<BoxError> + Send + Sync,
{
}

/// The bounds of whoever keeps a client.
fn is_client<S, B>(_: S)
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
}

#[test]
fn guarded_service_can_be_boxed() {
    type Object = dyn Service<
            Request<ScriptedBody>,
            Response = Response<GuardedBody<ScriptedBody, RecordingGuard, Server>>,
            Error = BoxError,
            Future = GuardFuture<ScriptFuture<BoxError>, RecordingGuard, Server>,
        > + Send
        + Sync;
    let script = Script::new([Reply::ok()]);
    let _: Box<Object> = Box::new(
        GuardLayer::server(RecordingGuard::new())
            .back_pressure()
            .layer(script),
    );
}
