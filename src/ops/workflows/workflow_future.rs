use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::recorded::Recorded;
use crate::{
    context::{Context, InContext, in_context},
    operation::OperationFuture,
};

pin_project! {
    /// The future of a workflow or of a step; made by [`Workflow::run`](super::Workflow::run),
    /// [`Step::run`](super::Step::run) and similar methods.
    #[must_use = "futures do nothing unless polled"]
    pub struct WorkflowFuture<F>
    where
        F: Future,
    {
        #[pin]
        future: InContext<OperationFuture<Recorded<F>>>,
    }
}

impl<F: Future> WorkflowFuture<F> {
    /// Keeps the current context, or begins a request chain.
    pub(super) fn new(future: OperationFuture<Recorded<F>>) -> Self {
        let is_in_context = Context::peek(|context| context.is_some());
        WorkflowFuture {
            future: match is_in_context {
                true => in_context(future),
                false => Context::new_root().scope(future),
            },
        }
    }
}

impl<F: Future> Future for WorkflowFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F: Future> fmt::Debug for WorkflowFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowFuture").finish_non_exhaustive()
    }
}
