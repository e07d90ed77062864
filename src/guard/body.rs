use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use super::{Guard, InFlightCall};
use crate::{
    call::{BoxError, CallClock, CapturedPanic, CatchScope, Cause, Outcome},
    protocol::{CallState, HttpExchange, Protocol},
};

pin_project! {
    /// The body of a guarded response: the call ends with it.
    ///
    /// The end is whatever comes first: trailers, a frame after which the inner body says it is over, the end
    /// of the stream, an error, a panic, or the drop. Forwards `size_hint` and `is_end_stream` as they are.
    pub struct GuardedBody<B, G: Guard, P: Protocol> {
        // The service's, or the answer to a refusal or to a caught panic.
        #[pin]
        inner: Either<B, Full<Bytes>>,
        held: Option<InFlightCall<G, P>>,
    }

    impl<B, G: Guard, P: Protocol> PinnedDrop for GuardedBody<B, G, P> {
        // As for the future: inside the guards, and settled after it.
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(held) = this.held {
                dropped(this.inner, held);
            }
        }
    }
}

/// Drops a body before its end.
#[cold]
#[inline(never)]
fn dropped<B, G: Guard, P: Protocol>(
    mut body: Pin<&mut Either<B, Full<Bytes>>>,
    held: &mut InFlightCall<G, P>,
) {
    held.drop_inside(&CatchScope::enter_call(), || {
        body.set(Either::Right(Full::default()));
    });
}

impl<B, G: Guard, P: Protocol> GuardedBody<B, G, P> {
    #[inline]
    pub(super) fn new(body: B, held: Option<InFlightCall<G, P>>) -> Self {
        GuardedBody {
            inner: Either::Left(body),
            held,
        }
    }

    pub(super) fn message(message: Bytes) -> Self {
        GuardedBody {
            inner: Either::Right(Full::new(message)),
            held: None,
        }
    }
}

impl<B, G, P> Body for GuardedBody<B, G, P>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    G: Guard,
    P: Protocol<Call = HttpExchange>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let mut body = this.inner;
        let Some(held) = this.held else {
            return body.poll_frame(cx);
        };
        let inside = &CatchScope::enter_call();
        let (mut polled, mut ended) = (Poll::Pending, false);
        let ran = held.run_caught(inside, || {
            polled = body.as_mut().poll_frame(cx);
            ended = polled.is_ready() && body.is_end_stream();
        });
        if let Err(thrown) = ran {
            let payload = CapturedPanic::new(thrown);
            held.complete_panicked(inside, &payload, &CallClock::default());
            *this.held = None;
            payload.resume();
        }
        // Looked at where it lies: frames are large.
        let (call, protocol) = held.exchange_mut();
        call.set_reader_waiting(polled.is_pending());
        let Poll::Ready(frame) = &polled else {
            return Poll::Pending;
        };
        let over = call.on_frame(frame.as_ref(), ended, protocol.classifier());
        if let Poll::Ready(Some(Err(error))) = polled {
            let error = settle_failed(inside, held, error);
            *this.held = None;
            return Poll::Ready(Some(Err(error)));
        }
        if over {
            held.excuse_timeout(inside);
            let judged = held.exchange().classification();
            held.complete(inside, judged, None, &CallClock::default());
            *this.held = None;
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

/// Settles a call whose body failed; the error goes on to the caller.
#[cold]
fn settle_failed<G, P>(
    inside: &CatchScope,
    held: &mut InFlightCall<G, P>,
    error: BoxError,
) -> BoxError
where
    G: Guard,
    P: Protocol<Call = HttpExchange>,
{
    let (call, protocol) = held.exchange_mut();
    let cause = match call.outcome() {
        // What was refused or has panicked stays so, whatever becomes of the answer.
        Outcome::Rejected | Outcome::Panicked => None,
        _ => {
            call.on_error(&*error, protocol.classifier());
            Some(Cause::from_error(&*error))
        }
    };
    let judged = held.exchange().classification();
    held.complete(inside, judged, cause, &CallClock::default());
    error
}

impl<B: Default, G: Guard, P: Protocol> Default for GuardedBody<B, G, P> {
    fn default() -> Self {
        GuardedBody::new(B::default(), None)
    }
}

impl<B: fmt::Debug, G: Guard, P: Protocol> fmt::Debug for GuardedBody<B, G, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GuardedBody");
        match &self.inner {
            Either::Left(body) => debug.field("inner", body),
            Either::Right(message) => debug.field("message", message),
        };
        debug.finish_non_exhaustive()
    }
}
