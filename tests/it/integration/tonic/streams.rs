//! Streams that go both ways, on a service that is written out.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context as Cx, Poll},
};

use bytes::{Buf, BufMut, Bytes};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{NamedService, StreamingService},
};
use tower::{Service, ServiceBuilder};
use tower_keep::{
    GuardLayer, Outcome, Track,
    call::{Evidence, GrpcCode},
    track::RequestBodyLayer,
};

use super::channel;
use crate::support::{guards::witness, meter::meter, within};

/// Shouts back whatever it hears.
#[derive(Clone)]
pub struct Chat;

impl NamedService for Chat {
    const NAME: &'static str = "test.Chat";
}

impl StreamingService<Bytes> for Chat {
    type Response = Bytes;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let heard = request.into_inner();
        let shouts = heard.map(|heard| heard.map(|text| text.to_ascii_uppercase().into()));
        Box::pin(async { Ok(Response::new(Box::pin(shouts) as Self::ResponseStream)) })
    }
}

impl<B> Service<http::Request<B>> for Chat
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<tower_keep::BoxError> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let chat = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            Ok(grpc.streaming(chat, request).await)
        })
    }
}

/// Messages are the bytes that they are.
#[derive(Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;
    fn encoder(&mut self) -> Plain {
        Plain
    }
    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

const SHOUT: http::uri::PathAndQuery = http::uri::PathAndQuery::from_static("/test.Chat/Shout");

/// Says one thing after the other, each once the last was answered.
pub async fn chat<S, B, const N: usize>(service: S, texts: [&'static str; N]) -> Vec<Bytes>
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>,
    S::Error: Into<tower_keep::BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower_keep::BoxError> + Send,
{
    let (say, said) = mpsc::channel(1);
    let mut grpc = Grpc::new(service);
    if grpc.ready().await.is_err() {
        panic!("not ready");
    }
    let request = Request::new(ReceiverStream::new(said));
    let answer = grpc.streaming(request, SHOUT, Plain).await.unwrap();
    let mut answers = answer.into_inner();
    let mut heard = Vec::new();
    for text in texts {
        say.send(Bytes::from_static(text.as_bytes())).await.unwrap();
        heard.push(within(answers.message()).await.unwrap().unwrap());
    }
    drop(say);
    assert_eq!(answers.message().await.unwrap(), None);
    heard
}

#[tokio::test]
async fn bidi_stream_is_one_call_on_both_sides() {
    let meter = meter();
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let track = Track::builder("chat").body_sizes(true).build().unwrap();
    let bytes = RequestBodyLayer::new(tonic::body::Body::new);
    let guard = GuardLayer::server((served, track.clone()));
    let stack = ServiceBuilder::new().layer(guard).layer(bytes).into_inner();
    let address = serve_tonic!(stack, Chat);
    let guard = GuardLayer::grpc_client((called, track));
    let layer = ServiceBuilder::new().layer(guard).layer(bytes).into_inner();
    let service = ServiceBuilder::new().layer(layer).service(channel(address));
    assert_eq!(chat(service, ["hello", "bye"]).await, ["HELLO", "BYE"]);

    for ends in [&mut server_ends, &mut client_ends] {
        let told = ends.next().await;
        assert_eq!(
            (told.outcome, told.code),
            (Outcome::Success, Some(GrpcCode::OK))
        );
        assert_eq!(told.response_bytes, 18, "eight bytes in two frames");
    }
    for side in ["server", "client"] {
        for direction in ["request", "response"] {
            let sizes = format!("rpc_{side}_{direction}_body_size_bytes_sum");
            let method = [("rpc_method", "test.Chat/Shout")];
            assert_eq!(meter.sum(&sizes, &method), Some(18.0), "{side} {direction}");
        }
    }
}

#[tokio::test]
async fn bidi_stream_client_disconnect_is_cancelled_on_server() {
    let (served, mut server_ends) = witness();
    let (called, mut client_ends) = witness();
    let address = serve_tonic!(GuardLayer::server(served), Chat);
    let layer = GuardLayer::grpc_client(called);
    let mut grpc = Grpc::new(ServiceBuilder::new().layer(layer).service(channel(address)));
    grpc.ready().await.unwrap();
    let (say, said) = mpsc::channel(1);
    let request = Request::new(ReceiverStream::new(said));
    let mut answers = grpc
        .streaming(request, SHOUT, Plain)
        .await
        .unwrap()
        .into_inner();
    say.send(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap(), "HELLO");
    drop((say, answers));
    let wanted = (Outcome::Success, Evidence::Healthy);
    assert_eq!(client_ends.next_classified().await, wanted);
    let gone = (Outcome::Cancelled, Evidence::Healthy);
    assert_eq!(server_ends.next_classified().await, gone);
}
