use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    SharedError,
    caller_deadline::CallerDeadline,
    flight::{Landed, Received},
    seat::Seat,
    shared::{CoalesceShared, Joined},
};
use crate::{
    breaker::CallError,
    call::{BoxError, Rejection, drop_on_timeout},
    context::WithoutDeadline,
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of work that is shared by all that ask for the same key; made by [`Coalesce::run`](super::Coalesce::run).
    #[must_use = "futures do nothing unless polled"]
    pub struct CoalesceRun<K, F, T> {
        #[pin]
        state: RunState<K, F, T>,
        shared: Arc<CoalesceShared>,
    }
}

pin_project! {
    #[project = RunStateProj]
    enum RunState<K, F, T> {
        New { key: Option<K>, future: Option<F> },
        Sharing { seat: RunSeat<K, F, T>, deadline: CallerDeadline },
        Alone { #[pin] work: SharedWork<F> },
        Done,
    }
}

/// A caller's part in shared work.
type RunSeat<K, F, T> = Seat<K, WithoutDeadline<SharedWork<F>>, Result<T, SharedError>, Never>;

pin_project! {
    /// Work whose result can be shared.
    struct SharedWork<F> {
        #[pin]
        future: F,
    }
}

impl<F, T, E> Future for SharedWork<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Landed<Result<T, SharedError>, Never>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().future.poll(cx));
        Poll::Ready(Landed::Shared(result.map_err(SharedError::new)))
    }
}

/// The result of work that cannot be shared: there is none.
type Never = std::convert::Infallible;

impl<K, F, T> CoalesceRun<K, F, T> {
    pub(super) fn new(shared: Arc<CoalesceShared>, key: K, future: F) -> Self {
        CoalesceRun {
            state: RunState::New {
                key: Some(key),
                future: Some(future),
            },
            shared,
        }
    }
}

impl<K, F, T, E> Future for CoalesceRun<K, F, T>
where
    K: Hash + Eq + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Clone + Send + Sync + 'static,
    E: Into<BoxError>,
{
    type Output = Result<T, CallError<SharedError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let landed = match this.state.as_mut().project() {
                RunStateProj::New { key, future } => {
                    // Not when the future was made: one that is never polled is no call.
                    let deadline = CallerDeadline::of_current_work();
                    let joined = this.shared.join(key.take(), &deadline);
                    let future = future.take().expect(POLLED_AFTER_COMPLETION);
                    let work = SharedWork { future };
                    let (state, rejection) = begin(joined, deadline, work);
                    this.state.set(state);
                    if let Some(rejection) = rejection {
                        return Poll::Ready(Err(CallError::Rejected(rejection)));
                    }
                    continue;
                }
                RunStateProj::Sharing { seat, deadline } => match seat.poll(cx) {
                    Poll::Ready(landed) => landed,
                    Poll::Pending => {
                        ready!(deadline.poll(cx));
                        let elapsed = seat.record_elapsed();
                        // The last caller drops the work, which learns why. Otherwise it goes on in another caller.
                        let elapsed = drop_on_timeout(elapsed, || this.state.set(RunState::Done));
                        return Poll::Ready(Err(CallError::Failed(SharedError::new(elapsed))));
                    }
                },
                RunStateProj::Alone { work } => match ready!(work.poll(cx)) {
                    Landed::Shared(result) => Landed::Shared(Received::Shared(Arc::new(result))),
                    Landed::Own(never) => match never {},
                },
                RunStateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
            };
            this.state.set(RunState::Done);
            return Poll::Ready(received(landed).map_err(CallError::Failed));
        }
    }
}

/// Returns the state in which the work goes on, or why it does not.
fn begin<K, F, T>(
    joined: Joined<K, WithoutDeadline<SharedWork<F>>, Result<T, SharedError>, Never>,
    deadline: CallerDeadline,
    work: SharedWork<F>,
) -> (RunState<K, F, T>, Option<Rejection>) {
    let state = match joined {
        Joined::Leads(seat) => {
            seat.start(WithoutDeadline::new(|| work));
            RunState::Sharing { seat, deadline }
        }
        Joined::Joins(seat) => RunState::Sharing { seat, deadline },
        Joined::Alone => RunState::Alone { work },
        Joined::Rejected(rejection) => return (RunState::Done, Some(rejection)),
    };
    (state, None)
}

fn received<T: Clone>(
    landed: Landed<Received<Result<T, SharedError>>, Never>,
) -> Result<T, SharedError> {
    match landed {
        Landed::Shared(Received::Shared(result)) => Arc::unwrap_or_clone(result),
        Landed::Shared(Received::Panicked(message)) => Err(SharedError::new(&*message)),
        // Work of this kind is always shareable.
        Landed::Shared(Received::Unshared) => Err(SharedError::new("the call was not shared")),
        Landed::Own(never) => match never {},
    }
}

impl<K, F, T> fmt::Debug for CoalesceRun<K, F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoalesceRun")
            .field("coalesce", self.shared.name())
            .finish_non_exhaustive()
    }
}
