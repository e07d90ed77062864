use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};

/// Length of the flag and the length that precede each message.
const PREFIX_LEN: usize = 5;

/// Creates a gRPC response with one message, for a fallback of a unary call.
///
/// Pass the message encoded: by `prost::Message::encode_to_vec`, or by the call's codec.
///
/// ```
/// use tower_keep::fallback::{Fallback, FallbackLayer, grpc_message};
///
/// let encoded = vec![0x08, 0x01]; // a message whose field 1 is 1
/// let layer = FallbackLayer::grpc_client(Fallback::new("health"))
///     .with(move |_| grpc_message(encoded.clone()));
/// # let _ = layer;
/// ```
///
/// # Panics
///
/// If the message is longer than 4 GiB, which gRPC cannot send. In a fallback's closure this leaves the failure as it is.
pub fn grpc_message(encoded: impl Into<Bytes>) -> Response<GrpcMessage> {
    let encoded = encoded.into();
    let length = u32::try_from(encoded.len()).expect("a gRPC message is at most 4 GiB long");
    // In one piece, since a transport may write each frame by itself.
    let mut framed = BytesMut::with_capacity(PREFIX_LEN + encoded.len());
    framed.put_u8(0); // not compressed
    framed.put_u32(length);
    framed.extend_from_slice(&encoded);
    let mut response = Response::new(GrpcMessage {
        remaining: Remaining::Message(framed.freeze()),
    });
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// The body of a [`grpc_message`]: the message, then the status `OK` in the trailers.
#[derive(Debug)]
pub struct GrpcMessage {
    remaining: Remaining,
}

#[derive(Debug)]
enum Remaining {
    Message(Bytes),
    Trailers,
    Done,
}

impl Body for GrpcMessage {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, left) = match &mut self.remaining {
            Remaining::Message(framed) => {
                (Frame::data(std::mem::take(framed)), Remaining::Trailers)
            }
            Remaining::Trailers => {
                // A response without a status would count as one that broke off.
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Remaining::Done)
            }
            Remaining::Done => return Poll::Ready(None),
        };
        self.remaining = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.remaining, Remaining::Done)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.remaining {
            Remaining::Message(framed) => framed.len() as u64,
            Remaining::Trailers | Remaining::Done => 0,
        })
    }
}
