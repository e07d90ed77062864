use bytes::Bytes;
use http::response;
use http_body::Body;

use super::CoalescedBody;
use crate::protocol::WrapBody;

/// A wrapper that puts bodies in a [`CoalescedBody`].
#[derive(Debug)]
pub struct WrapCoalesced(());

impl WrapBody for WrapCoalesced {
    type Body<B> = CoalescedBody<B>;
    type With<'a> = ();

    fn wrap_body<B: Body<Data = Bytes>>(
        (): (),
        _: &mut response::Parts,
        body: B,
    ) -> CoalescedBody<B> {
        CoalescedBody::from_service(body)
    }

    fn message_body<B>(message: Bytes) -> CoalescedBody<B> {
        CoalescedBody::from_bytes(message)
    }
}
