use std::{cell::RefCell, future::Future, mem, pin::Pin, sync::Arc, task};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Baggage, CallId, IdFormat, SpanId, TimeBudget, TraceFlags, TraceId, Traceparent, Tracestate,
};

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Who a call belongs to. A cheap clone.
///
/// In a handler it is in the request's extensions (and, with the feature `axum`, an extractor); anywhere below
/// the handler it is [`Context::current`]. A spawned task has none unless it is given one, see [`in_context`].
#[derive(Clone, Debug)]
pub struct Context(Arc<ContextInner>);

#[derive(Clone, Debug)]
pub(super) struct ContextInner {
    pub(super) request_id: CallId,
    pub(super) correlation_id: CallId,
    pub(super) trace_context: TraceContext,
    pub(super) baggage: Option<Baggage>,
    pub(super) deadline: Option<Instant>,
    pub(super) attempt: u32,
}

/// The trace context of a call.
#[derive(Clone, Debug)]
pub(super) struct TraceContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    pub(super) flags: TraceFlags,
    /// B3's flag, which nobody else knows.
    pub(super) is_debug: bool,
    pub(super) tracestate: Option<Tracestate>,
    pub(super) linked_trace: Option<Traceparent>,
}

impl TraceContext {
    /// A trace that begins here.
    pub(super) fn new_root(sampled: bool) -> Self {
        TraceContext {
            trace_id: TraceId::generate(),
            span_id: SpanId::generate(),
            parent_id: None,
            flags: TraceFlags::RANDOM.with_sampled(sampled),
            is_debug: false,
            tracestate: None,
            linked_trace: None,
        }
    }

    /// The next span of the same trace.
    pub(super) fn child(&self) -> Self {
        TraceContext {
            span_id: SpanId::generate(),
            parent_id: Some(self.span_id),
            linked_trace: None,
            ..self.clone()
        }
    }

    /// The span as the header that names it.
    pub(super) fn traceparent(&self) -> Traceparent {
        Traceparent {
            trace_id: self.trace_id,
            parent_id: self.span_id,
            flags: self.flags,
        }
    }
}

impl Context {
    pub(super) fn new(inner: ContextInner) -> Self {
        Context(Arc::new(inner))
    }

    /// A context for work that no request has asked for: a job, a test, a start-up task.
    ///
    /// Its trace is marked as sampled.
    pub fn new_root() -> Self {
        Context::new_root_with(IdFormat::default(), true)
    }

    pub(super) fn new_root_with(kind: IdFormat, sampled: bool) -> Self {
        let request_id = kind.generate();
        Context::new(ContextInner {
            correlation_id: request_id.clone(),
            request_id,
            trace_context: TraceContext::new_root(sampled),
            baggage: None,
            deadline: None,
            attempt: 1,
        })
    }

    /// The context of the call that this thread is working on.
    pub fn current() -> Option<Context> {
        Context::peek(|context| context.cloned())
    }

    /// Looks at the current context. A context that is entered meanwhile is the current one within.
    #[inline]
    pub fn with_current<R>(look: impl FnOnce(Option<&Context>) -> R) -> R {
        look(Context::current().as_ref())
    }

    /// Looks at the current context where it is. For code of our own that enters no other and calls nobody else.
    #[inline]
    pub(crate) fn peek<R>(look: impl FnOnce(Option<&Context>) -> R) -> R {
        // A drop of thread-locals at the end of a thread is no call's business.
        let mut look = Some(look);
        let seen = CURRENT.try_with(|current| {
            let look = look.take()?;
            current
                .try_borrow()
                .ok()
                .map(|current| look(current.as_ref()))
        });
        match (seen, look) {
            (Ok(Some(result)), _) => result,
            (_, Some(look)) => look(None),
            _ => unreachable!("the context is only ever borrowed for a look"),
        }
    }

    /// The ID of this hop: one request to one service.
    pub fn request_id(&self) -> &str {
        self.0.request_id.as_str()
    }

    /// The ID of the whole journey, the same at every hop.
    pub fn correlation_id(&self) -> &str {
        self.0.correlation_id.as_str()
    }

    /// The ID of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.0.trace_context.trace_id
    }

    /// The ID of this call's span.
    pub fn span_id(&self) -> SpanId {
        self.0.trace_context.span_id
    }

    /// The ID of the span that caused this call, if it came with the request.
    pub fn parent_id(&self) -> Option<SpanId> {
        self.0.trace_context.parent_id
    }

    /// The flags of the trace.
    pub fn trace_flags(&self) -> TraceFlags {
        self.0.trace_context.flags
    }

    /// What vendors keep about the trace.
    pub fn tracestate(&self) -> Option<&Tracestate> {
        self.0.trace_context.tracestate.as_ref()
    }

    /// The caller's trace, where the edge policy began a new one instead of continuing it.
    pub fn linked_trace(&self) -> Option<Traceparent> {
        self.0.trace_context.linked_trace
    }

    /// What came along as `baggage`.
    pub fn baggage(&self) -> Option<&Baggage> {
        self.0.baggage.as_ref()
    }

    /// When whoever asked for this work stops waiting for it, if that is known.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Which attempt at a call this is: 1, unless a [retry](crate::retry) has begun another.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The same call with a deadline. It is never put off: of two, the earlier counts.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        let known = self.0.deadline.filter(|known| *known <= deadline);
        Context::new(ContextInner {
            deadline: known.or(Some(deadline)),
            ..(*self.0).clone()
        })
    }

    /// The same call with this baggage, for the hops to come: read it, add to it, and run what comes next in the new
    /// context. Sent on where [`Propagate`](super::Propagate) sends [baggage](super::PropagateBuilder::baggage).
    ///
    /// ```
    /// use tower_keep::context::{Baggage, Context};
    ///
    /// let call = Context::new_root();
    /// let mut baggage = call.baggage().cloned().unwrap_or_default();
    /// baggage.insert("tenant", "acme")?;
    /// call.with_baggage(baggage).run(|| {
    ///     let tenant = Context::current().and_then(|call| Some(call.baggage()?.get("tenant")?.into_owned()));
    ///     assert_eq!(tenant.as_deref(), Some("acme"));
    /// });
    /// # Ok::<(), tower_keep::context::HeaderError>(())
    /// ```
    #[must_use]
    pub fn with_baggage(&self, baggage: Baggage) -> Context {
        Context::new(ContextInner {
            baggage: Some(baggage),
            ..(*self.0).clone()
        })
    }

    /// The same call with this trace state, which is sent on: for the member of a tracing system of one's own.
    #[must_use]
    pub fn with_tracestate(&self, tracestate: Tracestate) -> Context {
        let mut inner = (*self.0).clone();
        inner.trace_context.tracestate = Some(tracestate);
        Context::new(inner)
    }

    /// The same call at another attempt.
    #[must_use]
    pub fn with_attempt(&self, attempt: u32) -> Context {
        Context::new(ContextInner {
            attempt,
            ..(*self.0).clone()
        })
    }

    /// This call's span as the header that names it.
    pub fn traceparent(&self) -> Traceparent {
        self.0.trace_context.traceparent()
    }

    pub(super) fn trace_context(&self) -> &TraceContext {
        &self.0.trace_context
    }

    pub(super) fn ids(&self) -> (&CallId, &CallId) {
        (&self.0.request_id, &self.0.correlation_id)
    }

    /// The context of a call that goes out from this one: the same journey, a span of its own.
    pub(super) fn child_request(&self, request_id: Option<CallId>) -> Context {
        Context::new(ContextInner {
            request_id: request_id.unwrap_or_else(|| self.0.request_id.clone()),
            correlation_id: self.0.correlation_id.clone(),
            trace_context: self.0.trace_context.child(),
            baggage: self.0.baggage.clone(),
            ..*self.0
        })
    }

    /// Runs a closure in this context.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        with_context(&mut Some(self.clone()), work)
    }

    /// Runs a future in this context, whatever task or thread polls it.
    pub fn scope<F: Future>(&self, future: F) -> InContext<F> {
        InContext {
            future: Some(future),
            context: Some(self.clone()),
            scope: TimeBudget::NONE,
        }
    }
}

/// Equal if they are one and the same.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Context {}

/// The scope in which a slot's context is the current one. What was current before waits in the slot.
#[must_use = "dropping it leaves the context"]
pub(crate) struct ContextScope<'a>(&'a mut Option<Context>);

impl<'a> ContextScope<'a> {
    #[inline]
    pub(crate) fn enter(slot: &'a mut Option<Context>) -> Self {
        swap_current(slot);
        ContextScope(slot)
    }
}

impl Drop for ContextScope<'_> {
    #[inline]
    fn drop(&mut self) {
        swap_current(self.0);
    }
}

/// Runs `work` with the slot's context as the current one.
#[inline]
fn with_context<R>(slot: &mut Option<Context>, work: impl FnOnce() -> R) -> R {
    let _scope = ContextScope::enter(slot);
    work()
}

#[inline]
fn swap_current(slot: &mut Option<Context>) {
    let _ = CURRENT.try_with(|current| {
        if let Ok(mut current) = current.try_borrow_mut() {
            mem::swap(&mut *current, slot);
        }
    });
}

pin_project! {
    /// A future in a context: see [`Context::scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InContext<F> {
        // None once it is over.
        #[pin]
        future: Option<F>,
        context: Option<Context>,
        // The time limits of whoever spawned it; none where the context was given by hand.
        scope: TimeBudget,
    }

    impl<F> PinnedDrop for InContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let scope = *this.scope;
            with_context(this.context, || scope.enter(|| this.future.set(None)));
        }
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let mut this = self.project();
        let scope = *this.scope;
        with_context(this.context, || {
            scope.enter(|| {
                let future = this.future.as_mut().as_pin_mut();
                let polled = future.expect("polled after completion").poll(cx);
                if polled.is_ready() {
                    this.future.set(None);
                }
                polled
            })
        })
    }
}

/// Wraps a future so that it keeps the current context, and its deadline, wherever it is polled: `tokio::spawn(in_context(work))`.
///
/// Tasks inherit nothing in tokio, so a context is handed on where a task is spawned, or it is lost.
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
    InContext {
        future: Some(future),
        context: Context::current(),
        scope: TimeBudget::current().to_absolute(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

    #[test]
    fn contexts_nest_and_come_back_after_a_panic() {
        let (outer, inner) = (Context::new_root(), Context::new_root());
        assert_eq!(Context::current(), None);
        outer.run(|| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                inner.run(|| {
                    assert_eq!(Context::current().as_ref(), Some(&inner));
                    std::panic::resume_unwind(Box::new("thrown"));
                })
            }));
            assert!(panic.is_err());
            assert_eq!(Context::current().as_ref(), Some(&outer));
        });
        assert_eq!(Context::current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_never_put_off_and_goes_along() {
        let (soon, late) = (Instant::now() + SECOND, Instant::now() + 2 * SECOND);
        let call = Context::new_root();
        assert_eq!((call.deadline(), call.attempt()), (None, 1));
        let hurried = call
            .with_deadline(late)
            .with_deadline(soon)
            .with_deadline(late);
        assert_eq!(hurried.deadline(), Some(soon));
        assert_eq!(hurried.request_id(), call.request_id());
        let out = hurried.with_attempt(2).child_request(None);
        assert_eq!((out.deadline(), out.attempt()), (Some(soon), 2));
    }

    #[test]
    fn a_call_that_goes_out_is_a_child_of_the_same_journey() {
        let call = Context::new_root();
        let out = call.child_request(Some(IdFormat::default().generate()));
        assert_eq!(out.correlation_id(), call.correlation_id());
        assert_ne!(out.request_id(), call.request_id());
        assert_eq!(out.trace_id(), call.trace_id());
        assert_eq!(out.parent_id(), Some(call.span_id()));
        assert_ne!(out.span_id(), call.span_id());
    }
}
