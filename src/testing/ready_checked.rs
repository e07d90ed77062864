use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tower_service::Service;

/// The strict probe: panics when it is called on a handle that was not itself polled ready.
///
/// A clone starts out unready, whatever the readiness of what it was cloned from. That is what `tower` allows
/// services to be, and what most of them are too kind to show.
///
/// The panic may be caught on its way out, by a server's layer for instance, so each is counted as well:
/// [`violations`](Self::violations).
///
/// ```should_panic
/// use tower_keep::testing::{Reply, Script, Strict};
/// use tower::Service;
///
/// let mut service = Strict::new(Script::always(Reply::<()>::ok));
/// let _ = service.call("a request"); // was never polled ready
/// ```
#[derive(Debug)]
pub struct ReadyChecked<S> {
    inner: S,
    ready: bool,
    violations: Arc<AtomicUsize>,
}

impl<S> ReadyChecked<S> {
    /// Watches how the service is called.
    pub fn new(inner: S) -> Self {
        ReadyChecked {
            inner,
            ready: false,
            violations: Arc::default(),
        }
    }

    /// How often it was called unready, all clones together.
    pub fn violations(&self) -> usize {
        self.violations.load(Ordering::SeqCst)
    }

    /// The wrapped service.
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
        self.ready = result.is_ok();
        Poll::Ready(result)
    }

    fn call(&mut self, request: Req) -> S::Future {
        if !mem::take(&mut self.ready) {
            self.violations.fetch_add(1, Ordering::SeqCst);
            panic!("called on a handle that was not itself polled ready");
        }
        self.inner.call(request)
    }
}
