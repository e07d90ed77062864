//! Rate limits: as handles, as guards of every protocol, and by the peer's word.

use std::time::Duration;

use http::Request;
use tower_keep::{
    rate_limit::{RateLimit, RateLimitBuilder},
    testing::{Reply, Script, ScriptedBody},
};

use crate::support::scripted::call;

mod clients;
mod fields;
mod guard;
mod handle;
mod keyed;
mod layer;
mod layer_clients;
mod settings;
mod windows;

const SECOND: Duration = Duration::from_secs(1);

/// One call per second, and so many at once.
fn builder(burst: u32) -> RateLimitBuilder {
    RateLimit::builder("peer").rate(1, SECOND).burst(burst)
}

fn limit(burst: u32) -> RateLimit {
    builder(burst).build().expect("valid settings")
}

fn request() -> Request<ScriptedBody> {
    let request = Request::get("http://a.example/").body(ScriptedBody::new());
    request.expect("a request")
}

fn grpc_request() -> Request<ScriptedBody> {
    let request = Request::post("http://a.example/stock.Stock/Get")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc");
    request.body(ScriptedBody::new()).expect("a request")
}

/// Returns a service that always replies so.
fn always(reply: fn() -> Reply) -> Script {
    Script::always(reply)
}
