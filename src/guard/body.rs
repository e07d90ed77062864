use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

use super::{Completion, Guard, InFlightCall};
use crate::{
    call::{BoxError, CapturedPanic, CatchScope, Cause, Outcome},
    protocol::{HttpExchange, Protocol},
};

pin_project! {
    /// The body of a guarded response: the call completes with it.
    ///
    /// It ends with whatever comes first: trailers, a frame after which the inner body says that it has ended, the end of
    /// the stream, an error, a panic, or the drop. Forwards `size_hint` and `is_end_stream` as they are.
    pub struct GuardedBody<B, G: Guard, P: Protocol> {
        // The service's, or that of a response in its place.
        #[pin]
        inner: Either<B, Full<Bytes>>,
        // None once the call is complete.
        call: Option<InFlightCall<G, P>>,
    }

    impl<B, G: Guard, P: Protocol> PinnedDrop for GuardedBody<B, G, P> {
        // The service's body is dropped in the scopes of the guards; the call completes after it.
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(call) = this.call {
                drop_early(this.inner, call);
            }
        }
    }
}

/// Drops a body before its end.
#[cold]
#[inline(never)]
fn drop_early<B, G: Guard, P: Protocol>(
    mut body: Pin<&mut Either<B, Full<Bytes>>>,
    call: &mut InFlightCall<G, P>,
) {
    let _scope = CatchScope::enter_call();
    let clock = call.start_phase();
    call.drop_service(&clock, || body.set(Either::Right(Full::default())));
}

impl<B, G: Guard, P: Protocol> GuardedBody<B, G, P> {
    #[inline]
    pub(super) fn new(body: B, call: Option<InFlightCall<G, P>>) -> Self {
        GuardedBody {
            inner: Either::Left(body),
            call,
        }
    }

    pub(super) fn message(message: Bytes) -> Self {
        GuardedBody {
            inner: Either::Right(Full::new(message)),
            call: None,
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
        let Some(call) = this.call else {
            return body.poll_frame(cx);
        };
        let _scope = CatchScope::enter_call();
        let mut polled = Poll::Pending;
        // Frames are large: one that was handed up through `run_service` would be copied on its way.
        let run = call.run_service(|| {
            polled = body.as_mut().poll_frame(cx);
            polled.is_ready() && body.is_end_stream()
        });
        let is_end = match run {
            Ok(is_end) => is_end,
            Err(payload) => {
                let panic = CapturedPanic::new(payload);
                call.complete(Completion::Panicked(&panic), &call.start_phase());
                *this.call = None;
                panic.resume();
            }
        };
        let (exchange, protocol) = call.exchange_mut();
        exchange.set_reader_waiting(polled.is_pending());
        let Poll::Ready(frame) = &polled else {
            return Poll::Pending;
        };
        let is_end = exchange.on_frame(frame.as_ref(), is_end, protocol.classifier());
        if let Poll::Ready(Some(Err(error))) = polled {
            let error = complete_failed(call, error);
            *this.call = None;
            return Poll::Ready(Some(Err(error)));
        }
        if is_end {
            call.excuse_timeout();
            call.complete(Completion::Response, &call.start_phase());
            *this.call = None;
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

/// Completes a call whose body failed; the error goes on to the caller.
#[cold]
fn complete_failed<G, P>(call: &mut InFlightCall<G, P>, error: BoxError) -> BoxError
where
    G: Guard,
    P: Protocol<Call = HttpExchange>,
{
    let clock = &call.start_phase();
    let (exchange, protocol) = call.exchange_mut();
    match exchange.outcome() {
        // A rejection and a panic stay what they are, whatever becomes of the response.
        Outcome::Rejected | Outcome::Panicked => call.complete(Completion::Response, clock),
        _ => {
            exchange.on_error(&*error, protocol.classifier());
            call.complete(Completion::Error(Cause::from_error(&*error)), clock);
        }
    }
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
