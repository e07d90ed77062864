use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{AsHeaderName, IntoHeaderName},
};

use super::{
    Context, ContextScope, IdFormat, PropagateBuilder, RequestIdPolicy, TraceFormat,
    trace_format::stale_headers,
};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard},
};

/// The guard that sends a call's [`Context`] on: writes its IDs, its trace (`traceparent` and `tracestate`, or what
/// [`trace_formats`](PropagateBuilder::trace_formats) says) and, by option, `baggage` into the request that goes out.
///
/// The context is that of the request's extensions (where the outgoing one takes its place), else the current one,
/// else a new one. The current one is looked at in `Service::call`, so call a client inside of the scope:
/// `context.scope(async { client.call(request).await })`, not `context.scope(client.call(request))`. Each attempt gets a span ID of its own, so a retry outside of this guard shows as several spans.
/// Headers of the same names are replaced. Never refuses.
#[derive(Clone, Debug)]
pub struct Propagate(Arc<PropagateConfig>);

#[derive(Debug)]
struct PropagateConfig {
    request_id_header: HeaderName,
    correlation_id_header: HeaderName,
    request_id_policy: RequestIdPolicy,
    id_format: IdFormat,
    trace_formats: Vec<TraceFormat>,
    /// Removed before the trace is written.
    stale: Vec<HeaderName>,
    baggage: bool,
}

impl Default for Propagate {
    fn default() -> Self {
        Propagate::from_builder(
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-correlation-id"),
            PropagateBuilder::default(),
        )
    }
}

impl Propagate {
    pub(super) fn from_builder(
        request_id: HeaderName,
        correlation_id: HeaderName,
        settings: PropagateBuilder,
    ) -> Self {
        Propagate(Arc::new(PropagateConfig {
            request_id_header: request_id,
            correlation_id_header: correlation_id,
            request_id_policy: settings.request_id_policy,
            id_format: settings.id_format,
            stale: stale_headers(&settings.trace_formats),
            trace_formats: settings.trace_formats,
            baggage: settings.baggage,
        }))
    }

    /// Settings to start from.
    pub fn builder() -> PropagateBuilder {
        PropagateBuilder::default()
    }
}

impl PropagateConfig {
    fn child_context<B>(&self, request: &Request<B>) -> Context {
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

    fn write_headers<B>(&self, context: &Context, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let (request_id, correlation_id) = context.ids();
        let differs = correlation_id != request_id;
        let value = differs.then(|| correlation_id.header_value().clone());
        set_or_remove_header(headers, &self.correlation_id_header, value);
        // Last: where both have the same name, it is the request ID's.
        headers.insert(&self.request_id_header, request_id.header_value().clone());
        for name in &self.stale {
            headers.remove(name);
        }
        for format in &self.trace_formats {
            format.write(context.trace_context(), headers);
        }
        let baggage = context.baggage().filter(|_| self.baggage);
        let baggage = baggage.and_then(|baggage| baggage.to_header_value());
        set_or_remove_header(headers, "baggage", baggage);
    }
}

/// A stale header is worse than none.
pub(super) fn set_or_remove_header(
    headers: &mut HeaderMap,
    name: impl IntoHeaderName + AsHeaderName,
    value: Option<HeaderValue>,
) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

impl Guard for Propagate {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        ContextScope::enter(permit)
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Propagate {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<Option<Context>, Rejection> {
        let context = self.0.child_context(request);
        self.0.write_headers(&context, request);
        // Whoever looks there further in works for this call, not for the one it is made for.
        if let Some(call) = request.extensions_mut().get_mut::<Context>() {
            *call = context.clone();
        }
        Ok(Some(context))
    }
}
