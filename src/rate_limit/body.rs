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
    /// The body of a response of the service, or of a rejection. Forwards `size_hint` and `is_end_stream`.
    #[derive(Debug)]
    pub struct RateLimitBody<B> {
        #[pin]
        inner: Either<B, Full<Bytes>>,
    }
}

impl<B> RateLimitBody<B> {
    #[inline]
    pub(super) fn new(body: B) -> Self {
        RateLimitBody {
            inner: Either::Left(body),
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        RateLimitBody {
            inner: Either::Right(Full::new(message)),
        }
    }
}

impl<B> Body for RateLimitBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
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

impl<B: Default> Default for RateLimitBody<B> {
    fn default() -> Self {
        RateLimitBody::new(B::default())
    }
}
