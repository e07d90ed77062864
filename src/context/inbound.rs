use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::{
    Baggage, Context, CorrelateBuilder, Id, IdKind, TraceEdge, TraceFormat, Tracestate, Trust,
    count_malformed,
    current::{self, Inner, Trace},
    outbound::replace,
    settings::Predicate,
    trace_format::{RemoteTrace, Sampling, root_field},
};
use crate::{
    call::{End, Moment, Rejection},
    guard::{Admit, Guard, Head},
};

/// The guard that gives each inbound call its [`Context`]: reads or makes its IDs, puts the context where
/// handlers find it, and answers with the IDs.
///
/// A request that already has a context, from a layer further out in the same process, keeps it. Never refuses.
#[derive(Clone, Debug)]
pub struct Correlate(Arc<Policy>);

#[derive(Debug)]
struct Policy {
    request_id: Vec<HeaderName>,
    correlation_id: Vec<HeaderName>,
    trust: Trust,
    id_kind: IdKind,
    edge: TraceEdge,
    trace_formats: Vec<TraceFormat>,
    sample_new: bool,
    baggage: bool,
    echo: bool,
    echo_grpc: bool,
    traceparent: Option<Predicate>,
}

impl Default for Correlate {
    fn default() -> Self {
        Correlate::new(
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
    traceparent: bool,
}

impl Correlate {
    pub(super) fn new(
        request_id: Vec<HeaderName>,
        correlation_id: Vec<HeaderName>,
        settings: CorrelateBuilder,
    ) -> Self {
        Correlate(Arc::new(Policy {
            request_id,
            correlation_id,
            trust: settings.trust,
            id_kind: settings.id_kind,
            edge: settings.edge,
            trace_formats: settings.trace_formats,
            sample_new: settings.sample_new,
            baggage: settings.baggage,
            echo: settings.echo,
            echo_grpc: settings.echo_grpc,
            traceparent: settings.traceparent,
        }))
    }

    /// Settings to start from.
    pub fn builder() -> CorrelateBuilder {
        CorrelateBuilder::default()
    }
}

impl Policy {
    fn context<B>(&self, request: &mut Request<B>) -> Context {
        let trusted = self.trust.holds(request);
        let edge = match trusted && self.trust.is_selective() {
            true => TraceEdge::Continue,
            false => self.edge,
        };
        let headers = request.headers_mut();
        // Before the IDs are settled: their headers may be those of the trace.
        let trace = self.trace(headers, edge);
        let request_id = settled_id(headers, &self.request_id, trusted, || {
            self.id_kind.generate()
        });
        let correlation_id = settled_id(headers, &self.correlation_id, trusted, || {
            request_id.clone()
        });
        Context::new(Inner {
            request_id,
            correlation_id,
            trace,
            baggage: trusted.then(|| self.baggage(headers)).flatten(),
            deadline: None,
            attempt: 1,
        })
    }

    fn trace(&self, headers: &HeaderMap, edge: TraceEdge) -> Trace {
        let inbound = match edge {
            TraceEdge::Ignore => None,
            _ => self.remote(headers),
        };
        let Some((format, remote)) = inbound else {
            return Trace::root(self.sample_new);
        };
        let decision = match edge {
            TraceEdge::Continue => remote.sampling.decision(),
            _ => None,
        };
        let sampled = decision.unwrap_or(self.sample_new);
        let root = Trace {
            is_debug: decision.is_some() && remote.sampling == Sampling::Debug,
            ..Trace::root(sampled)
        };
        match (edge, remote.trace_id) {
            (TraceEdge::RestartWithLink, _) => Trace {
                link: remote.link(),
                ..root
            },
            (_, None) => root,
            (_, Some(trace_id)) => Trace {
                trace_id,
                parent_id: remote.parent_id,
                flags: remote.flags(sampled),
                tracestate: match format {
                    TraceFormat::W3c => tracestate(headers),
                    _ => None,
                },
                ..root
            },
        }
    }

    /// Returns what the first format says that the request has in good form.
    fn remote(&self, headers: &HeaderMap) -> Option<(TraceFormat, RemoteTrace)> {
        self.trace_formats.iter().find_map(|format| {
            let read = format.read(headers).unwrap_or_else(|bad| {
                count_malformed(bad);
                None
            });
            Some((*format, read?))
        })
    }

    fn baggage(&self, headers: &HeaderMap) -> Option<Baggage> {
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
fn settled_id(
    headers: &mut HeaderMap,
    names: &[HeaderName],
    trusted: bool,
    new: impl FnOnce() -> Id,
) -> Id {
    // Of several headers those behind the good one were not looked at.
    let mut is_settled = names.len() == 1;
    let accepted = names.iter().find_map(|name| {
        let value = headers.get(name)?;
        let id = trusted.then(|| accepted_id(name, value)).flatten();
        is_settled &= id.is_some();
        if trusted && id.is_none() {
            count_malformed("id");
        }
        id
    });
    let id = accepted.unwrap_or_else(new);
    if !is_settled {
        for name in names {
            let says_other = |value| accepted_id(name, value).as_ref() != Some(&id);
            if headers.get(name).is_some_and(says_other) {
                headers.insert(name, id.header_value().clone());
            }
        }
    }
    id
}

/// Returns the ID that a header holds. That of AWS may have fields beside its root, as load balancers add them.
fn accepted_id(name: &HeaderName, value: &HeaderValue) -> Option<Id> {
    Id::accept(value).or_else(|| Id::try_from(root_field(name, value)?).ok())
}

/// Bad `tracestate` is dropped; it does not harm the trace.
fn tracestate(headers: &HeaderMap) -> Option<Tracestate> {
    Tracestate::from_headers(headers).unwrap_or_else(|_| {
        count_malformed("tracestate");
        None
    })
}

impl Guard for Correlate {
    type Permit = CorrelatePermit;

    #[inline]
    fn enter<R>(&self, permit: &mut CorrelatePermit, poll: impl FnOnce() -> R) -> R {
        current::entered(&mut permit.context, poll)
    }

    fn head(&self, permit: &mut CorrelatePermit, head: &mut Head<'_>) {
        let Some(context) = &permit.context else {
            return;
        };
        let (request_id, correlation_id) = context.ids();
        let echoes = self.0.echo && (self.0.echo_grpc || !head.wire.is_grpc());
        if echoes && let Some(name) = self.0.correlation_id.first() {
            let value =
                (correlation_id != request_id).then(|| correlation_id.header_value().clone());
            replace(head.headers, name, value);
        }
        // Last: where both have the same name, it is the request ID's.
        if echoes && let Some(name) = self.0.request_id.first() {
            head.headers.insert(name, request_id.header_value().clone());
        }
        if permit.traceparent {
            let value = context.traceparent().to_header_value();
            head.headers.insert("traceparent", value);
        }
    }

    #[inline]
    fn settle(&self, _: CorrelatePermit, _: &End<'_>) {}
}

impl<B> Admit<Request<B>> for Correlate {
    fn admit(&self, request: &mut Request<B>, _: &Moment) -> Result<CorrelatePermit, Rejection> {
        let policy = &self.0;
        let traceparent = policy
            .traceparent
            .as_ref()
            .is_some_and(|ask| ask.holds(request));
        let context = match request.extensions().get::<Context>() {
            Some(context) => context.clone(),
            None => {
                let context = policy.context(request);
                request.extensions_mut().insert(context.clone());
                context
            }
        };
        Ok(CorrelatePermit {
            context: Some(context),
            traceparent,
        })
    }
}

/// The guard that gives calls without headers a [`Context`]: the current one, or a new one where there is none.
///
/// For services that are not HTTP. Never refuses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherit;

impl Guard for Inherit {
    type Permit = Option<Context>;

    #[inline]
    fn enter<R>(&self, permit: &mut Option<Context>, poll: impl FnOnce() -> R) -> R {
        current::entered(permit, poll)
    }

    #[inline]
    fn settle(&self, _: Option<Context>, _: &End<'_>) {}
}

impl<Req> Admit<Req> for Inherit {
    fn admit(&self, _: &mut Req, _: &Moment) -> Result<Option<Context>, Rejection> {
        Ok(Some(Context::current().unwrap_or_else(Context::root)))
    }
}
