//! A client for HTTP/1.1 or HTTP/2, and bodies to send with it.

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::process::DEADLINE;

pub type AnyBody = BoxBody<Bytes, hyper::Error>;

pub fn full(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body that is sent piece by piece, and ends when the sender is dropped.
pub fn pieces() -> (UnboundedSender<Frame<Bytes>>, AnyBody) {
    let (sender, receiver) = unbounded_channel();
    let frames = stream::unfold(receiver, async |mut receiver| {
        Some((Ok(receiver.recv().await?), receiver))
    });
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

#[derive(Clone)]
pub struct Client(legacy::Client<HttpConnector, AnyBody>);

impl Client {
    pub fn http1() -> Self {
        Client(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    pub fn http2() -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        Client(builder.http2_only(true).build_http())
    }

    pub async fn send(&self, request: Request<AnyBody>) -> Response<Incoming> {
        let asked = request.uri().clone();
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|error| panic!("{asked}: {error:?}"))
    }

    pub async fn try_send(
        &self,
        request: Request<AnyBody>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let asked = request.uri().clone();
        let answer = timeout(DEADLINE, self.0.request(request)).await;
        answer.unwrap_or_else(|_| panic!("no answer from {asked}"))
    }

    pub async fn get(&self, url: &str) -> Response<Incoming> {
        self.send(get(url, &[])).await
    }
}

pub fn get(url: &str, headers: &[(&str, &str)]) -> Request<AnyBody> {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(full("")).expect("a request")
}

pub async fn text(response: Response<Incoming>) -> String {
    let body = timeout(DEADLINE, response.into_body().collect()).await;
    let body = body.expect("an end of the body").expect("a whole body");
    String::from_utf8(body.to_bytes().into()).expect("text")
}

/// The next piece of a body.
pub async fn piece(body: &mut Incoming) -> Option<Frame<Bytes>> {
    let frame = timeout(DEADLINE, body.frame()).await;
    frame
        .expect("a piece in time")
        .transpose()
        .expect("a whole body")
}
