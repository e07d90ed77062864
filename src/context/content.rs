use std::sync::OnceLock;

use tokio::time::Instant;

use super::{
    Baggage, CallId, Context, call_priority::SharedPriority, shared_fields::SharedFields,
    trace_context::TraceContext, tracker_claim::TrackerClaim,
};

/// The content of a [`Context`], which its clones share.
#[derive(Clone, Debug)]
pub(super) struct ContextContent {
    pub(super) request_id: CallId,
    /// `None` if it is the request ID. Boxed for its size, like all that most calls do not have.
    pub(super) correlation_id: Option<Box<CallId>>,
    pub(super) trace_context: TraceContext,
    /// The IDs of the exported span, which count instead; set at most once, before anything of the call is sent or logged.
    pub(super) exported_span: OnceLock<Box<TraceContext>>,
    pub(super) baggage: Option<Box<Baggage>>,
    pub(super) deadline: Option<Instant>,
    pub(super) attempt: u32,
    /// True if the caller may see the details of rejections.
    pub(super) rejection_details: bool,
    pub(super) priority: SharedPriority,
    pub(super) tracker: TrackerClaim,
    /// The fields that the application has added to the call.
    pub(super) fields: SharedFields,
    /// The context of the same call that this one is derived from, whose fields count; never one that is derived itself.
    pub(super) origin: Option<Context>,
}

impl ContextContent {
    /// Returns a context whose correlation ID is the request ID, without all that a call may have besides.
    #[inline]
    pub(super) fn new(request_id: CallId, trace_context: TraceContext) -> Self {
        ContextContent {
            request_id,
            correlation_id: None,
            trace_context,
            exported_span: OnceLock::new(),
            baggage: None,
            deadline: None,
            attempt: 1,
            rejection_details: false,
            priority: SharedPriority::default(),
            tracker: TrackerClaim::new(false),
            fields: SharedFields::default(),
            origin: None,
        }
    }

    pub(super) fn correlation_id(&self) -> &CallId {
        self.correlation_id.as_deref().unwrap_or(&self.request_id)
    }
}

/// Returns a correlation ID as a context stores it: nothing where it is the request ID.
pub(super) fn box_if_other(correlation_id: &CallId, request_id: &CallId) -> Option<Box<CallId>> {
    (correlation_id != request_id).then(|| Box::new(correlation_id.clone()))
}
