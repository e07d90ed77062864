use http::{HeaderName, Request};

use super::RequestIdPolicy;
use crate::{
    context::{Baggage, Context, IdFormat, TraceFormat, header::set_or_remove_header},
    util::headers::remove_rare_header,
};

/// Checked settings of a [`Propagate`](super::Propagate).
#[derive(Clone, Debug)]
pub(super) struct PropagateConfig {
    pub(super) request_id_header: HeaderName,
    pub(super) correlation_id_header: HeaderName,
    pub(super) request_id_policy: RequestIdPolicy,
    pub(super) id_format: IdFormat,
    pub(super) trace_formats: Vec<TraceFormat>,
    /// Removed before the trace is written: those of `trace_formats` that writing does not replace.
    pub(super) stale_headers: Vec<HeaderName>,
    pub(super) baggage: bool,
}

impl Default for PropagateConfig {
    fn default() -> Self {
        PropagateConfig {
            request_id_header: HeaderName::from_static("x-request-id"),
            correlation_id_header: HeaderName::from_static("x-correlation-id"),
            request_id_policy: RequestIdPolicy::default(),
            id_format: IdFormat::default(),
            trace_formats: vec![TraceFormat::W3c],
            stale_headers: Vec::new(),
            baggage: false,
        }
    }
}

impl PropagateConfig {
    pub(super) fn child_context<B>(&self, request: &Request<B>) -> Context {
        // The context of the request itself: the thread may work on another call by now.
        let call = match request.extensions().get::<Context>() {
            Some(context) => context.clone(),
            None => {
                Context::current().unwrap_or_else(|| Context::new_root_with(self.id_format, true))
            }
        };
        call.child_request(match self.request_id_policy {
            RequestIdPolicy::Generate => Some(self.id_format.generate()),
            RequestIdPolicy::Reuse => None,
        })
    }

    pub(super) fn write_headers<B>(&self, context: &Context, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let (request_id, correlation_id) = context.ids();
        let differs = correlation_id != request_id;
        let value = differs.then(|| correlation_id.header_value().clone());
        set_or_remove_header(headers, &self.correlation_id_header, value);
        // After the other ID, since the request ID counts where both have the same header.
        headers.insert(&self.request_id_header, request_id.header_value().clone());
        // Before the formats are written, since some of these names are theirs.
        for name in &self.stale_headers {
            remove_rare_header(headers, name);
        }
        for format in &self.trace_formats {
            format.write(context.trace_context(), headers);
        }
        // Where none is sent, a copied header is removed: third parties must not see it.
        let baggage = context.baggage().filter(|_| self.baggage);
        let baggage = baggage.and_then(|baggage| baggage.to_header_value());
        set_or_remove_header(headers, &Baggage::HEADER, baggage);
    }
}
