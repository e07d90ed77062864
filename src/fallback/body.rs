use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use crate::call::BoxError;

pin_project! {
    /// The body of a response that may be a fallback's: `B`, the service's own, or `A`, the fallback's. A server's may also
    /// be the message that time has run out.
    #[derive(Debug)]
    pub struct FallbackBody<B, A> {
        #[pin]
        whose: Either<Either<B, A>, Full<Bytes>>,
    }
}

impl<B, A> FallbackBody<B, A> {
    pub(super) fn from_service(body: B) -> Self {
        let whose = Either::Left(Either::Left(body));
        FallbackBody { whose }
    }

    pub(super) fn from_fallback(body: A) -> Self {
        let whose = Either::Left(Either::Right(body));
        FallbackBody { whose }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        let whose = Either::Right(Full::new(message));
        FallbackBody { whose }
    }
}

impl<B, A> Body for FallbackBody<B, A>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().whose.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.whose.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.whose.size_hint()
    }
}

/// As the service's.
impl<B: Default, A> Default for FallbackBody<B, A> {
    fn default() -> Self {
        FallbackBody::from_service(B::default())
    }
}
