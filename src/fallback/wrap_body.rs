use std::marker::PhantomData;

use bytes::Bytes;
use http::response;
use http_body::Body;

use super::FallbackBody;
use crate::protocol::WrapBody;

/// A wrapper that puts the service's bodies in a [`FallbackBody`] that may also hold `A`, the fallback's.
#[derive(Debug)]
pub struct WrapFallbackBody<A>(PhantomData<fn() -> A>);

impl<A> WrapBody for WrapFallbackBody<A> {
    type Body<B> = FallbackBody<B, A>;
    type With<'a>
        = ()
    where
        Self: 'a;

    fn wrap_body<B: Body<Data = Bytes>>(
        (): (),
        _: &mut response::Parts,
        body: B,
    ) -> FallbackBody<B, A> {
        FallbackBody::from_service(body)
    }

    fn message_body<B>(message: Bytes) -> FallbackBody<B, A> {
        FallbackBody::from_bytes(message)
    }
}
