use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a service, or the message of a response in its place. Forwards `size_hint` and `is_end_stream`.
    #[derive(Debug)]
    pub(crate) struct ServiceBody<B> {
        #[pin]
        inner: Either<B, Full<Bytes>>,
    }
}

impl<B> ServiceBody<B> {
    #[inline]
    pub(crate) fn new(body: B) -> Self {
        ServiceBody {
            inner: Either::Left(body),
        }
    }

    pub(crate) fn from_bytes(message: Bytes) -> Self {
        ServiceBody {
            inner: Either::Right(Full::new(message)),
        }
    }

    /// Drops the body. Nothing comes after that end, which a reader may poll again.
    pub(crate) fn end(self: Pin<&mut Self>) {
        self.project().inner.set(Either::Right(Full::default()));
    }
}

impl<B> Body for ServiceBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for ServiceBody<B> {
    fn default() -> Self {
        ServiceBody::new(B::default())
    }
}
