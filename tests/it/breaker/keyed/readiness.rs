//! Open before ready: a request whose circuit is open does not wait for the service.

use std::time::Duration;

use http::Request;
use tokio::time::advance;
use tower::{Layer, Service};
use tower_keep::{
    Rejection,
    breaker::KeyedBreaker,
    guard::Guarded,
    testing::{CountingWaker, Reply, Script, ScriptedBody},
};

use super::{fail, keyed};
use crate::support::scripted::{never_ready, poll_ready};

const SECOND: Duration = Duration::from_secs(1);

fn request(host: &str) -> Request<ScriptedBody> {
    let request = Request::get(format!("http://{host}/"));
    request.body(ScriptedBody::new()).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn keyed_open_circuit_rejects_without_waiting_for_the_service() {
    let (hosts, wakes) = (keyed("keyed readiness", 10), CountingWaker::new());
    let mut service = hosts.layer().client().layer(never_ready());
    assert!(poll_ready(&wakes, &mut service).is_pending());
    fail(&hosts, "a");
    assert_eq!(wakes.count(), 1, "whoever waits may be rejected");
    let error = wakes.call(&mut service, request("a")).await;
    let error = error.expect_err("rejected");
    let why = Rejection::find(&*error).expect("a rejection");
    assert_eq!(why.guard(), "keyed readiness");
    // Another key waits, and never calls the service unready.
    assert!(poll_ready(&wakes, &mut service).is_ready());
    let mut call = Box::pin(service.call(request("b")));
    assert!(wakes.poll(call.as_mut()).is_pending());
}

#[tokio::test(start_paused = true)]
async fn keyed_layer_waits_for_the_service_when_no_open_time_is_left() {
    let (hosts, wakes) = (keyed("keyed elapsed", 10), CountingWaker::new());
    let mut service = hosts.layer().client().layer(never_ready());
    fail(&hosts, "a");
    assert!(poll_ready(&wakes, &mut service).is_ready());
    // No call comes for the key, so its circuit is still open.
    advance(60 * SECOND).await;
    assert_eq!(hosts.states().len(), 1);
    assert!(poll_ready(&wakes, &mut service).is_pending());
    hosts.get("b").force_open();
    assert!(poll_ready(&wakes, &mut service).is_ready());
    advance(60 * SECOND).await;
    assert!(poll_ready(&wakes, &mut service).is_ready());
    hosts.reset_all();
    assert!(poll_ready(&wakes, &mut service).is_pending());
}

#[tokio::test(start_paused = true)]
async fn keyed_layers_of_every_protocol_reject_by_key() {
    let hosts = keyed("keyed protocols", 10);
    fail(&hosts, "a");
    let script = || -> Script { Script::new([Reply::ok()]).never_ready() };
    let wakes = CountingWaker::new();
    let mut any = hosts.layer().any().layer(script());
    let rejected = wakes.call(&mut any, request("a")).await;
    assert!(Rejection::find(&*rejected.expect_err("rejected")).is_some());
    let mut server = hosts.layer().server().layer(script());
    let response = wakes
        .call(&mut server, request("a"))
        .await
        .expect("a response");
    assert_eq!(response.status(), 503);
    let mut grpc = hosts.layer().grpc_client().layer(script());
    let rejected = wakes.call(&mut grpc, request("a")).await;
    // A response without the feature `tonic`, which makes a status of it.
    #[cfg(feature = "tonic")]
    assert!(Rejection::find(&*rejected.expect_err("rejected")).is_some());
    #[cfg(not(feature = "tonic"))]
    assert_eq!(rejected.expect("a response").headers()["grpc-status"], "14");
    let shards: KeyedBreaker<usize> = KeyedBreaker::new("keyed shards");
    shards.get_owned(1).force_open();
    let by_length = |request: &Request<ScriptedBody>| Some(request.uri().path().len());
    let mut shards: Guarded<_, _, _> = shards.keyed_by(by_length).layer().client().layer(script());
    let rejected = wakes.call(&mut shards, request("b")).await;
    assert!(Rejection::find(&*rejected.expect_err("rejected")).is_some());
}

#[tokio::test(start_paused = true)]
async fn keyed_pass_through_keeps_the_back_pressure_of_the_service() {
    let (hosts, wakes) = (keyed("keyed back pressure", 10), CountingWaker::new());
    let layer = hosts.layer().client().pass_through();
    let mut service = layer.layer(never_ready());
    fail(&hosts, "a");
    assert!(poll_ready(&wakes, &mut service).is_pending());
}
