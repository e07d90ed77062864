//! The call that a thread works on.
//!
//! The only thread-local of this module: a poll that enters a context and a time budget, and a timeout that asks for the
//! earliest deadline, look it up once. The priority that a prioritizer has found is there as well, since calls may have one without
//! a context.

use std::{
    cell::{Cell, RefCell},
    mem,
    thread::AccessError,
    time::Duration,
};

use tokio::time::Instant;

use super::{CallPriority, Context, TimeBudget, min_some};

thread_local! {
    static SCOPE: CallScope = const { CallScope::new() };
}

/// The context and the time budget that the current thread works in.
///
/// Access fails only while the thread-locals of an ending thread are dropped, which is no call's business.
struct CallScope {
    context: RefCell<Option<Context>>,
    moments: Cell<Moments>,
    limit_duration: Cell<Option<Duration>>,
    priority: Cell<Option<CallPriority>>,
}

/// The part of a time budget that most work does not have.
#[derive(Clone, Copy)]
struct Moments {
    deadline: Option<Instant>,
    limit_expiry: Option<Instant>,
}

impl Moments {
    const NONE: Moments = Moments {
        deadline: None,
        limit_expiry: None,
    };
}

impl CallScope {
    const fn new() -> Self {
        CallScope {
            context: RefCell::new(None),
            moments: Cell::new(Moments::NONE),
            limit_duration: Cell::new(None),
            priority: Cell::new(None),
        }
    }

    #[inline]
    fn time_budget(&self) -> TimeBudget {
        let Moments {
            deadline,
            limit_expiry,
        } = self.moments.get();
        TimeBudget {
            deadline,
            limit_expiry,
            limit_duration: self.limit_duration.get(),
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
        .try_with(CallScope::time_budget)
        .unwrap_or(TimeBudget::NONE)
}

/// Returns the time budget that the thread runs in, with the deadline of the current context.
#[inline]
pub(super) fn caller_time_budget() -> TimeBudget {
    let mut budget = TimeBudget::NONE;
    // Set from inside: a result that was handed out would be copied, with and without a value.
    let _ = SCOPE.try_with(|scope| {
        let context = scope.context.try_borrow().ok();
        let deadline = context.and_then(|context| context.as_ref()?.deadline());
        budget = scope.time_budget().with_deadline(deadline);
    });
    budget
}

/// Returns the priority of the call that the thread works on: that of its context, as the prioritizer around it has compared it with
/// others, if one has.
#[inline]
pub(super) fn call_priority() -> Option<CallPriority> {
    let priorities = SCOPE.try_with(|scope| {
        let context = scope.context.try_borrow().ok();
        let of_context = context.and_then(|context| context.as_ref()?.priority());
        (of_context, scope.priority.get())
    });
    match priorities.unwrap_or_default() {
        // A context with another priority was entered inside of the prioritizer.
        (Some(own), Some(compared)) if !compared.priority.is_leveled(own) => {
            Some(CallPriority::uncompared(own))
        }
        (Some(own), None) => Some(CallPriority::uncompared(own)),
        (_, compared) => compared,
    }
}

/// Returns the priority that the prioritizer around the work has found, whatever that of its context is.
#[inline]
pub(super) fn scoped_priority() -> Option<CallPriority> {
    let priority = SCOPE.try_with(|scope| scope.priority.get());
    priority.unwrap_or_default()
}

/// A scope that makes a priority the current one until it is dropped, on unwinding too.
#[must_use = "the priority is left when this is dropped"]
pub(crate) struct PriorityScope {
    outer: Option<CallPriority>,
}

impl PriorityScope {
    #[inline]
    pub(crate) fn enter(priority: CallPriority) -> Self {
        PriorityScope::enter_exact(Some(priority))
    }

    /// Makes what [`scoped_priority`] has returned the current one again, `None` included: for work that others wait for as well.
    #[inline]
    pub(super) fn enter_exact(priority: Option<CallPriority>) -> Self {
        let outer = SCOPE.try_with(|scope| scope.priority.replace(priority));
        PriorityScope {
            outer: outer.unwrap_or_default(),
        }
    }
}

impl Drop for PriorityScope {
    #[inline]
    fn drop(&mut self) {
        let _ = SCOPE.try_with(|scope| scope.priority.set(self.outer));
    }
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
    limit_duration: Option<Duration>,
    // None if they stay as they are: a limit whose clock has not been read adds none.
    moments: Option<Moments>,
}

impl BudgetScope {
    #[inline]
    pub(super) fn enter(inner: TimeBudget) -> Self {
        let outer = SCOPE.try_with(|scope| {
            // The earlier of both: what is inside never extends what is around it.
            let limit_duration = scope.limit_duration.get();
            let shorter = min_some(limit_duration, inner.limit_duration);
            scope.limit_duration.set(shorter);
            let has_moments = inner.deadline.is_some() || inner.limit_expiry.is_some();
            let moments = has_moments.then(|| {
                let outer = scope.moments.get();
                scope.moments.set(Moments {
                    deadline: min_some(outer.deadline, inner.deadline),
                    limit_expiry: min_some(outer.limit_expiry, inner.limit_expiry),
                });
                outer
            });
            BudgetScope {
                limit_duration,
                moments,
            }
        });
        BudgetScope::or_empty(outer)
    }

    /// Leaves all that is around the work out of account until the scope is dropped: for work that others wait for as well.
    #[inline]
    pub(super) fn enter_none() -> Self {
        let outer = SCOPE.try_with(|scope| BudgetScope {
            limit_duration: scope.limit_duration.take(),
            moments: Some(scope.moments.replace(Moments::NONE)),
        });
        BudgetScope::or_empty(outer)
    }

    #[inline]
    fn or_empty(scope: Result<Self, AccessError>) -> Self {
        // Not `unwrap_or`, whose value would be dropped, and so end a budget.
        scope.unwrap_or_else(|_| BudgetScope {
            limit_duration: None,
            moments: None,
        })
    }
}

impl Drop for BudgetScope {
    #[inline]
    fn drop(&mut self) {
        let _ = SCOPE.try_with(|scope| {
            scope.limit_duration.set(self.limit_duration);
            if let Some(moments) = self.moments {
                scope.moments.set(moments);
            }
        });
    }
}
