use std::{
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::running_attempt::RunningAttempt;

pin_project! {
    /// The stage of a call.
    #[project = StageProj]
    pub(super) enum Stage<F> {
        /// Before the first poll.
        NotStarted,
        /// The deadline passed before anything was started.
        PastDeadline,
        /// An attempt runs.
        Running { #[pin] attempt: RunningAttempt<F> },
        /// The backoff before the next attempt.
        Waiting { #[pin] sleep: Sleep },
        /// The next attempt waits for the service, up to the deadline.
        AwaitingReady { #[pin] timer: Option<Sleep> },
    }
}

/// Waits for a service up to the deadline. Returns `None` once the deadline has passed.
pub(super) fn poll_ready_before<E>(
    ready: Poll<Result<(), E>>,
    deadline: Option<Instant>,
    mut timer: Pin<&mut Option<Sleep>>,
    cx: &mut Cx<'_>,
) -> Poll<Option<Result<(), E>>> {
    match (ready, deadline) {
        // The timer may be late, or not set yet.
        (Poll::Ready(Ok(())), Some(end)) if Instant::now() >= end => Poll::Ready(None),
        (Poll::Ready(ready), _) => Poll::Ready(Some(ready)),
        (Poll::Pending, None) => Poll::Pending,
        (Poll::Pending, Some(end)) => {
            // Most services are ready at once, so the timer is set only if this one is not.
            if timer.is_none() {
                timer.set(Some(sleep_until(end)));
            }
            ready!(timer.as_pin_mut().expect("the timer was set").poll(cx));
            Poll::Ready(None)
        }
    }
}
