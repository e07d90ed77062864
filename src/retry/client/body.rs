use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::super::{Retry, state::CallCompletion};
use crate::protocol::HttpExchange;

pin_project! {
    /// The body of a response that may have taken several attempts.
    ///
    /// Passes everything on. Where somebody has to know how the call ends - a budget that counts outcomes, or a retry
    /// that was worth it - that is settled when the body ends, fails or is dropped: an answer that breaks off was no
    /// success. A reader that leaves early says nothing against it.
    #[derive(Default)]
    pub struct RetryBody<B> {
        #[pin]
        inner: B,
        end: Option<BodyCompletion>,
    }
}

impl<B> RetryBody<B> {
    pub(super) fn new(inner: B, end: Option<BodyCompletion>) -> Self {
        RetryBody { inner, end }
    }
}

/// What settles a call at the end of its body.
pub(super) struct BodyCompletion {
    retry: Retry,
    completion: Option<CallCompletion>,
    exchange: HttpExchange,
}

impl BodyCompletion {
    pub(super) fn new(retry: Retry, open: CallCompletion, call: HttpExchange) -> Self {
        let open = Some(open);
        BodyCompletion {
            retry,
            completion: open,
            exchange: call,
        }
    }

    fn complete(&mut self) {
        if let Some(open) = self.completion.take() {
            open.complete(&self.retry, self.exchange.outcome());
        }
    }
}

/// Nothing bad was seen of the answer until its reader left.
impl Drop for BodyCompletion {
    fn drop(&mut self) {
        self.complete();
    }
}

impl<B: Body<Data = Bytes, Error: 'static>> Body for RetryBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let read = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(end) = this.end {
            let is_over = match &read {
                Some(Err(error)) => {
                    end.exchange.on_any_error(error, None);
                    true
                }
                read => {
                    let ended = this.inner.is_end_stream();
                    end.exchange.on_frame(read.as_ref(), ended, None)
                }
            };
            if is_over {
                *this.end = None;
            }
        }
        Poll::Ready(read)
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

impl<B: fmt::Debug> fmt::Debug for RetryBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryBody").field(&self.inner).finish()
    }
}
