use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tower_service::Service;

/// A service that panics if it is called on a handle that was not itself polled ready.
///
/// A clone is not ready, even if the original is. `tower` allows services to behave so, but most do not, and hide the bug
/// of the caller.
///
/// A layer may catch the panic, so [`violations`](Self::violations) counts them as well.
///
/// ```should_panic
/// use tower_keep::testing::{ReadyChecked, Reply, Script};
/// use tower::Service;
///
/// let mut service = ReadyChecked::new(Script::always(Reply::<()>::ok));
/// let _ = service.call("a request"); // was never polled ready
/// ```
#[derive(Debug)]
pub struct ReadyChecked<S> {
    inner: S,
    ready: bool,
    violations: Arc<AtomicUsize>,
}

impl<S> ReadyChecked<S> {
    /// Wraps a service.
    ///
    /// A service that is used as it should be:
    ///
    /// ```
    /// use tower_keep::testing::{CountingWaker, ReadyChecked, Reply, Script};
    ///
    /// let mut service = ReadyChecked::new(Script::always(Reply::<()>::ok));
    /// let call = CountingWaker::new().call(&mut service, "a request"); // polls it ready first
    /// # let _ = call;
    /// assert_eq!(service.violations(), 0);
    /// ```
    pub fn new(inner: S) -> Self {
        ReadyChecked {
            inner,
            ready: false,
            violations: Arc::default(),
        }
    }

    /// Returns the number of calls without readiness, of all clones.
    pub fn violations(&self) -> usize {
        self.violations.load(Ordering::SeqCst)
    }

    /// Returns the wrapped service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

/// A clone is not ready: readiness belongs to the handle that was polled.
impl<S: Clone> Clone for ReadyChecked<S> {
    fn clone(&self) -> Self {
        ReadyChecked {
            inner: self.inner.clone(),
            ready: false,
            violations: self.violations.clone(),
        }
    }
}

impl<S: Service<Req>, Req> Service<Req> for ReadyChecked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let result = ready!(self.inner.poll_ready(cx));
        // A service that has failed must not be called either.
        self.ready = result.is_ok();
        Poll::Ready(result)
    }

    fn call(&mut self, request: Req) -> S::Future {
        // A call uses the readiness up, also if it panics.
        if !mem::take(&mut self.ready) {
            self.violations.fetch_add(1, Ordering::SeqCst);
            panic!("called on a handle that was not itself polled ready");
        }
        self.inner.call(request)
    }
}
