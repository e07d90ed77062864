use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::{
    CallPriority, Context,
    scope::{BudgetScope, ContextScope, PriorityScope, scoped_priority},
};
use crate::util::poll::POLLED_AFTER_COMPLETION;

pin_project! {
    /// A future for which several callers wait: it runs in the context in which it was made, without the deadline of that, and with the
    /// priority that was found there, without the deadlines, time limits and priority of the caller that polls it.
    pub(crate) struct WithoutDeadline<F> {
        // None after completion.
        #[pin]
        future: Option<F>,
        context: Option<Context>,
        priority: Option<CallPriority>,
    }

    impl<F> PinnedDrop for WithoutDeadline<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // Drops may log, and so get the context as polls do.
            let _context = ContextScope::enter(this.context);
            let _budget = BudgetScope::enter_none();
            let _priority = PriorityScope::enter_exact(*this.priority);
            this.future.set(None);
        }
    }
}

impl<F> WithoutDeadline<F> {
    /// Makes the future in such surroundings.
    pub(crate) fn new(make: impl FnOnce() -> F) -> Self {
        let mut context = Context::peek(|context| context.map(Context::without_deadline));
        let future = {
            let _context = ContextScope::enter(&mut context);
            let _budget = BudgetScope::enter_none();
            make()
        };
        WithoutDeadline {
            future: Some(future),
            context,
            priority: scoped_priority(),
        }
    }
}

impl<F: Future> Future for WithoutDeadline<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _context = ContextScope::enter(this.context);
        let _budget = BudgetScope::enter_none();
        let _priority = PriorityScope::enter_exact(*this.priority);
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect(POLLED_AFTER_COMPLETION).poll(cx);
        if polled.is_ready() {
            // Dropped while its context is current, since drops may log.
            this.future.set(None);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker, time::Duration};

    use tokio::time::Instant;

    use super::*;
    use crate::context::{PriorityClass, TimeBudget, current_quantile, deadline};

    const SECOND: Duration = Duration::from_secs(1);

    /// Checks on its drop that no deadline is known.
    struct NoDeadline;

    impl Drop for NoDeadline {
        fn drop(&mut self) {
            assert_eq!(deadline(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn future_knows_its_context_but_no_deadline_of_its_maker_or_of_who_polls_it() {
        let maker = Context::new_root().with_deadline(Instant::now() + SECOND);
        let id = |context: Option<Context>| context.map(|context| context.request_id().to_owned());
        let make = || {
            assert_eq!(
                (deadline(), id(Context::current())),
                (None, id(Some(maker.clone())))
            );
            let on_drop = NoDeadline;
            async move {
                assert_eq!(deadline(), None);
                let current = Context::current();
                tokio::task::yield_now().await;
                assert_eq!((deadline(), Context::current()), (None, current.clone()));
                drop(on_drop);
                current
            }
        };
        let made =
            || maker.run(|| TimeBudget::for_duration(SECOND).run(|| WithoutDeadline::new(make)));
        let (mut work, mut dropped) = (pin!(made()), Box::pin(made()));
        let mut cx = task::Context::from_waker(Waker::noop());
        let until = Instant::now() + SECOND;
        let other = Context::new_root().with_deadline(until);
        TimeBudget::until(until).with_deadline(Some(until)).run(|| {
            assert!(work.as_mut().poll(&mut cx).is_pending());
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
            assert_eq!(
                other.run(deadline),
                Some(until),
                "what was around it is there again"
            );
            other.run(|| drop(dropped));
            let polled = other.run(|| work.as_mut().poll(&mut cx));
            let Poll::Ready(seen) = polled else {
                panic!("not ready");
            };
            assert_eq!(id(seen), id(Some(maker.clone())));
            assert_eq!(deadline(), Some(until));
        });
    }

    /// A caller that drove a shared call on lent it its own priority, where that call had no context.
    #[test]
    fn future_has_the_priority_of_its_maker_and_not_of_who_polls_or_drops_it() {
        let priority = |class: PriorityClass| CallPriority::uncompared(class.into());
        let quantile = |class| Some(priority(class).quantile);
        let mut cx = task::Context::from_waker(Waker::noop());
        for maker in [Some(PriorityClass::Bulk), None] {
            let expected = maker.and_then(quantile);
            let check = move || assert_eq!(current_quantile(), expected);
            let make = || {
                WithoutDeadline::new(|| {
                    check();
                    let on_drop = OnDrop(check);
                    async move {
                        check();
                        tokio::task::yield_now().await;
                        drop(on_drop);
                        check();
                    }
                })
            };
            let made = || {
                let _scope = maker.map(|class| PriorityScope::enter(priority(class)));
                make()
            };
            let (mut work, mut dropped) = (pin!(made()), Box::pin(made()));
            let driver = PriorityClass::Critical;
            let _driver = PriorityScope::enter(priority(driver));
            assert!(work.as_mut().poll(&mut cx).is_pending());
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
            drop(dropped);
            assert_eq!(current_quantile(), quantile(driver), "as it was around it");
            assert!(work.as_mut().poll(&mut cx).is_ready());
        }
    }

    struct OnDrop<F: Fn()>(F);

    impl<F: Fn()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
}
