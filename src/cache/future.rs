use std::{
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{entry::Place, misses::Miss};
use crate::{
    call::BoxError, fallback::is_failure_by_default, protocol::AnyService,
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of a call whose response is kept. Named and unboxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct CacheFuture<F, T, K> {
        #[pin]
        state: State<F, T, K>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, T, K> {
        Found { response: Option<T> },
        Calling { #[pin] future: F, place: Option<(Place<K>, Miss)> },
        Done,
    }
}

impl<F, T, K> CacheFuture<F, T, K> {
    pub(super) fn found(response: T) -> Self {
        let response = Some(response);
        CacheFuture {
            state: State::Found { response },
        }
    }

    pub(super) fn called(future: F, place: Option<(Place<K>, Miss)>) -> Self {
        CacheFuture {
            state: State::Calling { future, place },
        }
    }
}

impl<F, T, K, E> Future for CacheFuture<F, T, K>
where
    F: Future<Output = Result<T, E>>,
    T: Clone + Send + Sync + 'static,
    E: Into<BoxError>,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = match state.as_mut().project() {
            StateProj::Found { response } => Ok(response.take().expect(POLLED_AFTER_COMPLETION)),
            StateProj::Calling { future, place } => {
                let result = ready!(future.poll(cx)).map_err(Into::into);
                match place {
                    Some((place, miss)) => finish(place, miss, result),
                    None => result,
                }
            }
            StateProj::Done => panic!("{POLLED_AFTER_COMPLETION}"),
        };
        // Dropped now: the caller may hold this future for longer than it needs it.
        state.set(State::Done);
        Poll::Ready(result)
    }
}

/// Keeps a response, or replaces a failure by one that is kept.
fn finish<T, K>(place: &Place<K>, miss: &Miss, result: Result<T, BoxError>) -> Result<T, BoxError>
where
    T: Clone + Send + Sync + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    match result {
        Ok(response) => {
            place.store(miss, &response);
            Ok(response)
        }
        Err(error) => {
            let outcome = AnyService::new().classify::<T>(Err(&error)).outcome;
            let stale = match is_failure_by_default(outcome) {
                true => place.find_stale(),
                false => None,
            };
            stale.ok_or(error)
        }
    }
}

impl<F, T, K> fmt::Debug for CacheFuture<F, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}
