use bytes::Bytes;
use http::response;
use http_body::Body;

use super::{RateLimitBody, observer::LimitObserver};
use crate::protocol::{Protocol, WireFormat, WrapBody};

/// A wrapper that puts bodies in a [`RateLimitBody`].
#[derive(Debug)]
pub struct WrapLimited(());

/// The function that adds the fields of the limit to a head.
pub struct HeadContext<'a> {
    pub(super) observer: &'a LimitObserver,
    pub(super) wire: WireFormat,
    pub(super) append: fn(&LimitObserver, &mut http::HeaderMap, WireFormat),
}

impl<'a> HeadContext<'a> {
    #[inline]
    pub(super) fn new<P: Protocol>(observer: &'a LimitObserver, wire: WireFormat) -> Self {
        HeadContext {
            observer,
            wire,
            append: LimitObserver::append_fields::<P>,
        }
    }
}

impl WrapBody for WrapLimited {
    type Body<B> = RateLimitBody<B>;
    type With<'a> = HeadContext<'a>;

    #[inline]
    fn wrap_body<B: Body<Data = Bytes>>(
        with: HeadContext<'_>,
        parts: &mut response::Parts,
        body: B,
    ) -> RateLimitBody<B> {
        (with.append)(with.observer, &mut parts.headers, with.wire);
        RateLimitBody::new(body)
    }

    fn message_body<B>(message: Bytes) -> RateLimitBody<B> {
        RateLimitBody::from_bytes(message)
    }
}
