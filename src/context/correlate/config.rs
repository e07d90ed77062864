use http::{HeaderMap, HeaderName, Request};

use super::inbound_id::{resolve_correlation_id, resolve_id};
use crate::context::{
    Baggage, Context, IdFormat, TraceFormat, TracePolicy, Tracestate, Trust,
    content::ContextContent,
    malformed::count_malformed,
    request_predicate::RequestPredicate,
    trace_context::TraceContext,
    trace_format::{RemoteTrace, Sampling},
    tracker_claim::TrackerClaim,
};

/// Checked settings of a [`Correlate`](super::Correlate).
#[derive(Clone, Debug)]
pub(super) struct CorrelateConfig {
    pub(super) request_id_headers: Vec<HeaderName>,
    pub(super) correlation_id_headers: Vec<HeaderName>,
    pub(super) trust: Trust,
    pub(super) id_format: IdFormat,
    pub(super) trace_policy: TracePolicy,
    pub(super) trace_formats: Vec<TraceFormat>,
    pub(super) sample_new_traces: bool,
    pub(super) baggage: bool,
    pub(super) echo: bool,
    pub(super) echo_grpc: bool,
    pub(super) respond_traceparent: Option<RequestPredicate>,
    pub(super) rejection_details: bool,
    /// True if a tracker stands right inside.
    pub(super) has_tracker: bool,
}

impl Default for CorrelateConfig {
    fn default() -> Self {
        CorrelateConfig {
            request_id_headers: vec![HeaderName::from_static("x-request-id")],
            correlation_id_headers: vec![HeaderName::from_static("x-correlation-id")],
            trust: Trust::default(),
            id_format: IdFormat::default(),
            trace_policy: TracePolicy::default(),
            trace_formats: vec![TraceFormat::W3c],
            sample_new_traces: true,
            baggage: true,
            echo: true,
            echo_grpc: false,
            respond_traceparent: None,
            rejection_details: false,
            has_tracker: false,
        }
    }
}

impl CorrelateConfig {
    pub(super) fn create_context<B>(&self, request: &mut Request<B>) -> Context {
        let is_trusted = self.trust.matches(request);
        // Under `Trust::always` everybody is trusted, which says nothing about traces.
        let trace_policy = match is_trusted && self.trust.is_conditional() {
            true => TracePolicy::Continue,
            false => self.trace_policy,
        };
        let headers = request.headers_mut();
        // Before the IDs are resolved, which may replace headers: an ID header may be that of the trace.
        let trace_context = self.inbound_trace(headers, trace_policy);
        let request_id = resolve_id(headers, &self.request_id_headers, is_trusted, || {
            self.id_format.generate()
        });
        let names = &self.correlation_id_headers;
        let correlation_id = resolve_correlation_id(headers, names, is_trusted, &request_id);
        Context::new(ContextContent {
            correlation_id,
            // Baggage gets into logs and outgoing requests, so untrusted callers must not set it.
            baggage: is_trusted.then(|| self.inbound_baggage(headers)).flatten(),
            rejection_details: is_trusted && self.rejection_details,
            tracker: TrackerClaim::new(self.has_tracker),
            ..ContextContent::new(request_id, trace_context)
        })
    }

    fn inbound_trace(&self, headers: &HeaderMap, policy: TracePolicy) -> TraceContext {
        let is_read = policy != TracePolicy::Ignore;
        let inbound = is_read.then(|| self.remote_trace(headers)).flatten();
        let Some((format, remote)) = inbound else {
            return TraceContext::new_root(self.sample_new_traces);
        };
        // Other policies decide here.
        let decision = match policy {
            TracePolicy::Continue => remote.sampling.decision(),
            _ => None,
        };
        let sampled = decision.unwrap_or(self.sample_new_traces);
        let root = TraceContext {
            // The debug flag is a decision of the caller, like any other.
            is_debug: decision.is_some() && remote.sampling == Sampling::Debug,
            ..TraceContext::new_root(sampled)
        };
        match (policy, remote.trace_id) {
            (TracePolicy::Restart, _) => TraceContext {
                linked_trace: remote.link().map(Box::new),
                ..root
            },
            // The caller only says whether to sample.
            (_, None) => root,
            (_, Some(trace_id)) => TraceContext {
                trace_id,
                parent_id: remote.parent_id,
                flags: remote.flags(sampled),
                tracestate: read_tracestate(format, headers).map(Box::new),
                ..root
            },
        }
    }

    /// Reads the trace in the first format that the request has well formed.
    fn remote_trace(&self, headers: &HeaderMap) -> Option<(TraceFormat, RemoteTrace)> {
        self.trace_formats.iter().find_map(|format| {
            // A malformed header does not end the search: the trace may be there in the next format too.
            let remote = format.read(headers).unwrap_or_else(|malformed| {
                count_malformed(malformed);
                None
            });
            Some((*format, remote?))
        })
    }

    fn inbound_baggage(&self, headers: &HeaderMap) -> Option<Box<Baggage>> {
        if !self.baggage {
            return None;
        }
        let baggage = Baggage::from_headers(headers)?;
        if baggage.dropped() > 0 {
            count_malformed("baggage");
        }
        Some(Box::new(baggage))
    }
}

/// Reads `tracestate`. A malformed one is dropped, and the trace is continued without.
fn read_tracestate(format: TraceFormat, headers: &HeaderMap) -> Option<Tracestate> {
    // No other format has one: a `tracestate` beside it belongs to another trace.
    if format != TraceFormat::W3c {
        return None;
    }
    Tracestate::from_headers(headers).unwrap_or_else(|_| {
        count_malformed("tracestate");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_details_are_for_trusted_callers_if_configured() {
        for (configured, trusted, shown) in [
            (false, true, false),
            (true, true, true),
            (true, false, false),
        ] {
            let config = CorrelateConfig {
                rejection_details: configured,
                trust: Trust::when(move |_| trusted),
                ..CorrelateConfig::default()
            };
            let context = config.create_context(&mut Request::new(()));
            assert_eq!(context.has_rejection_details(), shown);
            // Derived contexts are of the same call.
            assert_eq!(context.with_attempt(2).has_rejection_details(), shown);
        }
        let default = CorrelateConfig::default().create_context(&mut Request::new(()));
        assert!(!default.has_rejection_details());
        assert!(!Context::new_root().has_rejection_details());
    }
}
