use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::{Context, TimeBudget, scope::ContextScope};
use crate::util::poll::POLLED_AFTER_COMPLETION;

pin_project! {
    /// A future that runs in a context: see [`Context::scope`] and [`in_context`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InContext<F> {
        // None after completion.
        #[pin]
        future: Option<F>,
        context: Option<Context>,
        // The limits of the task that spawned it; none for a context that was passed explicitly.
        time_budget: TimeBudget,
    }

    impl<F> PinnedDrop for InContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Drops may log, and so get the context as polls do.
            let _context = ContextScope::enter(this.context);
            let _budget = this.time_budget.enter();
            this.future.set(None);
        }
    }
}

impl<F> InContext<F> {
    pub(super) fn new(future: F, context: Option<Context>, time_budget: TimeBudget) -> Self {
        InContext {
            future: Some(future),
            context,
            time_budget,
        }
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _context = ContextScope::enter(this.context);
        let _budget = this.time_budget.enter();
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect(POLLED_AFTER_COMPLETION).poll(cx);
        if polled.is_ready() {
            // Dropped while its context is current, since drops may log.
            this.future.set(None);
        }
        polled
    }
}

/// Wraps a future so that it keeps the current context, and its deadline, wherever it is polled:
/// `tokio::spawn(in_context(work))`.
///
/// A tokio task inherits nothing from the task that spawns it.
///
/// A task with the context of the call that spawns it:
///
/// ```
/// use tower_keep::context::{Context, in_context};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let call = Context::new_root();
/// call.scope(async {
///     let task = tokio::spawn(in_context(async { Context::current() }));
///     assert_eq!(task.await.unwrap(), Context::current());
/// })
/// .await;
/// # }
/// ```
pub fn in_context<F: Future>(future: F) -> InContext<F> {
    InContext::new(
        future,
        Context::current(),
        // The task that polls it does not run inside of the limits around this call.
        TimeBudget::current().to_absolute(),
    )
}

/// Wraps the handler of an upgraded connection, such as a web socket, so that it runs in the current context, without the
/// deadline: that was for the call, which is over when the connection is upgraded.
///
/// With axum's `WebSocketUpgrade`:
///
/// ```ignore
/// async fn connect(ws: WebSocketUpgrade) -> Response {
///     ws.on_upgrade(upgrade_in_context(chat))
/// }
/// async fn chat(socket: WebSocket) { /* lines that are logged here have the IDs of the call */ }
/// ```
///
/// The same for any function that is called later with a connection:
///
/// ```
/// use tower_keep::context::{Context, upgrade_in_context};
///
/// async fn chat(_socket: u32) -> Option<Context> {
///     Context::current()
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let call = Context::new_root();
/// let serve = call.run(|| upgrade_in_context(chat));
/// let seen = tokio::spawn(async move { serve(7).await }).await.unwrap();
/// assert_eq!(seen, Some(call));
/// # }
/// ```
pub fn upgrade_in_context<I, F: Future>(
    serve: impl FnOnce(I) -> F,
) -> impl FnOnce(I) -> InContext<F> {
    let context = Context::current().map(|call| call.without_deadline());
    move |connection| {
        // Entered here as well, since a function may log before it returns its future.
        let future = {
            let mut current = context.clone();
            let _scope = ContextScope::enter(&mut current);
            serve(connection)
        };
        InContext::new(future, context, TimeBudget::NONE)
    }
}
