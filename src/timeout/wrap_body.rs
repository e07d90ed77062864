use std::marker::PhantomData;

use bytes::Bytes;
use http::{HeaderMap, response};
use http_body::Body;

use super::{TimeoutBody, response::ResponseContext};
use crate::{
    call::GRPC_STATUS,
    protocol::{CallState, Protocol, WireFormat, WrapBody},
    util::headers::find_header,
};

/// A wrapper that puts bodies in a [`TimeoutBody`], which has the caller's deadline and limits of its own.
#[derive(Debug)]
pub struct WrapTimeoutBody<P>(PhantomData<fn() -> P>);

impl<P: Protocol> WrapBody for WrapTimeoutBody<P> {
    type Body<B> = TimeoutBody<B>;
    type With<'a>
        = ResponseContext<'a, P>
    where
        Self: 'a;

    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: ResponseContext<'_, P>,
        parts: &mut response::Parts,
        body: B,
    ) -> TimeoutBody<B> {
        // Asked only if the body has limits.
        let has_trailers = || with.call.wire().is_grpc() && expects_grpc_trailers(&parts.headers);
        TimeoutBody::new(body, with.config, with.timeout, has_trailers)
    }

    fn message_body<B>(message: Bytes) -> TimeoutBody<B> {
        TimeoutBody::from_bytes(message)
    }
}

/// Returns whether a body ends with a gRPC status in trailers. gRPC-Web has it in the body's last message, and nothing can
/// be put there once a message has begun.
fn expects_grpc_trailers(headers: &HeaderMap) -> bool {
    WireFormat::from_headers(headers) == WireFormat::Grpc
        && find_header(headers, &GRPC_STATUS).is_none()
}
