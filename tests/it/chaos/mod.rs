//! Faults that are injected on purpose, on a paused clock.

mod bodies;
mod calls;
mod learned;
mod requested;
mod sequence;
mod storm;
mod switching;
mod work;

use std::time::Duration;

use http::Request;
use tower_keep::{
    chaos::{Chaos, ChaosBuilder},
    testing::ScriptedBody,
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// A chaos that is on.
fn on(name: &'static str, configure: impl FnOnce(ChaosBuilder) -> ChaosBuilder) -> Chaos {
    let chaos = configure(Chaos::builder(name)).build().expect("valid");
    chaos.enable();
    chaos
}

fn get(path: &str) -> Request<ScriptedBody> {
    let request = Request::get(path.to_owned()).body(ScriptedBody::new());
    request.expect("a request")
}

fn grpc() -> Request<ScriptedBody> {
    let request = Request::post("/pkg.Service/Method")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    request.body(ScriptedBody::new()).expect("a request")
}
