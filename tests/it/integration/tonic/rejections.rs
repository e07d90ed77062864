//! Rejections are statuses, on both sides.

use tonic::{Code, Request, Response, Status, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{
    BoxError, GuardLayer, Outcome, Rejection, Track,
    context::{Correlate, Propagate},
    observe,
};

use super::{Scripted, channel, check};
use crate::{
    integration::tracked,
    support::{
        guards::{Fuse, witness},
        nobody,
    },
};

#[tokio::test]
async fn rejection_of_server_is_status_with_retry_after() {
    let echoes = Correlate::builder().echo_grpc(true).build();
    let correlate = echoes.expect("sound settings");
    let guards = (correlate, (Track::new("health"), Fuse::blown()));
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server(guards), health);
    let status = HealthClient::new(channel(address))
        .check(check(""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "a dependency is unavailable");
    let metadata = status.metadata();
    assert_eq!(metadata.get("grpc-retry-pushback-ms").unwrap(), "1500");
    assert!(metadata.contains_key("x-request-id"));
    assert!(!metadata.contains_key("x-correlation-id"), "the same");
}

#[tokio::test]
async fn handler_can_return_a_rejection() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("health");
    let health = HealthServer::new(Scripted::default());
    let address = serve_tonic!(GuardLayer::server((witness, track)), health);
    let status = HealthClient::new(channel(address))
        .check(check("closed"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too many requests");
    let hint = status.metadata().get("grpc-retry-pushback-ms");
    assert_eq!(hint.unwrap(), "1200");
    let told = ends.next().await;
    assert_eq!(told.outcome, Outcome::Rejected);
    assert_eq!(
        told.cause,
        r#"rejected by "till": rate_limited; retry after 1.2 s"#
    );
    assert_eq!(errors.total(), 0);
}

#[tokio::test]
async fn rejection_details_of_a_whole_service_are_in_statuses_of_handlers() {
    for shown in [false, true] {
        let health = HealthServer::new(Scripted::default());
        let layer = observe("health").rejection_details(shown).server();
        let address = serve_tonic!(layer, health);
        let status = HealthClient::new(channel(address))
            .check(check("closed"))
            .await
            .unwrap_err();
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert_eq!(details.contains("RATE_LIMITED"), shown);
        assert_eq!(details.contains("till"), shown);
    }
}

#[tokio::test]
async fn rejection_of_client_is_a_status() {
    let fuse = Fuse::blows_after(2);
    let layer = GuardLayer::grpc_client((Propagate::default(), fuse.clone()));
    let channel = channel(nobody());
    let service = ServiceBuilder::new().layer(layer).service(channel);
    let client = HealthClient::new(service);
    // Clones of the client, each with a service of its own.
    for _ in 0..2 {
        assert!(!fuse.is_blown());
        client.clone().check(check("")).await.unwrap_err();
    }
    let status = client.clone().check(check("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1500"
    );
    let rejection = Rejection::find(&status).expect("the source of the status");
    assert_eq!(rejection.guard(), "fuse");
    // A stream is rejected in the same way.
    let status = client.clone().watch(check("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(Rejection::find(&status).is_some());
    assert_eq!(fuse.admitted(), 2);
}

/// A service that asks another one, as most handlers do.
struct Front(HealthClient<Stack>);

/// A boxed stack whose error is a status: with another one, generated clients do not compile in an async trait.
type Stack = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

#[tonic::async_trait]
impl Health for Front {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.clone().check(request.into_inner()).await
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

#[tokio::test]
async fn handler_that_returns_the_rejection_of_its_client_has_rejected_the_call() {
    let (witness, mut ends) = witness();
    let (track, errors) = tracked("front");
    let stack = ServiceBuilder::new()
        .map_err(|error: BoxError| Status::from_error(error))
        .layer(GuardLayer::grpc_client(Fuse::blown()))
        .service(channel(nobody()));
    let stack = stack.map_response(|response: http::Response<_>| response.map(Body::new));
    let front = Front(HealthClient::new(BoxCloneSyncService::new(stack)));
    let address = serve_tonic!(
        GuardLayer::server((witness, track)),
        HealthServer::new(front)
    );
    let status = HealthClient::new(channel(address))
        .check(check(""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "a dependency is unavailable");
    let end = ends.next().await;
    assert_eq!(end.outcome, Outcome::Rejected);
    assert!(
        end.cause.starts_with(r#"rejected by "fuse""#),
        "{}",
        end.cause
    );
    assert_eq!(errors.total(), 0);
}
