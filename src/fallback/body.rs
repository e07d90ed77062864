use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use pin_project_lite::pin_project;

use crate::{call::BoxError, util::service_body::ServiceBody};

pin_project! {
    /// The body of a response of the service (`B`) or of the fallback (`A`). A server's may also be that of a timeout.
    #[derive(Debug)]
    pub struct FallbackBody<B, A> {
        #[pin]
        inner: ServiceBody<Either<B, A>>,
    }
}

impl<B, A> FallbackBody<B, A> {
    pub(super) fn from_service(body: B) -> Self {
        let inner = ServiceBody::new(Either::Left(body));
        FallbackBody { inner }
    }

    pub(super) fn from_fallback(body: A) -> Self {
        let inner = ServiceBody::new(Either::Right(body));
        FallbackBody { inner }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        let inner = ServiceBody::from_bytes(message);
        FallbackBody { inner }
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
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The default body of the service.
impl<B: Default, A> Default for FallbackBody<B, A> {
    fn default() -> Self {
        FallbackBody::from_service(B::default())
    }
}
