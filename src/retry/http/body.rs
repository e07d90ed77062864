use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    protocol::HttpExchange,
    retry::{Retry, state::CallCompletion},
};

pin_project! {
    /// The body of a response that may have taken several attempts.
    ///
    /// Passes everything on. If the budget counts outcomes, or the call was retried, the outcome of the call is counted
    /// when the body ends, fails or is dropped: a response that breaks off is no success. A reader that drops the body
    /// early does not make the call a failure.
    #[derive(Default)]
    pub struct RetryBody<B> {
        #[pin]
        inner: B,
        completion: Option<BodyCompletion>,
    }
}

impl<B> RetryBody<B> {
    pub(super) fn new(inner: B) -> Self {
        RetryBody {
            inner,
            completion: None,
        }
    }

    /// Completes the call when the body ends.
    pub(super) fn complete_at_end(&mut self, completion: BodyCompletion) {
        self.completion = Some(completion);
    }
}

/// Completes a call when it is dropped, at the latest with the body.
pub(super) struct BodyCompletion {
    retry: Retry,
    completion: Option<CallCompletion>,
    exchange: HttpExchange,
}

impl BodyCompletion {
    pub(super) fn new(retry: Retry, completion: CallCompletion, exchange: HttpExchange) -> Self {
        BodyCompletion {
            retry,
            completion: Some(completion),
            exchange,
        }
    }
}

impl Drop for BodyCompletion {
    fn drop(&mut self) {
        if let Some(completion) = self.completion.take() {
            completion.complete(&self.retry, self.exchange.outcome());
        }
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
        if let Some(completion) = this.completion {
            let is_end = match &read {
                Some(Err(error)) => {
                    // A response that breaks off is a failure, although its head was a success.
                    completion.exchange.on_any_error(error, None);
                    true
                }
                read => {
                    // hyper does not poll a body again that says it has ended.
                    let ended = this.inner.is_end_stream();
                    completion.exchange.on_frame(read.as_ref(), ended, None)
                }
            };
            if is_end {
                // Its drop completes the call, as it does when the reader leaves early.
                *this.completion = None;
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
