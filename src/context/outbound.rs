use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{AsHeaderName, IntoHeaderName},
};

use super::{
    Context, IdKind, OutgoingId, PropagateBuilder, TraceFormat, current,
    trace_format::stale_headers,
};
use crate::{
    call::{End, Moment, Rejection},
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
pub struct Propagate(Arc<Policy>);

#[derive(Debug)]
struct Policy {
    request_id: HeaderName,
    correlation_id: HeaderName,
    outgoing_id: OutgoingId,
    id_kind: IdKind,
    trace_formats: Vec<TraceFormat>,
    /// Removed before the trace is written.
    stale: Vec<HeaderName>,
    baggage: bool,
}

impl Default for Propagate {
    fn default() -> Self {
        Propagate::new(
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-correlation-id"),
            PropagateBuilder::default(),
        )
    }
}

impl Propagate {
    pub(super) fn new(
        request_id: HeaderName,
        correlation_id: HeaderName,
        settings: PropagateBuilder,
    ) -> Self {
        Propagate(Arc::new(Policy {
            request_id,
            correlation_id,
            outgoing_id: settings.outgoing_id,
            id_kind: settings.id_kind,
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

impl Policy {
    fn outgoing<B>(&self, request: &Request<B>) -> Context {
        let call = match request.extensions().get::<Context>() {
            Some(context) => context.clone(),
            None => Context::current().unwrap_or_else(|| Context::begin(self.id_kind, true)),
        };
        call.outgoing(match self.outgoing_id {
            OutgoingId::New => Some(self.id_kind.generate()),
            OutgoingId::Same => None,
        })
    }

    fn write<B>(&self, context: &Context, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let (request_id, correlation_id) = context.ids();
        let differs = correlation_id != request_id;
        let value = differs.then(|| correlation_id.header_value().clone());
        replace(headers, &self.correlation_id, value);
        // Last: where both have the same name, it is the request ID's.
        headers.insert(&self.request_id, request_id.header_value().clone());
        for name in &self.stale {
            headers.remove(name);
        }
        for format in &self.trace_formats {
            format.write(context.trace(), headers);
        }
        let baggage = context.baggage().filter(|_| self.baggage);
        let baggage = baggage.and_then(|baggage| baggage.to_header_value());
        replace(headers, "baggage", baggage);
    }
}

/// A stale header is worse than none.
pub(super) fn replace(
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
    fn enter<R>(&self, permit: &mut Option<Context>, poll: impl FnOnce() -> R) -> R {
        current::entered(permit, poll)
    }

    #[inline]
    fn settle(&self, _: Option<Context>, _: &End<'_>) {}
}

impl<B> Admit<Request<B>> for Propagate {
    fn admit(&self, request: &mut Request<B>, _: &Moment) -> Result<Option<Context>, Rejection> {
        let context = self.0.outgoing(request);
        self.0.write(&context, request);
        // Whoever looks there further in works for this call, not for the one it is made for.
        if let Some(call) = request.extensions_mut().get_mut::<Context>() {
            *call = context.clone();
        }
        Ok(Some(context))
    }
}
