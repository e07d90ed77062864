use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{body_timer::BodyTimer, call_timeout::CallTimeout, config::TimeoutConfig};
use crate::{
    call::{BoxError, Elapsed, drop_on_timeout, timeout_trailers},
    util::service_body::ServiceBody,
};

pin_project! {
    /// A response body with time limits. At a timeout it fails; a gRPC body ends with `DEADLINE_EXCEEDED` in its trailers
    /// instead. Forwards `size_hint` and `is_end_stream`.
    pub struct TimeoutBody<B> {
        // Empty after a timeout.
        #[pin]
        inner: ServiceBody<B>,
        // Boxed, since most bodies have no limits.
        timer: Option<Box<BodyTimer>>,
    }
}

impl<B> TimeoutBody<B> {
    #[inline]
    pub(super) fn new<P>(
        body: B,
        config: &TimeoutConfig<P>,
        timeout: &CallTimeout,
        expects_trailers: impl FnOnce() -> bool,
    ) -> Self {
        TimeoutBody {
            inner: ServiceBody::new(body),
            timer: BodyTimer::new(config, timeout, expects_trailers),
        }
    }

    pub(super) fn from_bytes(message: Bytes) -> Self {
        TimeoutBody {
            inner: ServiceBody::from_bytes(message),
            timer: None,
        }
    }
}

/// Returns the end of a body whose time is over: an error, or the trailers that a gRPC reader expects.
fn end_frame(expects_trailers: bool, elapsed: Elapsed) -> Result<Frame<Bytes>, BoxError> {
    if expects_trailers {
        Ok(Frame::trailers(timeout_trailers(&elapsed)))
    } else {
        Err(elapsed.into())
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
        let elapsed = match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let elapsed = match frame.trailers_ref() {
                    // A peer that obeys the deadline reports it in its trailers just before it passes.
                    Some(trailers) => timer.elapsed_at_peer(Some(trailers)),
                    // The last frame is here, so nothing is waited for.
                    None if this.inner.is_end_stream() => None,
                    None => timer.on_frame(),
                };
                match elapsed {
                    Some(elapsed) => elapsed,
                    None => return Poll::Ready(Some(Ok(frame))),
                }
            }
            Poll::Ready(Some(Err(error))) => match timer.elapsed_at_peer(None) {
                Some(elapsed) => elapsed,
                None => return Poll::Ready(Some(Err(error))),
            },
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => ready!(timer.poll_elapsed(cx)),
        };
        let expects_trailers = timer.expects_trailers();
        // The body is dropped before its end is reported: guards in it learn why.
        let elapsed = drop_on_timeout(elapsed, || this.inner.end());
        // Nothing is measured after the end, which a reader may poll again.
        *this.timer = None;
        Poll::Ready(Some(end_frame(expects_trailers, elapsed)))
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
            inner: ServiceBody::default(),
            timer: None,
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for TimeoutBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
