//! The call that a thread works on.
//!
//! The only thread-local of this module: a poll that enters a context and a time budget, and a timeout that asks for the
//! earliest deadline, look it up once.

use std::{
    cell::{Cell, RefCell},
    mem,
};

use tokio::time::Instant;

use super::{Context, TimeBudget, min_some};

thread_local! {
    static SCOPE: CallScope = const { CallScope::new() };
}

/// The context and the time budget that the current thread works in.
///
/// Access fails only while the thread-locals of an ending thread are dropped, which is no call's business.
struct CallScope {
    context: RefCell<Option<Context>>,
    time_budget: Cell<TimeBudget>,
}

impl CallScope {
    const fn new() -> Self {
        CallScope {
            context: RefCell::new(None),
            time_budget: Cell::new(TimeBudget::NONE),
        }
    }
}

/// Calls `look` with the current context in place. `look` must neither enter a context nor call code of others.
#[inline]
pub(super) fn peek_context<R>(look: impl FnOnce(Option<&Context>) -> R) -> R {
    // In an option, since it runs in one of two places: inside of the thread-local, or without a context.
    let mut look = Some(look);
    let seen = SCOPE.try_with(|scope| {
        let look = look.take()?;
        // Never borrowed for writing here, since a swap runs no other code. No panic even so: this runs in drops.
        let context = scope.context.try_borrow();
        context.ok().map(|context| look(context.as_ref()))
    });
    match (seen, look) {
        (Ok(Some(result)), _) => result,
        (_, Some(look)) => look(None),
        _ => unreachable!("the context is borrowed only while `look` runs"),
    }
}

/// Returns the time budget that the thread runs in, without the deadline of the current context.
#[inline]
pub(super) fn time_budget() -> TimeBudget {
    SCOPE
        .try_with(|scope| scope.time_budget.get())
        .unwrap_or(TimeBudget::NONE)
}

/// Returns the time budget that the thread runs in, and the deadline of the current context.
#[inline]
pub(super) fn time_budget_and_deadline() -> (TimeBudget, Option<Instant>) {
    let current = SCOPE.try_with(|scope| {
        let context = scope.context.try_borrow().ok();
        let deadline = context.and_then(|context| context.as_ref()?.deadline());
        (scope.time_budget.get(), deadline)
    });
    current.unwrap_or((TimeBudget::NONE, None))
}

/// A scope that makes a context the current one until it is dropped, on unwinding too. What was current waits in the slot
/// meanwhile.
#[must_use = "the context is left when this is dropped"]
pub(crate) struct ContextScope<'a> {
    slot: &'a mut Option<Context>,
}

impl<'a> ContextScope<'a> {
    #[inline]
    pub(crate) fn enter(slot: &'a mut Option<Context>) -> Self {
        swap_context(slot);
        ContextScope { slot }
    }
}

impl Drop for ContextScope<'_> {
    #[inline]
    fn drop(&mut self) {
        swap_context(self.slot);
    }
}

#[inline]
fn swap_context(slot: &mut Option<Context>) {
    let _ = SCOPE.try_with(|scope| {
        // Fails only inside of `peek_context`, whose closure must not enter a context.
        if let Ok(mut current) = scope.context.try_borrow_mut() {
            mem::swap(&mut *current, slot);
        }
    });
}

/// A scope that adds a time budget to those around it until it is dropped, on unwinding too.
#[must_use = "the budget is left when this is dropped"]
pub(crate) struct BudgetScope {
    outer: TimeBudget,
}

impl BudgetScope {
    #[inline]
    pub(super) fn enter(inner: TimeBudget) -> Self {
        let outer = SCOPE.try_with(|scope| {
            let outer = scope.time_budget.get();
            scope.time_budget.set(TimeBudget {
                // The earlier of both: what is inside never extends what is around it.
                deadline: min_some(outer.deadline, inner.deadline),
                limit_expiry: min_some(outer.limit_expiry, inner.limit_expiry),
                limit_duration: min_some(outer.limit_duration, inner.limit_duration),
            });
            outer
        });
        BudgetScope {
            outer: outer.unwrap_or(TimeBudget::NONE),
        }
    }
}

impl Drop for BudgetScope {
    #[inline]
    fn drop(&mut self) {
        let _ = SCOPE.try_with(|scope| scope.time_budget.set(self.outer));
    }
}
