use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use http_body::{Body, Frame};
use tower_service::Service;

/// The result of a poll of a body.
pub type PolledFrame<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// A waker that counts wakes, with methods to poll manually.
///
/// ```
/// use std::{future::pending, pin::pin};
/// use tower_keep::testing::CountingWaker;
///
/// let waker = CountingWaker::new();
/// let mut never = pin!(pending::<()>());
/// assert!(waker.poll(never.as_mut()).is_pending());
/// assert_eq!(waker.count(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct CountingWaker(Arc<WakeCounter>);

#[derive(Debug, Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountingWaker {
    /// Creates a waker whose count is zero.
    ///
    /// A future that is ready wakes nobody:
    ///
    /// ```
    /// use std::{future::ready, pin::pin, task::Poll};
    /// use tower_keep::testing::CountingWaker;
    ///
    /// let waker = CountingWaker::new();
    /// assert_eq!(waker.poll(pin!(ready(7))), Poll::Ready(7));
    /// assert_eq!(waker.count(), 0);
    /// ```
    pub fn new() -> Self {
        CountingWaker::default()
    }

    /// Returns the number of wakes.
    pub fn count(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Returns the waker, for a custom `Context`.
    pub fn waker(&self) -> Waker {
        self.0.clone().into()
    }

    /// Polls a service for readiness once, and calls it.
    ///
    /// # Panics
    ///
    /// Panics if the service is not ready.
    pub fn call<Req, S: Service<Req>>(&self, service: &mut S, request: Req) -> Pin<Box<S::Future>> {
        let ready = matches!(self.poll_ready(service), Poll::Ready(Ok(())));
        assert!(ready, "the service is not ready");
        Box::pin(service.call(request))
    }

    /// Polls a future once.
    pub fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker()))
    }

    /// Polls a body once.
    pub fn poll_frame<B: Body + ?Sized>(&self, body: Pin<&mut B>) -> Poll<PolledFrame<B>> {
        body.poll_frame(&mut Context::from_waker(&self.waker()))
    }

    /// Polls a service for readiness once.
    pub fn poll_ready<Req, S: Service<Req>>(&self, service: &mut S) -> Poll<Result<(), S::Error>> {
        service.poll_ready(&mut Context::from_waker(&self.waker()))
    }
}
