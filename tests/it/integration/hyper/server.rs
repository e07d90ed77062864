//! A hyper server without a framework.

use std::{convert::Infallible, io};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use tower::{ServiceBuilder, service_fn};
use tower_keep::{GuardLayer, Outcome, Track};

use crate::{
    integration::tracked,
    support::{
        both_versions, get,
        guards::{Fuse, witness},
        http1,
        meter::meter,
        serve_hyper, text, within,
    },
};

#[tokio::test]
async fn hyper_server_is_guarded() {
    let meter = meter();
    let fuse = Fuse::blows_after(1);
    let (witness, mut ends) = witness();
    let layer = GuardLayer::server((witness, (Track::new("bare"), fuse.clone())));
    let service = ServiceBuilder::new().layer(layer).service(service_fn(
        async |request: Request<Incoming>| match request.uri().path() {
            "/panics" => panic!("the ink ran out"),
            _ => Ok::<_, Infallible>(Response::new(Full::from("fine"))),
        },
    ));
    let address = serve_hyper(service).await;
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(text(response).await, "fine");
        assert_eq!(ends.next_outcome().await, Outcome::Success);
    }
    let response = http1().request(get(address, "/panics")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(ends.next_outcome().await, Outcome::Panicked);
    for (_, client) in both_versions() {
        let response = client.request(get(address, "/")).await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(ends.next_outcome().await, Outcome::Rejected);
    }
    // Nobody told it a route.
    assert!(!meter.render().contains("http_route"));
}

#[tokio::test]
async fn server_error_keeps_its_type_and_is_recorded() {
    let (track, errors) = tracked("bare");
    let (witness, mut ends) = witness();
    let layer = GuardLayer::server((witness, track));
    let service =
        ServiceBuilder::new()
            .layer(layer)
            .service(service_fn(async |_: Request<Incoming>| {
                Err::<Response<Full<Bytes>>, _>(io::Error::new(
                    io::ErrorKind::NotFound,
                    "no such disk",
                ))
            }));
    let address = serve_hyper(service).await;
    for (_, client) in both_versions() {
        within(client.request(get(address, "/"))).await.unwrap_err();
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, &*told.cause),
            (Outcome::Failure, "no such disk")
        );
    }
    let group = &errors.groups()[0];
    assert_eq!((group.kind(), group.count()), ("io::NotFound", 2));
}
