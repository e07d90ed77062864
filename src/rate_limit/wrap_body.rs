use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{RateLimitBody, observer::LimitObserver};
use crate::protocol::{Protocol, WireFormat, WrapBody};

/// A wrapper that puts bodies in a [`RateLimitBody`].
#[derive(Debug)]
pub struct WrapLimited(());

/// The observer of a head, with what it does by its protocol.
pub struct HeadContext {
    observer: LimitObserver,
    wire: WireFormat,
    pass: fn(LimitObserver, &mut http::HeaderMap, WireFormat) -> LimitObserver,
}

impl HeadContext {
    #[inline]
    pub(super) fn new<P: Protocol>(observer: LimitObserver, wire: WireFormat) -> Self {
        HeadContext {
            observer,
            wire,
            pass: LimitObserver::pass_head::<P>,
        }
    }
}

impl WrapBody for WrapLimited {
    type Body<B> = RateLimitBody<B>;
    type With<'a> = HeadContext;

    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: HeadContext,
        parts: &mut response::Parts,
        body: B,
    ) -> RateLimitBody<B> {
        let trailers = (with.pass)(with.observer, &mut parts.headers, with.wire);
        RateLimitBody::new(body, trailers)
    }

    fn message_body<B>(message: Bytes) -> RateLimitBody<B> {
        RateLimitBody::from_bytes(message)
    }
}
