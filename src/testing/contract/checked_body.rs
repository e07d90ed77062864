//! Checks that `is_end_stream` and the size hint of a body are true.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;

/// A response body that can be polled without its type.
pub(super) trait PollBody {
    /// Polls the body once. Returns `true` at its end, or the violation as an error.
    fn poll_checked(self: Pin<&mut Self>, cx: &mut Context<'_>)
    -> Poll<Result<bool, &'static str>>;
}

pin_project! {
    /// A body whose `is_end_stream` and size hint are checked at each poll.
    pub(super) struct CheckedBody<B> {
        #[pin]
        body: B,
    }
}

impl<B> CheckedBody<B> {
    pub(super) fn new(body: B) -> Self {
        CheckedBody { body }
    }
}

impl<B: Body<Data = Bytes>> PollBody for CheckedBody<B> {
    fn poll_checked(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, &'static str>> {
        let mut body = self.project().body;
        // Read before the poll, since both speak of what is still to come.
        let (is_end_stream, hint) = (body.is_end_stream(), body.size_hint());
        let polled = ready!(body.as_mut().poll_frame(cx));
        Poll::Ready(match polled {
            Some(Ok(_)) if is_end_stream => Err("the body reported its end before its last frame"),
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) if hint.upper().is_some_and(|max| data.len() as u64 > max) => {
                    Err("the body is longer than its size hint")
                }
                _ => Ok(false),
            },
            None if hint.lower() > 0 => Err("the body is shorter than its size hint"),
            None | Some(Err(_)) => Ok(true),
        })
    }
}
