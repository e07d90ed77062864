//! The proxy itself: rewrites a request, sends it on, and rewrites the response; bodies stream through.
//!
//! Interim responses (103 Early Hints) are not forwarded, since hyper's server cannot send them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame};
use http_body_util::combinators::MapFrame;
use http_body_util::{BodyExt, Either, Full};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tower::util::ServiceExt;
use tower_keep::protocol::WireFormat;
use tower_service::Service;

use super::BoxError;
use super::error_page;
use super::headers::{self, Hop};
use super::local_responses;
use super::server::Connection;
use super::upstream_url::{Protocol, UpstreamUrl};

/// The upstream's body as it comes, or a short one of the gateway's own.
///
/// It knows no length beyond `Content-Length`, and need not: the upstream's header says the same.
pub type ProxyBody<R> = Either<MapFrame<R, fn(Frame<Bytes>) -> Frame<Bytes>>, Full<Bytes>>;

/// Forwards every call to one upstream through `client`.
///
/// # Clones
/// share the target; the client decides for itself what its clones share. It is polled ready inside the future
/// of each call, so that one call that must wait holds up no other on the same connection.
#[derive(Clone)]
pub struct Proxy<C> {
    client: C,
    upstream: Arc<Upstream>,
}

struct Upstream {
    target: UpstreamUrl,
    protocol: Protocol,
}

/// A client's side of a switch of protocols, kept until the upstream has agreed.
struct Switch {
    client: OnUpgrade,
    connection: Connection,
}

impl<C> Proxy<C> {
    pub fn new(client: C, target: UpstreamUrl, protocol: Protocol) -> Self {
        let upstream = Arc::new(Upstream { target, protocol });
        Self { client, upstream }
    }
}

impl<C, B, R> Service<Request<B>> for Proxy<C>
where
    // Whatever sends the request on, guarded or not.
    C: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + 'static,
{
    type Response = Response<ProxyBody<R>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.client.clone();
        let upstream = Arc::clone(&self.upstream);
        Box::pin(async move { Ok(forward(client, &upstream, request).await) })
    }
}

async fn forward<C, B, R>(
    client: C,
    upstream: &Upstream,
    mut request: Request<B>,
) -> Response<ProxyBody<R>>
where
    C: Service<Request<B>, Response = Response<R>>,
    C::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    if let Some(answer) = local_responses::without_upstream(&request) {
        return answer.map(Either::Right);
    }
    // gRPC-Web does not count: it is HTTP with a body of its own.
    let grpc = WireFormat::from_request(&request) == WireFormat::Grpc;
    let reader = error_page::Reader::of(request.headers());
    let Some(uri) = upstream.target.rewrite(request.uri()) else {
        return local_responses::out_of_bounds().map(Either::Right);
    };
    let switch = readdress(upstream, uri, grpc, &mut request);
    match client.oneshot(request).await {
        Ok(response) => back(response, switch, grpc),
        Err(error) => reader
            .note(local_responses::failed(error.into(), grpc))
            .map(Either::Right),
    }
}

/// Turns a client's request into the gateway's own.
fn readdress<B>(
    upstream: &Upstream,
    uri: Uri,
    grpc: bool,
    request: &mut Request<B>,
) -> Option<Switch> {
    let connection = request.extensions_mut().remove::<Connection>();
    let received = request.version();
    let sent = upstream.protocol.version(grpc);
    let offer =
        headers::upgrade_offer(request.headers(), received).filter(|_| sent == Version::HTTP_11);
    let hop = Hop {
        peer: connection.as_ref().map(|connection| connection.peer.ip()),
        host: headers::requested_host(request.uri(), request.headers()),
        received,
        sent,
        upstream: upstream.target.authority(),
        upgrade: offer.as_ref(),
    };
    headers::toward_upstream(request.headers_mut(), &hop);
    *request.uri_mut() = uri;
    *request.version_mut() = sent;
    let connection = connection.filter(|_| offer.is_some())?;
    let client = hyper::upgrade::on(request);
    Some(Switch { client, connection })
}

/// Turns the upstream's response into the gateway's own.
fn back<R: Body<Data = Bytes>>(
    mut response: Response<R>,
    switch: Option<Switch>,
    grpc: bool,
) -> Response<ProxyBody<R>> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    match switch {
        Some(switch) if switched => {
            tokio::spawn(tunnel(switch, hyper::upgrade::on(&mut response)));
        }
        None if switched => return local_responses::unasked_switch(grpc).map(Either::Right),
        _ => {}
    }
    let received = response.version();
    headers::toward_client(response.headers_mut(), received, switched);
    // The server puts its own; HTTP/2 here would make it complain on an HTTP/1.1 connection.
    *response.version_mut() = Version::HTTP_11;
    response.map(|body| Either::Left(body.map_frame(clean as fn(_) -> _)))
}

/// One bad field among the trailers would make an HTTP/2 client lose the whole response.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_hop_by_hop(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// Carries bytes both ways until both sides have finished, one fails, or the gateway's time is up.
async fn tunnel(switch: Switch, upstream: OnUpgrade) {
    // All of it: the place among the connections is held for as long as the tunnel.
    let mut connection = switch.connection;
    let carry = async {
        let (client, upstream) = tokio::try_join!(switch.client, upstream)?;
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let carried = tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
        Ok::<_, BoxError>(carried)
    };
    tokio::select! {
        carried = carry => tracing::debug!(?carried, peer = %connection.peer, "tunnel ended"),
        () = connection.ticket.cut() => {}
    }
}
