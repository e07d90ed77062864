use std::{
    borrow::Borrow,
    future::Future,
    mem::{forget, replace},
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    Guard, InFlightCall,
    respond::{GuardedResult, finish, panicked, refuse},
};
use crate::{
    call::{CallClock, CapturedPanic, CatchScope, Rejection},
    protocol::{CallState, Protocol, Respond},
};

pin_project! {
    /// The future of a guarded call. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct GuardFuture<F, G: Guard, P: Protocol> {
        #[pin]
        state: State<F, P::Refusal>,
        held: Option<InFlightCall<G, P>>,
    }

    impl<F, G: Guard, P: Protocol> PinnedDrop for GuardFuture<F, G, P> {
        // The service's future is dropped inside the guards, so that what it still says carries the call's
        // IDs; the call settles after it.
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(held) = this.held {
                dropped(this.state, held);
            }
        }
    }
}

/// Drops a call before its end.
#[cold]
#[inline(never)]
fn dropped<F, G, P>(mut state: Pin<&mut State<F, P::Refusal>>, held: &mut InFlightCall<G, P>)
where
    G: Guard,
    P: Protocol,
{
    let inside = &CatchScope::enter_call();
    match state.as_mut().project() {
        StateProj::Refused { why: Some(why) } => held.complete_rejected(inside, (*why).borrow()),
        StateProj::Panicked {
            payload: Some(payload),
        } => held.complete_panicked(inside, payload, &CallClock::default()),
        _ => held.drop_inside(inside, || state.set(State::Done)),
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, W> {
        Calling { #[pin] future: F },
        Refused { why: Option<W> },
        Panicked { payload: Option<CapturedPanic> },
        Done,
    }
}

pub(super) const CALLED_ONCE: &str = "a service is called once";
pub(super) const POLLED_AFTER_COMPLETION: &str = "polled after completion";

impl<F, G: Guard, P: Protocol> GuardFuture<F, G, P> {
    /// A call that was asked for: it is made next, unless a guard has refused it.
    #[inline]
    pub(super) fn new(held: InFlightCall<G, P>, refused: Option<Rejection>) -> Self {
        GuardFuture {
            state: match refused {
                Some(why) => State::Refused {
                    why: Some(why.into()),
                },
                None => State::Done,
            },
            held: Some(held),
        }
    }

    /// Makes the service's future where it stays: large values are not moved about. One that panics in `call` is answered
    /// when polled, or passed on at once.
    #[inline]
    pub(super) fn call<Req>(
        &mut self,
        inside: &CatchScope,
        request: &mut Option<Req>,
        mut call: impl FnMut(Req) -> F,
    ) {
        let state = &mut self.state;
        let make = || {
            let future = call(request.take().expect(CALLED_ONCE));
            // There is nothing to drop yet, which the compiler does not know.
            forget(replace(state, State::Calling { future }));
        };
        let made = self.held.as_mut().map(|held| held.run_caught(inside, make));
        if let Some(Err(thrown)) = made {
            self.panicked(inside, CapturedPanic::new(thrown));
        }
    }

    /// Shows the guards the request's body, which is watched.
    #[inline]
    pub(super) fn show_upload(&mut self, inside: &CatchScope) {
        if let Some(held) = &mut self.held
            && held.exchange().has_upload()
        {
            held.on_upload(inside);
        }
    }

    /// The call waits for the service, and is made once this says so.
    pub(super) fn made_when(&mut self, made: Arc<AtomicBool>) {
        if let Some(held) = &mut self.held {
            held.set_called_flag(made);
        }
    }

    #[cold]
    fn panicked(&mut self, inside: &CatchScope, payload: CapturedPanic) {
        if !P::CATCHES_PANICS
            && let Some(held) = &mut self.held
        {
            held.complete_panicked(inside, &payload, &CallClock::default());
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
}

/// Polls the service's future, and drops it when it is done: a panic in the drop is one of the call, too. Puts the
/// result where it is handed on from: responses are large, and each copy of one is felt.
#[inline(always)]
fn poll_to_the_last<F: Future, W>(
    mut state: Pin<&mut State<F, W>>,
    cx: &mut Context<'_>,
    polled: &mut Poll<F::Output>,
) {
    let StateProj::Calling { future } = state.as_mut().project() else {
        panic!("{POLLED_AFTER_COMPLETION}");
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
    type Output = GuardedResult<G, P, Res, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inside = &CatchScope::enter_call();
        let mut this = self.project();
        if !matches!(*this.state, State::Calling { .. }) {
            return Poll::Ready(answer_early(inside, this.state, Over(this.held)));
        }
        let held = this.held.as_mut().expect(POLLED_AFTER_COMPLETION);
        let mut polled = Poll::Pending;
        match held.run_caught(inside, || {
            poll_to_the_last(this.state.as_mut(), cx, &mut polled)
        }) {
            Ok(()) => {
                let result = ready!(polled);
                let over = Over(this.held);
                Poll::Ready(finish::<G, P, Res, E>(inside, over.0, result))
            }
            Err(thrown) => {
                let payload = CapturedPanic::new(thrown);
                // It has panicked, and may do so again when it is dropped.
                if let Err(again) = held.run_caught(inside, || this.state.set(State::Done)) {
                    drop(CapturedPanic::new(again));
                }
                Poll::Ready(Over(this.held).panicked::<Res, E>(inside, payload))
            }
        }
    }
}

/// Answers a call whose service was not asked, or has panicked when it was.
#[inline(never)]
fn answer_early<F, G, P, Res, E>(
    inside: &CatchScope,
    mut state: Pin<&mut State<F, P::Refusal>>,
    over: Over<'_, G, P>,
) -> GuardedResult<G, P, Res, E>
where
    G: Guard,
    P: Respond<Res, E>,
{
    match state.as_mut().project() {
        StateProj::Refused { why } => {
            let why = why.take().expect(POLLED_AFTER_COMPLETION);
            state.set(State::Done);
            let held = over.0.as_mut().expect(POLLED_AFTER_COMPLETION);
            refuse::<G, P, Res, E>(inside, held, why)
        }
        StateProj::Panicked { payload } => {
            let payload = payload.take().expect(POLLED_AFTER_COMPLETION);
            state.set(State::Done);
            over.panicked::<Res, E>(inside, payload)
        }
        StateProj::Calling { .. } | StateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
    }
}

/// A call that is over once this is dropped: the answer would be copied if it were let go of before it is returned.
struct Over<'a, G: Guard, P: Protocol>(&'a mut Option<InFlightCall<G, P>>);

impl<G: Guard, P: Protocol> Over<'_, G, P> {
    #[cold]
    fn panicked<Res, E>(
        self,
        inside: &CatchScope,
        payload: CapturedPanic,
    ) -> GuardedResult<G, P, Res, E>
    where
        P: Respond<Res, E>,
    {
        panicked::<G, P, Res, E>(
            inside,
            self.0.as_mut().expect(POLLED_AFTER_COMPLETION),
            payload,
        )
    }
}

impl<G: Guard, P: Protocol> Drop for Over<'_, G, P> {
    #[inline]
    fn drop(&mut self) {
        // Most often the body has taken it along.
        if self.0.is_some() {
            *self.0 = None;
        }
    }
}
