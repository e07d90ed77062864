use std::{fmt, sync::Arc};

use super::{
    Prioritizer, PrioritySource, permit::PrioritizedCall, pushback::LoadSign,
    shared::PrioritizerShared,
};
use crate::{
    call::{CallClock, CallEnd, Outcome, Rejection},
    context::{Context, Priority},
    guard::{Admit, Guard, GuardLayerBuilder, Head},
};

/// A prioritizer with a source of priorities, as a guard; made by [`Prioritizer::by_header`] and its siblings.
pub struct PrioritizerGuard<S> {
    shared: Arc<PrioritizerShared>,
    source: Arc<S>,
}

impl<S> PrioritizerGuard<S> {
    pub(super) fn new(prioritizer: &Prioritizer, source: S) -> Self {
        PrioritizerGuard {
            shared: prioritizer.shared.clone(),
            source: Arc::new(source),
        }
    }

    /// Returns the prioritizer as a layer, for the protocol that is named next.
    ///
    /// ```
    /// use tower_keep::priority::{Prioritizer, PriorityClass};
    ///
    /// let jobs = Prioritizer::new("jobs");
    /// let is_small = |rows: &u32| (*rows < 10).then_some(PriorityClass::High);
    /// let layer = jobs.by(is_small).layer().any();
    /// # let _ = layer;
    /// ```
    pub fn layer(&self) -> GuardLayerBuilder<PrioritizerGuard<S>> {
        GuardLayerBuilder(self.clone())
    }
}

/// Counts at the head already: a caller that looks at the status and drops the body is ordinary.
#[inline]
fn record_head(shared: &PrioritizerShared, call: &mut PrioritizedCall, head: &mut Head<'_>) {
    let rejection = match head.outcome {
        Outcome::Rejected => LoadSign::rejection_of_head(head.extensions),
        _ => None,
    };
    let sign = LoadSign::new(head.outcome, head.evidence, rejection);
    let clock = head.clock;
    shared.record(call, sign, || clock.now());
}

#[inline]
fn record_end(shared: &PrioritizerShared, mut call: PrioritizedCall, end: &CallEnd<'_>) {
    let rejection = LoadSign::rejection_of_cause(end.cause());
    let sign = LoadSign::new(end.outcome(), end.evidence(), rejection);
    shared.record(&mut call, sign, || end.now());
}

/// Admits a call of this priority, which becomes that of the context that the request carries.
#[inline]
fn admit(
    shared: &PrioritizerShared,
    found: Option<Priority>,
    carried: Option<&mut Context>,
    clock: &CallClock,
) -> Result<PrioritizedCall, Rejection> {
    let priority = found.or_else(Priority::current);
    let priority = priority.unwrap_or_else(|| shared.default_priority());
    let call = shared.admit(priority, || clock.now())?;
    let mut context = None;
    if let Some(carried) = carried {
        context = set_priority(carried, call.priority);
    }
    let context = context.or_else(|| context_with(call.priority));
    Ok(PrioritizedCall::new(call, context))
}

/// Sets the priority of the context that a request carries. One that has another priority belongs to the call that the request is
/// made for, and is replaced by a context of its own, which is returned.
fn set_priority(context: &mut Context, priority: Priority) -> Option<Context> {
    match context.priority() {
        Some(known) if !priority.is_leveled(known) => {
            *context = context.with_priority(priority);
            Some(context.clone())
        }
        _ => {
            context.set_priority(priority);
            None
        }
    }
}

/// Returns the current context with this priority, if it has another one. One that has none is left alone: it may belong to a call of
/// which this one is only a part.
pub(super) fn context_with(priority: Priority) -> Option<Context> {
    Context::peek(|current| {
        let current = current?;
        let is_other = !priority.is_leveled(current.priority()?);
        is_other.then(|| current.with_priority(priority))
    })
}

impl Guard for Prioritizer {
    type Permit = PrioritizedCall;

    #[inline]
    fn enter(&self, call: &mut PrioritizedCall) -> impl Sized {
        call.enter()
    }

    #[inline]
    fn on_head(&self, call: &mut PrioritizedCall, head: &mut Head<'_>) {
        record_head(&self.shared, call, head);
    }

    #[inline]
    fn on_end(&self, call: PrioritizedCall, end: &CallEnd<'_>) {
        record_end(&self.shared, call, end);
    }
}

impl<Req> Admit<Req> for Prioritizer {
    #[inline]
    fn admit(&self, _: &mut Req, clock: &CallClock) -> Result<PrioritizedCall, Rejection> {
        admit(&self.shared, None, None, clock)
    }
}

impl<S> Guard for PrioritizerGuard<S> {
    type Permit = PrioritizedCall;

    #[inline]
    fn enter(&self, call: &mut PrioritizedCall) -> impl Sized {
        call.enter()
    }

    #[inline]
    fn on_head(&self, call: &mut PrioritizedCall, head: &mut Head<'_>) {
        record_head(&self.shared, call, head);
    }

    #[inline]
    fn on_end(&self, call: PrioritizedCall, end: &CallEnd<'_>) {
        record_end(&self.shared, call, end);
    }
}

impl<Req, S: PrioritySource<Req>> Admit<Req> for PrioritizerGuard<S> {
    #[inline]
    fn admit(&self, request: &mut Req, clock: &CallClock) -> Result<PrioritizedCall, Rejection> {
        let found = self.source.find(request);
        admit(&self.shared, found, S::context(request), clock)
    }
}

impl<S> Clone for PrioritizerGuard<S> {
    fn clone(&self) -> Self {
        PrioritizerGuard {
            shared: self.shared.clone(),
            source: self.source.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for PrioritizerGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrioritizerGuard")
            .field("name", self.shared.name())
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
