use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::UploadReporter;

pin_project! {
    /// The watched body of a request. Forwards everything as it is.
    #[derive(Debug, Default)]
    pub(crate) struct WatchedBody<B> {
        #[pin]
        inner: B,
        // None for a body that was made from nothing.
        reporter: Option<UploadReporter>,
    }
}

impl<B> WatchedBody<B> {
    pub(crate) fn new(inner: B, reporter: impl Into<Option<UploadReporter>>) -> Self {
        WatchedBody {
            inner,
            reporter: reporter.into(),
        }
    }

    /// Reports that the consumer waits no longer.
    pub(crate) fn release(&mut self) {
        if let Some(reporter) = &mut self.reporter {
            reporter.release();
        }
    }
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        // A panic of the body is not reported: what was known of it stays.
        let polled = this.inner.as_mut().poll_frame(cx);
        if let Some(reporter) = this.reporter {
            reporter.on_poll(&polled, || this.inner.is_end_stream());
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
