use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{Answer, Guard, Held};
use crate::{
    call::{Inside, Moment, Payload, Rejection},
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
            let _inside = Inside::call();
            match this.state.as_mut().project() {
                StateProj::Refused { why: Some(why) } => return held.settle_refused(why),
                StateProj::Panicked { payload: Some(payload) } => {
                    return held.settle_panicked(payload, &Moment::default());
                }
                _ => {}
            }
            if let Err(thrown) = held.run(|| this.state.set(State::Done)) {
                let payload = Payload::new(thrown);
                held.settle_panicked(&payload, &Moment::default());
                if !std::thread::panicking() {
                    payload.resume();
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

    pub(super) fn refused(held: Held<G, P>, why: Rejection) -> Self {
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
            held.settle_panicked(&payload, &Moment::default());
            payload.resume();
        }
        GuardFuture {
            state: State::Panicked {
                payload: Some(payload),
            },
            held: Some(held),
        }
    }
}

/// Polls the service's future, and drops it when it is done: a panic in the drop is one of the call, too.
#[inline]
fn poll_to_the_last<F: Future>(
    mut state: Pin<&mut State<F>>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let StateProj::Calling { future } = state.as_mut().project() else {
        panic!("{TWICE}");
    };
    let output = ready!(future.poll(cx));
    state.set(State::Done);
    Poll::Ready(output)
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
        let _inside = Inside::call();
        let mut this = self.project();
        let answer = match this.state.as_mut().project() {
            StateProj::Calling { .. } => {
                let held = this.held.as_mut().expect(TWICE);
                match held.run(|| poll_to_the_last(this.state.as_mut(), cx)) {
                    Ok(poll) => Ok(ready!(poll)),
                    Err(thrown) => {
                        let payload = Payload::new(thrown);
                        // It has panicked, and may do so again when it is dropped.
                        if let Err(again) = held.run(|| this.state.set(State::Done)) {
                            drop(Payload::new(again));
                        }
                        Err(payload)
                    }
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
