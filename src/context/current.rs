use std::{fmt::Display, future::Future, sync::Arc};

use http::HeaderMap;
use tokio::time::Instant;

use super::{
    Baggage, CallFields, CallId, IdFormat, InContext, Priority, SpanId, TimeBudget, TraceFlags,
    TraceId, Traceparent, Tracestate,
    call_priority::SharedPriority,
    content::{ContextContent, box_if_other},
    scope::{self, ContextScope},
    trace_context::TraceContext,
    trace_format,
    tracker_claim::Claimed,
};

/// The IDs, trace, baggage and deadline of a call. A clone is a reference count.
///
/// Handlers find it in the request's extensions (and, with the feature `axum`, through an extractor), what they call
/// with [`Context::current`]. A spawned task has none unless it is wrapped in [`in_context`](super::in_context).
#[derive(Clone, Debug)]
pub struct Context(Arc<ContextContent>);

impl Context {
    pub(super) fn new(inner: ContextContent) -> Self {
        Context(Arc::new(inner))
    }

    /// Creates a context for work that belongs to no request: a job, a test, a start-up task.
    ///
    /// Its trace is marked as sampled.
    ///
    /// A job, whose log lines then share an ID:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// let job = Context::new_root();
    /// job.run(|| assert_eq!(Context::current(), Some(job.clone())));
    /// ```
    pub fn new_root() -> Self {
        Context::new_root_with(IdFormat::default(), true)
    }

    pub(super) fn new_root_with(format: IdFormat, sampled: bool) -> Self {
        let trace_context = TraceContext::new_root(sampled);
        Context::new(ContextContent::new(format.generate(), trace_context))
    }

    /// Returns the context of the call that this thread works on.
    ///
    /// The request ID, for a message to the user:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// let id = Context::current().map(|call| call.request_id().to_owned());
    /// assert_eq!(id, None, "no layer runs this example");
    /// ```
    pub fn current() -> Option<Context> {
        Context::peek(|context| context.cloned())
    }

    /// Calls a closure with the current context. A context that the closure enters becomes the current one inside of it.
    ///
    /// The attempt that the code works for, outside of any call:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// let attempt = Context::with_current(|context| context.map(Context::attempt));
    /// assert_eq!(attempt, None);
    /// ```
    #[inline]
    pub fn with_current<R>(look: impl FnOnce(Option<&Context>) -> R) -> R {
        // A clone, since a borrow would last while the closure runs, which may enter another context.
        look(Context::current().as_ref())
    }

    /// Calls a closure of this crate with the current context in place. The closure must neither enter a context nor call
    /// code of others.
    #[inline]
    pub(crate) fn peek<R>(look: impl FnOnce(Option<&Context>) -> R) -> R {
        scope::peek_context(look)
    }

    /// Returns the request ID: that of one request to one service, unless it is sent on.
    pub fn request_id(&self) -> &str {
        self.0.request_id.as_str()
    }

    /// Returns the correlation ID, which is the same in every service of a request chain.
    pub fn correlation_id(&self) -> &str {
        self.0.correlation_id().as_str()
    }

    /// Returns the ID of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_context().trace_id
    }

    /// Returns the ID of this call's span.
    pub fn span_id(&self) -> SpanId {
        self.trace_context().span_id
    }

    /// Returns the ID of the span that caused this call, if it came with the request.
    pub fn parent_id(&self) -> Option<SpanId> {
        self.trace_context().parent_id
    }

    /// Returns the flags of the trace.
    pub fn trace_flags(&self) -> TraceFlags {
        self.trace_context().flags
    }

    /// Returns the trace's vendor-specific members.
    pub fn tracestate(&self) -> Option<&Tracestate> {
        self.trace_context().tracestate.as_deref()
    }

    /// Returns the caller's trace, if the [`TracePolicy`](super::TracePolicy) started a new one instead of continuing it.
    pub fn linked_trace(&self) -> Option<Traceparent> {
        self.trace_context().linked_trace.as_deref().copied()
    }

    /// Returns the `baggage` that came with the request.
    pub fn baggage(&self) -> Option<&Baggage> {
        self.0.baggage.as_deref()
    }

    /// Returns the caller's deadline, if known.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Returns the priority of the call, if a [`Prioritizer`](crate::priority::Prioritizer) or the application has set one.
    pub fn priority(&self) -> Option<Priority> {
        self.0.priority.get()
    }

    /// Sets the priority of the call, for all clones of this context.
    #[inline]
    pub(crate) fn set_priority(&self, priority: Priority) {
        self.0.priority.set(priority);
    }

    /// Returns the number of the attempt: 1 for the first, more for each [retry](crate::retry).
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Returns whether the caller may see the details of rejections.
    pub(crate) fn has_rejection_details(&self) -> bool {
        self.0.rejection_details
    }

    /// Asks for the call in the name of a tracker, so that one of the same name does not report it once more.
    #[inline]
    pub(crate) fn claim_for_tracker(&self, tracker: u64) -> Claimed {
        self.0.tracker.claim(tracker)
    }

    /// Returns the same call with a deadline. A deadline never moves back: of two, the earlier counts.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        let known = self.0.deadline.filter(|known| *known <= deadline);
        Context::new(ContextContent {
            deadline: known.or(Some(deadline)),
            ..self.derive()
        })
    }

    /// Returns the same call for work that outlives it.
    pub(crate) fn without_deadline(&self) -> Context {
        match self.0.deadline {
            None => self.clone(),
            Some(_) => Context::new(ContextContent {
                deadline: None,
                ..self.derive()
            }),
        }
    }

    /// Returns the same call with this baggage, for later hops: read it, add to it, and run the rest of the work in the
    /// new context. Sent on where [`Propagate`](super::Propagate) sends [baggage](super::PropagateBuilder::baggage).
    ///
    /// The tenant, for all later hops:
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
        Context::new(ContextContent {
            baggage: Some(Box::new(baggage)),
            ..self.derive()
        })
    }

    /// Returns the same call with this trace state, which is sent on: for members of a custom tracing system.
    #[must_use]
    pub fn with_tracestate(&self, tracestate: Tracestate) -> Context {
        let mut inner = self.derive();
        let tracestate = Box::new(tracestate);
        match inner.exported_span.get_mut() {
            Some(exported) => exported.tracestate = Some(tracestate),
            None => inner.trace_context.tracestate = Some(tracestate),
        }
        Context::new(inner)
    }

    /// Returns the same call with another priority, for a part of its work: [`Propagate`](super::Propagate) sends it on.
    ///
    /// A call that warms a cache, which may fail:
    ///
    /// ```
    /// use tower_keep::{Context, priority::{Priority, PriorityClass}};
    ///
    /// let call = Context::new_root();
    /// call.with_priority(PriorityClass::Low).run(|| {
    ///     assert_eq!(Priority::current(), Some(PriorityClass::Low.into()));
    /// });
    /// assert_eq!(call.priority(), None);
    /// ```
    #[must_use]
    pub fn with_priority(&self, priority: impl Into<Priority>) -> Context {
        Context::new(ContextContent {
            priority: SharedPriority::new(Some(priority.into())),
            ..self.derive()
        })
    }

    /// Returns the same call with another attempt number.
    #[must_use]
    pub fn with_attempt(&self, attempt: u32) -> Context {
        Context::new(ContextContent {
            attempt,
            ..self.derive()
        })
    }

    /// Adds a field to the access-log line of this call, for what only the handler knows; see [`CallFields`] for the bounds. In
    /// a [retry](crate::retry), it belongs to the call around the attempts.
    ///
    /// The user, once it is known:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// fn on_login(user: u64) {
    ///     if let Some(call) = Context::current() {
    ///         call.add_field("user", user);
    ///     }
    /// }
    /// # on_login(7);
    /// ```
    pub fn add_field(&self, name: &'static str, value: impl Display) {
        let value = CallFields::format_value(name, value);
        self.origin().fields.insert(name, value);
    }

    /// Returns the fields that the application has added to the call, if any.
    pub(crate) fn fields(&self) -> Option<CallFields> {
        self.origin().fields.get()
    }

    fn origin(&self) -> &ContextContent {
        let origin = self.0.origin.as_ref();
        origin.map_or(&self.0, |origin| &origin.0)
    }

    /// Returns the content of another context of the same call.
    fn derive(&self) -> ContextContent {
        ContextContent {
            origin: Some(self.0.origin.as_ref().unwrap_or(self).clone()),
            ..(*self.0).clone()
        }
    }

    /// Returns this call's span as a `traceparent`.
    pub fn traceparent(&self) -> Traceparent {
        self.trace_context().traceparent()
    }

    pub(super) fn trace_context(&self) -> &TraceContext {
        let exported = self.0.exported_span.get();
        exported.map_or(&self.0.trace_context, |exported| exported)
    }

    /// Takes the IDs of the call's span as it is exported, for all clones of this context. Returns `false` if it has such
    /// IDs already: those of the outermost span of a call count.
    pub(crate) fn set_exported_span(
        &self,
        span: Traceparent,
        tracestate: Option<Tracestate>,
    ) -> bool {
        let own = &self.0.trace_context;
        let exported = own.with_exported_span(span, tracestate);
        self.0.exported_span.set(Box::new(exported)).is_ok()
    }

    /// Returns whether the IDs of this context are those of an exported span.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn has_exported_span(&self) -> bool {
        self.0.exported_span.get().is_some()
    }

    /// Writes the exported span into the headers that carry the one this context began with.
    pub(crate) fn update_headers(&self, headers: &mut HeaderMap) {
        trace_format::replace_span(&self.0.trace_context, self.trace_context(), headers);
    }

    pub(super) fn ids(&self) -> (&CallId, &CallId) {
        (&self.0.request_id, self.0.correlation_id())
    }

    /// Returns the correlation ID if it is not the request ID.
    pub(super) fn other_correlation_id(&self) -> Option<&CallId> {
        self.0.correlation_id.as_deref()
    }

    /// Returns the context of an outgoing request: the same request chain and trace, another span.
    pub(super) fn child_request(&self, request_id: Option<CallId>) -> Context {
        let correlation_id = match &request_id {
            Some(request_id) => box_if_other(self.0.correlation_id(), request_id),
            None => self.0.correlation_id.clone(),
        };
        let request_id = request_id.unwrap_or_else(|| self.0.request_id.clone());
        Context::new(ContextContent {
            correlation_id,
            baggage: self.0.baggage.clone(),
            deadline: self.0.deadline,
            attempt: self.0.attempt,
            rejection_details: self.0.rejection_details,
            priority: self.0.priority.clone(),
            ..ContextContent::new(request_id, self.trace_context().child())
        })
    }

    /// Runs a closure in this context.
    ///
    /// Code that asks for the current context:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// let call = Context::new_root();
    /// let id = call.run(|| Context::current().map(|current| current.request_id().to_owned()));
    /// assert_eq!(id.as_deref(), Some(call.request_id()));
    /// ```
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let mut context = Some(self.clone());
        let _scope = ContextScope::enter(&mut context);
        work()
    }

    /// Runs a future in this context, whatever task or thread polls it.
    ///
    /// A future that asks for it:
    ///
    /// ```
    /// use tower_keep::Context;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let call = Context::new_root();
    /// call.scope(async { assert!(Context::current().is_some()) }).await;
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> InContext<F> {
        // Whoever polls it has limits of its own; those around this call do not follow.
        InContext::new(future, Some(self.clone()), TimeBudget::NONE)
    }
}

/// Two contexts are equal if one is a clone of the other.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

    #[test]
    fn context_is_restored_after_nesting_and_after_a_panic() {
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
    async fn deadline_never_moves_back_and_is_passed_on() {
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
    fn child_request_has_a_child_span_of_the_same_trace() {
        let call = Context::new_root();
        let out = call.child_request(Some(IdFormat::default().generate()));
        assert_eq!(out.correlation_id(), call.correlation_id());
        assert_ne!(out.request_id(), call.request_id());
        assert_eq!(out.trace_id(), call.trace_id());
        assert_eq!(out.parent_id(), Some(call.span_id()));
        assert_ne!(out.span_id(), call.span_id());
    }

    #[test]
    fn correlation_id_of_a_child_is_kept_whatever_its_request_id() {
        let call = Context::new_root();
        assert!(call.other_correlation_id().is_none());
        let out = call.child_request(Some(IdFormat::default().generate()));
        let (request_id, correlation_id) = out.ids();
        assert_eq!(out.other_correlation_id(), Some(correlation_id));
        assert_eq!(correlation_id.as_str(), call.request_id());
        let same = out.child_request(Some(correlation_id.clone()));
        assert!(same.other_correlation_id().is_none() && same.ids().0 != request_id);
        let reused = out.child_request(None);
        assert_eq!(reused.ids(), out.ids());
    }
}
