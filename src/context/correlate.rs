use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::{
    Baggage, CallId, Context, CorrelateBuilder, IdFormat, TraceFormat, TracePolicy, Tracestate,
    Trust, count_malformed,
    current::{ContextInner, ContextScope, TraceContext},
    propagate::set_or_remove_header,
    settings::RequestPredicate,
    trace_format::{RemoteTrace, Sampling, root_field},
};
use crate::{
    call::{CallClock, CallEnd, Rejection},
    guard::{Admit, Guard, Head},
};

/// The guard that gives each inbound call its [`Context`]: reads or makes its IDs, puts the context where
/// handlers find it, and answers with the IDs.
///
/// A request that already has a context, from a layer further out in the same process, keeps it. Never refuses.
#[derive(Clone, Debug)]
pub struct Correlate(Arc<CorrelateConfig>);

#[derive(Debug)]
struct CorrelateConfig {
    request_id_headers: Vec<HeaderName>,
    correlation_id_headers: Vec<HeaderName>,
    trust: Trust,
    id_format: IdFormat,
    trace_policy: TracePolicy,
    trace_formats: Vec<TraceFormat>,
    sample_new_traces: bool,
    baggage: bool,
    echo: bool,
    echo_grpc: bool,
    respond_traceparent: Option<RequestPredicate>,
}

impl Default for Correlate {
    fn default() -> Self {
        Correlate::from_builder(
            vec![HeaderName::from_static("x-request-id")],
            vec![HeaderName::from_static("x-correlation-id")],
            CorrelateBuilder::default(),
        )
    }
}

/// What [`Correlate`] holds of a call.
#[derive(Debug)]
pub struct CorrelatePermit {
    context: Option<Context>,
    respond_traceparent: bool,
}

impl Correlate {
    pub(super) fn from_builder(
        request_id: Vec<HeaderName>,
        correlation_id: Vec<HeaderName>,
        settings: CorrelateBuilder,
    ) -> Self {
        Correlate(Arc::new(CorrelateConfig {
            request_id_headers: request_id,
            correlation_id_headers: correlation_id,
            trust: settings.trust,
            id_format: settings.id_format,
            trace_policy: settings.trace_policy,
            trace_formats: settings.trace_formats,
            sample_new_traces: settings.sample_new_traces,
            baggage: settings.baggage,
            echo: settings.echo,
            echo_grpc: settings.echo_grpc,
            respond_traceparent: settings.respond_traceparent,
        }))
    }

    /// Settings to start from.
    pub fn builder() -> CorrelateBuilder {
        CorrelateBuilder::default()
    }
}

impl CorrelateConfig {
    fn create_context<B>(&self, request: &mut Request<B>) -> Context {
        let trusted = self.trust.matches(request);
        let edge = match trusted && self.trust.is_conditional() {
            true => TracePolicy::Continue,
            false => self.trace_policy,
        };
        let headers = request.headers_mut();
        // Before the IDs are settled: their headers may be those of the trace.
        let trace = self.inbound_trace(headers, edge);
        let request_id = resolve_id(headers, &self.request_id_headers, trusted, || {
            self.id_format.generate()
        });
        let correlation_id = resolve_id(headers, &self.correlation_id_headers, trusted, || {
            request_id.clone()
        });
        Context::new(ContextInner {
            request_id,
            correlation_id,
            trace_context: trace,
            baggage: trusted.then(|| self.inbound_baggage(headers)).flatten(),
            deadline: None,
            attempt: 1,
        })
    }

    fn inbound_trace(&self, headers: &HeaderMap, edge: TracePolicy) -> TraceContext {
        let inbound = match edge {
            TracePolicy::Ignore => None,
            _ => self.remote_trace(headers),
        };
        let Some((format, remote)) = inbound else {
            return TraceContext::new_root(self.sample_new_traces);
        };
        let decision = match edge {
            TracePolicy::Continue => remote.sampling.decision(),
            _ => None,
        };
        let sampled = decision.unwrap_or(self.sample_new_traces);
        let root = TraceContext {
            is_debug: decision.is_some() && remote.sampling == Sampling::Debug,
            ..TraceContext::new_root(sampled)
        };
        match (edge, remote.trace_id) {
            (TracePolicy::Restart, _) => TraceContext {
                linked_trace: remote.link(),
                ..root
            },
            (_, None) => root,
            (_, Some(trace_id)) => TraceContext {
                trace_id,
                parent_id: remote.parent_id,
                flags: remote.flags(sampled),
                tracestate: match format {
                    TraceFormat::W3c => read_tracestate(headers),
                    _ => None,
                },
                ..root
            },
        }
    }

    /// Returns what the first format says that the request has in good form.
    fn remote_trace(&self, headers: &HeaderMap) -> Option<(TraceFormat, RemoteTrace)> {
        self.trace_formats.iter().find_map(|format| {
            let read = format.read(headers).unwrap_or_else(|bad| {
                count_malformed(bad);
                None
            });
            Some((*format, read?))
        })
    }

    fn inbound_baggage(&self, headers: &HeaderMap) -> Option<Baggage> {
        if !self.baggage {
            return None;
        }
        let baggage = Baggage::from_headers(headers)?;
        if baggage.dropped() > 0 {
            count_malformed("baggage");
        }
        Some(baggage)
    }
}

/// Returns the ID of the first header that holds a valid one, else a new one.
///
/// Headers that came with another value say then what counts: a handler that reads the header, or hands it on, must not
/// take what was rejected for the ID of the call.
fn resolve_id(
    headers: &mut HeaderMap,
    names: &[HeaderName],
    trusted: bool,
    new: impl FnOnce() -> CallId,
) -> CallId {
    // Of several headers those behind the good one were not looked at.
    let mut is_settled = names.len() == 1;
    let accepted = names.iter().find_map(|name| {
        let value = headers.get(name)?;
        let id = trusted.then(|| parse_id(name, value)).flatten();
        is_settled &= id.is_some();
        if trusted && id.is_none() {
            count_malformed("id");
        }
        id
    });
    let id = accepted.unwrap_or_else(new);
    if !is_settled {
        for name in names {
            let says_other = |value| parse_id(name, value).as_ref() != Some(&id);
            if headers.get(name).is_some_and(says_other) {
                headers.insert(name, id.header_value().clone());
            }
        }
    }
    id
}

/// Returns the ID that a header holds. That of AWS may have fields beside its root, as load balancers add them.
fn parse_id(name: &HeaderName, value: &HeaderValue) -> Option<CallId> {
    CallId::parse(value).or_else(|| CallId::try_from(root_field(name, value)?).ok())
}

/// Bad `tracestate` is dropped; it does not harm the trace.
fn read_tracestate(headers: &HeaderMap) -> Option<Tracestate> {
    Tracestate::from_headers(headers).unwrap_or_else(|_| {
        count_malformed("tracestate");
        None
    })
}

impl Guard for Correlate {
    type Permit = CorrelatePermit;

    #[inline]
    fn enter(&self, permit: &mut CorrelatePermit) -> impl Sized {
        ContextScope::enter(&mut permit.context)
    }

    fn on_head(&self, permit: &mut CorrelatePermit, head: &mut Head<'_>) {
        let Some(context) = &permit.context else {
            return;
        };
        let (request_id, correlation_id) = context.ids();
        let echoes = self.0.echo && (self.0.echo_grpc || !head.wire.is_grpc());
        if echoes && let Some(name) = self.0.correlation_id_headers.first() {
            let value =
                (correlation_id != request_id).then(|| correlation_id.header_value().clone());
            set_or_remove_header(head.headers, name, value);
        }
        // Last: where both have the same name, it is the request ID's.
        if echoes && let Some(name) = self.0.request_id_headers.first() {
            head.headers.insert(name, request_id.header_value().clone());
        }
        if permit.respond_traceparent {
            let value = context.traceparent().to_header_value();
            head.headers.insert("traceparent", value);
        }
    }

    #[inline]
    fn on_end(&self, _: CorrelatePermit, _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Correlate {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<CorrelatePermit, Rejection> {
        let policy = &self.0;
        let traceparent = policy
            .respond_traceparent
            .as_ref()
            .is_some_and(|ask| ask.matches(request));
        let context = match request.extensions().get::<Context>() {
            Some(context) => context.clone(),
            None => {
                let context = policy.create_context(request);
                request.extensions_mut().insert(context.clone());
                context
            }
        };
        Ok(CorrelatePermit {
            context: Some(context),
            respond_traceparent: traceparent,
        })
    }
}

/// The guard that gives calls without headers a [`Context`]: the current one, or a new one where there is none.
///
/// For services that are not HTTP. Never refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct InheritContext;

impl Guard for InheritContext {
    type Permit = Option<Context>;

    #[inline]
    fn enter(&self, permit: &mut Option<Context>) -> impl Sized {
        ContextScope::enter(permit)
    }

    #[inline]
    fn on_end(&self, _: Option<Context>, _: &CallEnd<'_>) {}
}

impl<Req> Admit<Req> for InheritContext {
    fn admit(&self, _: &mut Req, _: &CallClock) -> Result<Option<Context>, Rejection> {
        Ok(Some(Context::current().unwrap_or_else(Context::new_root)))
    }
}
