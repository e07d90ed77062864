use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::{pushback::LoadSign, shared::PrioritizerShared};
use crate::{
    call::{Classification, ClassifyOutput, current_timeout},
    context::{CallPriority, Context, ContextScope, Priority, PriorityScope},
    throttle::throttled_call::CallResult,
};

/// The permit of a call that a prioritizer has admitted: its priority, and what it has said about the load so far.
#[derive(Debug)]
pub struct PrioritizedCall {
    pub(super) priority: CallPriority,
    pub(super) result: CallResult,
    /// The context of the call, where another one around it has another priority.
    pub(super) context: Option<Context>,
}

impl PrioritizedCall {
    pub(super) fn new(priority: CallPriority, context: Option<Context>) -> Self {
        PrioritizedCall {
            priority,
            result: CallResult::default(),
            context,
        }
    }

    /// Opens a scope in which the priority is that of the call.
    #[inline]
    pub(super) fn enter(&mut self) -> impl Sized {
        let context = match self.context.is_some() {
            true => Some(ContextScope::enter(&mut self.context)),
            false => None,
        };
        (PriorityScope::enter(self.priority), context)
    }
}

/// The permit of one call, which counts when the permit is completed; made by
/// [`Prioritizer::try_acquire`](super::Prioritizer::try_acquire).
///
/// A permit that is dropped says nothing about the load, unless a time limit drops it.
#[must_use = "dropping it completes the call without a result"]
pub struct PriorityPermit {
    shared: Arc<PrioritizerShared>,
    call: PrioritizedCall,
    admitted_at: Instant,
    is_complete: bool,
}

impl PriorityPermit {
    pub(super) fn new(
        shared: Arc<PrioritizerShared>,
        call: PrioritizedCall,
        admitted_at: Instant,
    ) -> Self {
        PriorityPermit {
            shared,
            call,
            admitted_at,
            is_complete: false,
        }
    }

    /// Returns the priority, with the level that it has got.
    pub fn priority(&self) -> Priority {
        self.call.priority.priority
    }

    /// Completes the call with an [`Outcome`](crate::Outcome), or with a [`ClassifyOutput`] whose [evidence](ClassifyOutput::with_evidence) does not
    /// follow from its outcome. [`Overload`](crate::Outcome::Overload) says that there was no room for the call.
    ///
    /// ```
    /// use tower_keep::{Outcome, priority::{Prioritizer, PriorityClass}};
    ///
    /// let jobs = Prioritizer::new("jobs");
    /// jobs.try_acquire(PriorityClass::Bulk)?.complete(Outcome::Overload);
    /// assert_eq!(jobs.stats().class(PriorityClass::Bulk).pushed_back, 1);
    /// # Ok::<_, tower_keep::Rejection>(())
    /// ```
    pub fn complete(mut self, result: impl Into<ClassifyOutput>) {
        let result = result.into();
        let classification = result.resolve(result.outcome().into(), false);
        let Classification {
            outcome, evidence, ..
        } = classification;
        self.record(LoadSign::new(outcome, evidence, None));
    }

    /// Opens a scope in which the priority is that of the call.
    #[inline]
    pub(super) fn enter(&mut self) -> impl Sized {
        self.call.enter()
    }

    pub(super) fn record(&mut self, sign: LoadSign) {
        self.is_complete = true;
        self.shared.record(&mut self.call, sign, Instant::now);
    }

    #[cold]
    fn record_drop(&mut self) {
        let classification = match current_timeout() {
            _ if std::thread::panicking() => Classification::PANICKED,
            // A time limit around the call drops it as well, and is the reason then.
            Some(timeout) => timeout.classify(Some(self.admitted_at), Instant::now),
            None => Classification::CANCELLED,
        };
        let Classification {
            outcome, evidence, ..
        } = classification;
        self.record(LoadSign::new(outcome, evidence, None));
    }
}

impl Drop for PriorityPermit {
    fn drop(&mut self) {
        if !self.is_complete {
            self.record_drop();
        }
    }
}

impl fmt::Debug for PriorityPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityPermit")
            .field("prioritizer", self.shared.name())
            .field("priority", &self.priority())
            .finish_non_exhaustive()
    }
}
