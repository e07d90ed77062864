use std::{
    borrow::Borrow,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Guard, Held,
    answer::{Answer, finish, panicked, refuse},
};
use crate::{
    call::{Inside, Moment, Payload, Rejection},
    protocol::{Protocol, Respond},
};

pin_project! {
    /// The future of a guarded call. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<F, G: Guard, P: Protocol> {
        #[pin]
        state: State<F, P::Refusal>,
        held: Option<Held<G, P>>,
    }

    impl<F, G: Guard, P: Protocol> PinnedDrop for GuardFuture<F, G, P> {
        // The service's future is dropped inside the guards, so that what it still says carries the call's
        // IDs; the call settles after it.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(held) = this.held else {
                return;
            };
            let _inside = Inside::call();
            match this.state.as_mut().project() {
                StateProj::Refused { why: Some(why) } => return held.settle_refused((*why).borrow()),
                StateProj::Panicked { payload: Some(payload) } => {
                    return held.settle_panicked(payload, &Moment::default());
                }
                _ => {}
            }
            held.drop_inside(|| this.state.set(State::Done));
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, W> {
        Calling { #[pin] future: F },
        Refused { why: Option<W> },
        Panicked { payload: Option<Payload> },
        Done,
    }
}

pub(super) const TWICE: &str = "polled after completion";

impl<F, G: Guard, P: Protocol> GuardFuture<F, G, P> {
    /// Made where it is returned, and the service's future within it: large values are not moved about. One that
    /// panics in `call` is answered when polled, or passed on at once.
    #[inline]
    pub(super) fn calling(held: Held<G, P>, mut call: impl FnMut() -> F) -> Self {
        let mut this = GuardFuture {
            state: State::Done,
            held: Some(held),
        };
        let state = &mut this.state;
        let make = || *state = State::Calling { future: call() };
        if let Some(Err(thrown)) = this.held.as_mut().map(|held| held.run(make)) {
            this.panicked(Payload::new(thrown));
        }
        this
    }

    #[cold]
    fn panicked(&mut self, payload: Payload) {
        if !P::CATCHES_PANICS
            && let Some(held) = &mut self.held
        {
            held.settle_panicked(&payload, &Moment::default());
            payload.resume();
        }
        self.state = State::Panicked {
            payload: Some(payload),
        };
    }

    pub(super) fn refused(held: Held<G, P>, why: Rejection) -> Self {
        GuardFuture {
            state: State::Refused {
                why: Some(why.into()),
            },
            held: Some(held),
        }
    }
}

/// Polls the service's future, and drops it when it is done: a panic in the drop is one of the call, too.
#[inline]
fn poll_to_the_last<F: Future, W>(
    mut state: Pin<&mut State<F, W>>,
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
    P: Respond<Res, E>,
{
    type Output = Answer<G, P, Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _inside = Inside::call();
        let mut this = self.project();
        let answer = match this.state.as_mut().project() {
            StateProj::Calling { .. } => {
                let held = this.held.as_mut().expect(TWICE);
                let mut polled = Poll::Pending;
                // The result is handed on from where it is put: responses are large, and each copy of one is felt.
                match held.run(|| polled = poll_to_the_last(this.state.as_mut(), cx)) {
                    Ok(()) => finish::<G, P, Res, E>(this.held, ready!(polled)),
                    Err(thrown) => {
                        let payload = Payload::new(thrown);
                        // It has panicked, and may do so again when it is dropped.
                        if let Err(again) = held.run(|| this.state.set(State::Done)) {
                            drop(Payload::new(again));
                        }
                        panicked::<G, P, Res, E>(held, payload)
                    }
                }
            }
            StateProj::Refused { why } => {
                let why = why.take().expect(TWICE);
                refuse::<G, P, Res, E>(this.held.as_mut().expect(TWICE), why)
            }
            StateProj::Panicked { payload } => {
                let payload = payload.take().expect(TWICE);
                panicked::<G, P, Res, E>(this.held.as_mut().expect(TWICE), payload)
            }
            StateProj::Done => panic!("{TWICE}"),
        };
        this.state.set(State::Done);
        *this.held = None;
        Poll::Ready(answer)
    }
}
