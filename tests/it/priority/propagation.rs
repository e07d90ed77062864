//! The priority of a call at the next hop, over real connections.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request as AxumRequest, routing::get as on_get};
use http::{HeaderValue, Request};
use tonic::{
    Response, Status,
    body::Body as TonicBody,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Layer, util::MapRequestLayer};
use tower_keep::{
    Context, GuardLayer, Guarded,
    context::{Correlate, Propagate, Trust},
    observe,
    priority::{Prioritizer, Priority, PriorityClass},
    protocol::GrpcClient,
    reqwest::{LayeredClient, service},
};

use super::class;
use crate::support::{get, header, http1, http2, listen, serve, text, within};

const HEADER: &str = "x-request-priority";

fn current() -> String {
    Priority::current().map_or("none".to_owned(), |priority| priority.to_string())
}

/// Serves a hop that tells the priority of its calls.
async fn last_hop(prioritizer: &Prioritizer) -> std::net::SocketAddr {
    let guards = (Correlate::default(), prioritizer.by_header(Trust::always()));
    let app = Router::new().route("/", on_get(async || current()));
    serve(app.layer(GuardLayer::server(guards))).await
}

/// Serves a hop that calls the last one, and tells its own priority and that of the last one.
async fn first_hop(
    prioritizer: &Prioritizer,
    trust: Trust,
    last: std::net::SocketAddr,
) -> std::net::SocketAddr {
    let http = reqwest::Client::new();
    let client = GuardLayer::client(Propagate::default()).layer(service(http.clone()));
    let client = LayeredClient::new(client);
    let relay = async move |request: AxumRequest| {
        // As a proxy does that copies all headers.
        let mut sent = http.get(format!("http://{last}/"));
        if let Some(copied) = request.headers().get(HEADER) {
            sent = sent.header(HEADER, copied.clone());
        }
        let response = client.send(sent).await.expect("a response");
        let of_last = response.text().await.expect("a body");
        format!("{} {of_last}", current())
    };
    let app = Router::new().route("/", on_get(relay));
    let layer = observe("first hop").server();
    let guard = prioritizer.by_header(trust).layer().server();
    serve(app.layer(guard).layer(layer)).await
}

#[tokio::test]
async fn priority_of_an_http_call_is_that_of_the_next_hop() {
    let (first, last) = (Prioritizer::new("first hop"), Prioritizer::new("last hop"));
    let to_last = last_hop(&last).await;
    let to = first_hop(&first, Trust::always(), to_last).await;
    for client in [http1(), http2()] {
        let mut request = get(to, "/");
        let value = HeaderValue::from_static("high;level=42");
        request.headers_mut().insert(HEADER, value);
        let response = within(client.request(request)).await.expect("a response");
        assert_eq!(header(&response, HEADER), None, "callers do not see it");
        assert_eq!(text(response).await, "high;level=42 high;level=42");
    }
    assert_eq!(class(&last, PriorityClass::High), (2, 0, 0));
}

#[tokio::test]
async fn level_that_a_hop_draws_is_that_of_the_next_hop() {
    let (first, last) = (Prioritizer::new("first hop"), Prioritizer::new("last hop"));
    let to_last = last_hop(&last).await;
    let to = first_hop(&first, Trust::always(), to_last).await;
    for value in [Some("low"), None] {
        let mut request = get(to, "/");
        if let Some(value) = value {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(HEADER, value);
        }
        let response = within(http1().request(request)).await.expect("a response");
        let text = text(response).await;
        let (of_first, of_last) = text.split_once(' ').expect("two priorities");
        assert_eq!(of_first, of_last);
        let class = value.unwrap_or("normal");
        assert!(of_first.starts_with(&format!("{class};level=")), "{text}");
    }
}

#[tokio::test]
async fn priority_of_a_stranger_does_not_reach_the_next_hop() {
    let (first, last) = (Prioritizer::new("first hop"), Prioritizer::new("last hop"));
    let to_last = last_hop(&last).await;
    let to = first_hop(&first, Trust::never(), to_last).await;
    let mut request = get(to, "/");
    let value = HeaderValue::from_static("critical;level=99");
    request.headers_mut().insert(HEADER, value);
    let response = within(http1().request(request)).await.expect("a response");
    let text = text(response).await;
    assert!(
        text.starts_with("normal;level=") && !text.contains("critical"),
        "{text}"
    );
    assert_eq!(class(&last, PriorityClass::Critical), (0, 0, 0));
    assert_eq!(class(&last, PriorityClass::Normal), (1, 0, 0));
}

#[tokio::test]
async fn header_that_is_copied_where_no_call_has_a_priority_is_not_sent() {
    let last = Prioritizer::new("last hop");
    let to_last = last_hop(&last).await;
    let http = reqwest::Client::new();
    let client = GuardLayer::client(Propagate::default()).layer(service(http.clone()));
    let copied = http
        .get(format!("http://{to_last}/"))
        .header(HEADER, "critical");
    let response = within(LayeredClient::new(client).send(copied)).await;
    let text = within(response.expect("a response").text()).await;
    assert!(text.expect("a body").starts_with("normal;level="));
}

type Propagated = Guarded<Channel, Propagate, GrpcClient>;

/// Answers, after it has called the next hop if there is one.
struct Hop {
    next: Option<HealthClient<Propagated>>,
    seen: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl Health for Hop {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.seen.lock().expect("no panic").push(current());
        match &self.next {
            Some(next) => next.clone().check(request.into_inner()).await,
            None => Ok(Response::new(HealthCheckResponse { status: 1 })),
        }
    }

    type WatchStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }
}

/// Serves a hop, and returns a client of it that propagates.
async fn grpc_hop(prioritizer: &Prioritizer, hop: Hop) -> (Channel, HealthClient<Propagated>) {
    let (listener, address) = listen().await;
    let guards = (Correlate::default(), prioritizer.by_header(Trust::always()));
    let server = Server::builder()
        .layer(GuardLayer::server(guards))
        .add_service(HealthServer::new(hop));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URI");
    let channel = endpoint.connect_lazy();
    let client = GuardLayer::grpc_client(Propagate::default()).layer(channel.clone());
    (channel, HealthClient::new(client))
}

#[tokio::test]
async fn priority_of_a_grpc_call_is_that_of_the_next_hop() {
    let (first, last) = (Prioritizer::new("first hop"), Prioritizer::new("last hop"));
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let hop = |next| Hop {
        next,
        seen: seen.clone(),
    };
    let (_, to_last) = grpc_hop(&last, hop(None)).await;
    let (channel, mut to_first) = grpc_hop(&first, hop(Some(to_last))).await;
    let check = HealthCheckRequest::default;
    // By the context of the work around the client.
    let priority = Priority::new(PriorityClass::Critical).with_level(17);
    let call = Context::new_root().with_priority(priority);
    let checked = call.scope(async { to_first.check(check()).await });
    within(checked).await.expect("healthy");
    assert_eq!(*seen.lock().expect("no panic"), ["critical;level=17"; 2]);
    // By the header of another client.
    let asks = MapRequestLayer::new(|mut request: Request<TonicBody>| {
        let value = HeaderValue::from_static("bulk");
        request.headers_mut().insert(HEADER, value);
        request
    });
    within(HealthClient::new(asks.layer(channel)).check(check()))
        .await
        .expect("healthy");
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen[2], seen[3]);
    assert!(seen[2].starts_with("bulk;level="), "{seen:?}");
    assert_eq!(class(&last, PriorityClass::Critical), (1, 0, 0));
    assert_eq!(class(&last, PriorityClass::Bulk), (1, 0, 0));
}
