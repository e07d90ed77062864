use std::{
    future::Future,
    pin::Pin,
    task::{Context as Cx, Poll},
};

use pin_project_lite::pin_project;

use crate::{context::Context, util::poll::POLLED_AFTER_COMPLETION};

pin_project! {
    /// An attempt that runs: started, polled and dropped in its context if that is not the current one.
    pub(crate) struct RunningAttempt<F> {
        #[pin]
        future: Option<F>,
        context: Option<Context>,
    }

    impl<F> PinnedDrop for RunningAttempt<F> {
        fn drop(this: Pin<&mut Self>) {
            this.end();
        }
    }
}

impl<F> RunningAttempt<F> {
    /// Starts an attempt in its context.
    #[inline]
    pub(crate) fn start(
        context: Option<Context>,
        make: impl FnOnce(Option<&Context>) -> F,
    ) -> Self {
        let future = Some(run_in_context(&context, || make(context.as_ref())));
        RunningAttempt { future, context }
    }

    /// Returns the place of an attempt that has not been started.
    pub(crate) fn not_started() -> Self {
        RunningAttempt {
            future: None,
            context: None,
        }
    }

    /// Returns whether the attempt runs.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.future.is_some()
    }

    /// Drops what is left of the attempt, which may look at its context meanwhile.
    #[inline]
    pub(crate) fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        run_in_context(this.context, || this.future.set(None));
    }
}

impl<F: Future> Future for RunningAttempt<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Cx<'_>) -> Poll<F::Output> {
        let this = self.project();
        let future = this.future.as_pin_mut().expect(POLLED_AFTER_COMPLETION);
        run_in_context(this.context, || future.poll(cx))
    }
}

#[inline]
fn run_in_context<R>(context: &Option<Context>, work: impl FnOnce() -> R) -> R {
    match context {
        Some(context) => context.run(work),
        None => work(),
    }
}
