use std::{fmt, sync::Arc};

use http::HeaderMap;
use tracing::Span;

use crate::context::{Context, Traceparent, Tracestate};

/// The IDs under which a span is exported, and the state of its trace if the exporter has changed it.
pub(crate) struct ExportedIds {
    pub(crate) traceparent: Traceparent,
    pub(crate) tracestate: Option<Tracestate>,
}

impl ExportedIds {
    /// Gives the IDs to the current context, unless it has those of an outer span. Returns the context if they are new to
    /// it.
    pub(crate) fn adopt(self) -> Option<Context> {
        let context = Context::current()?;
        context
            .set_exported_span(self.traceparent, self.tracestate)
            .then_some(context)
    }
}

impl From<Traceparent> for ExportedIds {
    fn from(traceparent: Traceparent) -> Self {
        ExportedIds {
            traceparent,
            tracestate: None,
        }
    }
}

type Hook = dyn Fn(&Span) -> Option<Traceparent> + Send + Sync;

/// A hook that returns the IDs of a span.
#[derive(Clone)]
pub(super) struct SpanIds(Arc<Hook>);

impl SpanIds {
    pub(super) fn new(hook: impl Fn(&Span) -> Option<Traceparent> + Send + Sync + 'static) -> Self {
        SpanIds(Arc::new(hook))
    }

    pub(super) fn ids(&self, span: &Span) -> Option<ExportedIds> {
        (self.0)(span).map(ExportedIds::from)
    }
}

impl fmt::Debug for SpanIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpanIds")
    }
}

/// Gives the call the IDs under which its span is exported: its context, the headers that were written before the span was
/// opened, and the fields of the span.
#[cold]
pub(super) fn adopt(hook: Option<&SpanIds>, span: Option<&Span>, headers: &mut HeaderMap) {
    let ids = match hook {
        Some(hook) => span.and_then(|span| hook.ids(span)),
        None => default_ids(span),
    };
    if let Some(context) = ids.and_then(ExportedIds::adopt) {
        context.update_headers(headers);
    }
    if let Some(span) = span {
        super::span::record_ids(span);
    }
}

#[cfg(feature = "opentelemetry")]
use super::opentelemetry::exported_ids as default_ids;

#[cfg(not(feature = "opentelemetry"))]
fn default_ids(_: Option<&Span>) -> Option<ExportedIds> {
    None
}

/// Does the same for the span of work that sends no request and has no settings of its own.
#[cfg(feature = "opentelemetry")]
pub(crate) fn export_span(span: &Span) {
    use super::opentelemetry::set_parent;
    set_parent(span, crate::protocol::Side::Client);
    default_ids(Some(span)).and_then(ExportedIds::adopt);
}

#[cfg(not(feature = "opentelemetry"))]
pub(crate) fn export_span(_: &Span) {}
