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
            let inside = &Inside::call();
            match this.state.as_mut().project() {
                StateProj::Refused { why: Some(why) } => {
                    return held.settle_refused(inside, (*why).borrow());
                }
                StateProj::Panicked { payload: Some(payload) } => {
                    return held.settle_panicked(inside, payload, &Moment::default());
                }
                _ => {}
            }
            held.drop_inside(inside, || this.state.set(State::Done));
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
    pub(super) fn calling(inside: &Inside, held: Held<G, P>, mut call: impl FnMut() -> F) -> Self {
        let mut this = GuardFuture {
            state: State::Done,
            held: Some(held),
        };
        let state = &mut this.state;
        let make = || *state = State::Calling { future: call() };
        if let Some(Err(thrown)) = this.held.as_mut().map(|held| held.run(inside, make)) {
            this.panicked(inside, Payload::new(thrown));
        }
        this
    }

    #[cold]
    fn panicked(&mut self, inside: &Inside, payload: Payload) {
        if !P::CATCHES_PANICS
            && let Some(held) = &mut self.held
        {
            held.settle_panicked(inside, &payload, &Moment::default());
            payload.resume();
        }
        self.state = State::Panicked {
            payload: Some(payload),
        };
    }

    /// Returns whether a guard has refused the call.
    #[inline]
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused { .. })
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

/// Polls the service's future, and drops it when it is done: a panic in the drop is one of the call, too. Puts the
/// result where it is handed on from: responses are large, and each copy of one is felt.
#[inline]
fn poll_to_the_last<F: Future, W>(
    mut state: Pin<&mut State<F, W>>,
    cx: &mut Context<'_>,
    polled: &mut Poll<F::Output>,
) {
    let StateProj::Calling { future } = state.as_mut().project() else {
        panic!("{TWICE}");
    };
    *polled = future.poll(cx);
    if polled.is_ready() {
        state.set(State::Done);
    }
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
        let inside = &Inside::call();
        let mut this = self.project();
        match this.state.as_mut().project() {
            StateProj::Calling { .. } => {
                let held = this.held.as_mut().expect(TWICE);
                let mut polled = Poll::Pending;
                match held.run(inside, || {
                    poll_to_the_last(this.state.as_mut(), cx, &mut polled)
                }) {
                    Ok(()) => {
                        let result = ready!(polled);
                        let over = Over(this.held);
                        Poll::Ready(finish::<G, P, Res, E>(inside, over.0, result))
                    }
                    Err(thrown) => {
                        let payload = Payload::new(thrown);
                        // It has panicked, and may do so again when it is dropped.
                        if let Err(again) = held.run(inside, || this.state.set(State::Done)) {
                            drop(Payload::new(again));
                        }
                        Poll::Ready(Over(this.held).panicked::<Res, E>(inside, payload))
                    }
                }
            }
            StateProj::Refused { why } => {
                let why = why.take().expect(TWICE);
                this.state.set(State::Done);
                let over = Over(this.held);
                Poll::Ready(refuse::<G, P, Res, E>(
                    inside,
                    over.0.as_mut().expect(TWICE),
                    why,
                ))
            }
            StateProj::Panicked { payload } => {
                let payload = payload.take().expect(TWICE);
                this.state.set(State::Done);
                Poll::Ready(Over(this.held).panicked::<Res, E>(inside, payload))
            }
            StateProj::Done => panic!("{TWICE}"),
        }
    }
}

/// A call that is over once this is dropped: the answer would be copied if it were let go of before it is returned.
struct Over<'a, G: Guard, P: Protocol>(&'a mut Option<Held<G, P>>);

impl<G: Guard, P: Protocol> Over<'_, G, P> {
    #[cold]
    fn panicked<Res, E>(self, inside: &Inside, payload: Payload) -> Answer<G, P, Res, E>
    where
        P: Respond<Res, E>,
    {
        panicked::<G, P, Res, E>(inside, self.0.as_mut().expect(TWICE), payload)
    }
}

impl<G: Guard, P: Protocol> Drop for Over<'_, G, P> {
    #[inline]
    fn drop(&mut self) {
        *self.0 = None;
    }
}
