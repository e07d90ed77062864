use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::observer::LimitObserver;
use crate::{call::BoxError, util::service_body::ServiceBody};

pin_project! {
    /// The body of a response of the service, or of a rejection. Forwards `size_hint` and `is_end_stream`.
    #[derive(Debug)]
    pub struct RateLimitBody<B> {
        #[pin]
        inner: ServiceBody<B>,
        // Empty unless the trailers may say that the peer is called too often.
        trailers: LimitObserver,
    }
}

impl<B> RateLimitBody<B> {
    #[inline]
    pub(super) fn new(body: B, trailers: LimitObserver) -> Self {
        RateLimitBody {
            inner: ServiceBody::new(body),
            trailers,
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        RateLimitBody {
            inner: ServiceBody::from_bytes(message),
            trailers: LimitObserver::default(),
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
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            this.trailers.on_trailers(trailers);
        }
        polled
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
        RateLimitBody::new(B::default(), LimitObserver::default())
    }
}
