use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use super::{body_timer::BodyTimer, call_timeout::CallTimeout, layer::TimeoutConfig};
use crate::call::{BoxError, Elapsed, drop_on_timeout, timeout_trailers};

pin_project! {
    /// The body of a response with time limits. When one runs out, it fails; one of gRPC's ends with trailers that say
    /// `DEADLINE_EXCEEDED`. Forwards `size_hint` and `is_end_stream`.
    pub struct TimeoutBody<B> {
        // The service's, or the answer in place of one that did not come in time. Nothing, when it was given up.
        #[pin]
        inner: Either<B, Full<Bytes>>,
        // Apart, since most bodies have no limits.
        timer: Option<Box<BodyTimer>>,
    }
}

impl<B> TimeoutBody<B> {
    #[inline]
    pub(super) fn new<P>(
        body: B,
        plan: &TimeoutConfig<P>,
        asked: &CallTimeout,
        in_trailers: impl FnOnce() -> bool,
    ) -> Self {
        TimeoutBody {
            inner: Either::Left(body),
            timer: BodyTimer::new(plan, asked, in_trailers),
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        TimeoutBody {
            inner: Either::Right(Full::new(message)),
            timer: None,
        }
    }
}

/// Returns the end of a body without time: its error, or the trailers that a gRPC reader waits for.
fn end_frame(in_trailers: bool, why: Elapsed) -> Result<Frame<Bytes>, BoxError> {
    if in_trailers {
        Ok(Frame::trailers(timeout_trailers(&why)))
    } else {
        Err(why.into())
    }
}

impl<B> Body for TimeoutBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(timer) = this.timer.as_mut() else {
            return this.inner.poll_frame(cx);
        };
        // The frame before the clock, as for the head.
        let late = match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let late = match frame.trailers_ref() {
                    Some(trailers) => timer.elapsed_at_peer(Some(trailers)),
                    None if this.inner.is_end_stream() => None,
                    None => timer.on_frame(),
                };
                match late {
                    Some(late) => late,
                    None => return Poll::Ready(Some(Ok(frame))),
                }
            }
            Poll::Ready(Some(Err(error))) => match timer.elapsed_at_peer(None) {
                Some(late) => late,
                None => return Poll::Ready(Some(Err(error))),
            },
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => ready!(timer.poll_elapsed(cx)),
        };
        let in_trailers = timer.expects_trailers();
        // Given up before its end is told.
        let late = drop_on_timeout(late, || this.inner.set(Either::Right(Full::default())));
        *this.timer = None;
        Poll::Ready(Some(end_frame(in_trailers, late)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for TimeoutBody<B> {
    fn default() -> Self {
        TimeoutBody {
            inner: Either::Left(B::default()),
            timer: None,
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for TimeoutBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TimeoutBody");
        match &self.inner {
            Either::Left(body) => debug.field("inner", body),
            Either::Right(message) => debug.field("message", message),
        };
        debug.finish_non_exhaustive()
    }
}
