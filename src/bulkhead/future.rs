use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Bulkhead, service::CalledFuture, waiting_call::WaitingCall};
use crate::{
    guard::WrapGuarded,
    protocol::{Protocol, ReadRequest, Respond},
};

pin_project! {
    /// The future of a call in a bulkhead, which may wait for its slot first. Named, and unboxed unless it waits.
    #[must_use = "futures do nothing unless polled"]
    pub struct QueueFuture<S, P, Req>
    where
        S: Service<Req>,
        P: Protocol,
    {
        #[pin]
        state: QueueState<CalledFuture<S, P, Req>, Box<WaitingCall<S, P, Req>>>,
    }
}

pin_project! {
    #[project = QueueStateProj]
    enum QueueState<F, W> {
        // Boxed, or every call would have room for a service and a request.
        Waits { call: W },
        Calling { #[pin] future: F },
    }
}

impl<S: Service<Req>, P: Protocol, Req> QueueFuture<S, P, Req> {
    #[inline]
    pub(super) fn calling(future: CalledFuture<S, P, Req>) -> Self {
        QueueFuture {
            state: QueueState::Calling { future },
        }
    }

    pub(super) fn waiting(call: WaitingCall<S, P, Req>) -> Self {
        QueueFuture {
            state: QueueState::Waits {
                call: Box::new(call),
            },
        }
    }
}

impl<S, P, Req> Future for QueueFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    P: ReadRequest<Req> + Respond<S::Response, S::Error>,
{
    type Output = Result<P::Response<WrapGuarded<Bulkhead, P>>, P::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                QueueStateProj::Calling { future } => return future.poll(cx),
                QueueStateProj::Waits { call } => {
                    let future = ready!(call.poll(cx));
                    state.set(QueueState::Calling { future });
                }
            }
        }
    }
}

impl<S: Service<Req>, P: Protocol, Req> fmt::Debug for QueueFuture<S, P, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueFuture")
            .field("waits", &matches!(self.state, QueueState::Waits { .. }))
            .finish_non_exhaustive()
    }
}
