use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Answer, Guard, Held};
use crate::{
    call::{Payload, Rejection},
    protocol::Protocol,
};

pin_project! {
    /// The future of a guarded call. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<F, G: Guard, P: Protocol> {
        #[pin]
        state: State<F>,
        held: Option<Held<G, P>>,
    }

    impl<F, G: Guard, P: Protocol> PinnedDrop for GuardFuture<F, G, P> {
        // The service's future is dropped inside the guards, so that what it still says carries the call's
        // IDs; the call settles after it.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(mut held) = this.held.take() else {
                return;
            };
            if let Err(payload) = held.run(|| this.state.set(State::Done)) {
                held.settle_panicked(&payload);
                if !std::thread::panicking() {
                    resume_unwind(payload);
                }
            }
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F },
        // Boxed, since that is what an error becomes.
        Refused { why: Option<Box<Rejection>> },
        Panicked { payload: Option<Payload> },
        Done,
    }
}

const TWICE: &str = "polled after completion";

impl<F, G: Guard, P: Protocol> GuardFuture<F, G, P> {
    #[inline]
    pub(super) fn calling(held: Held<G, P>, future: F) -> Self {
        GuardFuture {
            state: State::Calling { future },
            held: Some(held),
        }
    }

    pub(super) fn refused(mut held: Held<G, P>, why: Rejection) -> Self {
        held.refuse();
        GuardFuture {
            state: State::Refused {
                why: Some(Box::new(why)),
            },
            held: Some(held),
        }
    }

    /// The service panicked in `call`: answered when polled, or passed on at once.
    pub(super) fn panicked(held: Held<G, P>, payload: Payload) -> Self {
        if !P::CATCHES_PANICS {
            held.settle_panicked(&payload);
            resume_unwind(payload);
        }
        GuardFuture {
            state: State::Panicked {
                payload: Some(payload),
            },
            held: Some(held),
        }
    }
}

impl<F, G, P, Res, E> Future for GuardFuture<F, G, P>
where
    F: Future<Output = Result<Res, E>>,
    G: Guard,
    P: Answer<Res, E>,
{
    type Output = Result<P::Response<G>, P::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.state.as_mut().project() {
            StateProj::Calling { future } => {
                let held = this.held.as_mut().expect(TWICE);
                match held.run(|| future.poll(cx)) {
                    Ok(poll) => Ok(ready!(poll)),
                    Err(payload) => Err(payload),
                }
            }
            StateProj::Refused { why } => {
                let why = why.take().expect(TWICE);
                let held = this.held.take().expect(TWICE);
                this.state.set(State::Done);
                return Poll::Ready(P::refuse(held, why));
            }
            StateProj::Panicked { payload } => Err(payload.take().expect(TWICE)),
            StateProj::Done => panic!("{TWICE}"),
        };
        this.state.set(State::Done);
        let held = this.held.take().expect(TWICE);
        Poll::Ready(match answer {
            Ok(result) => P::finish(held, result),
            Err(payload) => P::panicked(held, payload),
        })
    }
}
