//! Calls of scripted services by hand.

use std::task::Poll;

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    BoxError,
    testing::{CountingWaker, ReadyChecked, Reply, Script, ScriptedBody},
};

/// Never ready, and never called before it is.
pub fn never_ready() -> ReadyChecked<Script> {
    ReadyChecked::new(Script::new([Reply::ok()]).never_ready())
}

/// Polls a handle once. Ready is `true`, unless the handle has failed.
pub fn poll_ready<S: Service<Request<ScriptedBody>>>(
    wakes: &CountingWaker,
    service: &mut S,
) -> Poll<bool> {
    wakes.poll_ready(service).map(|ready| ready.is_ok())
}

/// Makes one call through the layer, which the service replies to so.
pub async fn call<L, B>(
    layer: &L,
    request: Request<ScriptedBody>,
    reply: fn() -> Reply,
) -> Result<Response<B>, BoxError>
where
    L: Layer<Script>,
    L::Service: Service<Request<ScriptedBody>, Response = Response<B>, Error: Into<BoxError>>,
{
    let service = layer.layer(Script::always(reply));
    service.oneshot(request).await.map_err(Into::into)
}
