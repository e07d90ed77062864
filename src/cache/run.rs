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
    breaker::classify_result::{ClassifyError, classify_result},
    fallback::is_failure_by_default,
    util::poll::POLLED_AFTER_COMPLETION,
};

pin_project! {
    /// The future of work whose result is kept; made by [`Cache::run`](super::Cache::run) and
    /// [`Cache::run_display`](super::Cache::run_display).
    #[must_use = "futures do nothing unless polled"]
    pub struct CacheRun<K, F, E> {
        // None once it has been dropped for a result that was there.
        #[pin]
        future: Option<F>,
        place: Place<K>,
        classify_error: ClassifyError<E>,
        // None before the first poll.
        miss: Option<Miss>,
    }
}

impl<K, F, E> CacheRun<K, F, E> {
    pub(super) fn new(place: Place<K>, future: F, classify_error: ClassifyError<E>) -> Self {
        CacheRun {
            future: Some(future),
            place,
            classify_error,
            miss: None,
        }
    }
}

impl<K, F, T, E> Future for CacheRun<K, F, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, E>>,
    T: Clone + Send + Sync + 'static,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Not when the future was made: a result may have come since.
        if this.miss.is_none() && this.future.is_some() {
            match this.place.find_fresh() {
                Ok(value) => {
                    this.future.set(None);
                    return Poll::Ready(Ok(value));
                }
                Err(miss) => *this.miss = Some(miss),
            }
        }
        let future = this.future.as_mut().as_pin_mut();
        let result = ready!(future.expect(POLLED_AFTER_COMPLETION).poll(cx));
        this.future.set(None);
        match &result {
            Ok(value) => {
                if let Some(miss) = this.miss.take() {
                    this.place.store(&miss, value);
                }
            }
            Err(_) => {
                let (classification, ..) = classify_result(&result, *this.classify_error, None);
                if is_failure_by_default(classification.outcome)
                    && let Some(value) = this.place.find_stale()
                {
                    return Poll::Ready(Ok(value));
                }
            }
        }
        Poll::Ready(result)
    }
}

impl<K, F, E> fmt::Debug for CacheRun<K, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRun").finish_non_exhaustive()
    }
}
