use std::{fmt, sync::Arc};

use http::{Extensions, HeaderMap, HeaderName, Method, Request, Uri, header};

use super::{Baggage, IdFormat, TraceFormat, correlate::Correlate, propagate::Propagate};
use crate::call::ConfigError;

/// How many header names are looked at for one ID.
const MAX_ID_HEADERS: usize = 8;

/// The parts of a request that a predicate may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The extensions, such as axum's `ConnectInfo`.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    pub(crate) fn from_request<B>(request: &'a Request<B>) -> Self {
        RequestHead {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// A question about a request.
#[derive(Clone)]
pub(crate) struct RequestPredicate(Arc<dyn Fn(&RequestHead<'_>) -> bool + Send + Sync>);

impl RequestPredicate {
    pub(crate) fn new(ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        RequestPredicate(Arc::new(ask))
    }

    /// A predicate that panics says no.
    pub(crate) fn matches<B>(&self, request: &Request<B>) -> bool {
        crate::call::catch_hook(|| (self.0)(&RequestHead::from_request(request))).unwrap_or(false)
    }
}

impl fmt::Debug for RequestPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

/// Whose request and correlation IDs are believed, and whose baggage is read.
///
/// Traces are a matter of their own, see [`TracePolicy`]; only [`Trust::when`] decides about them as well.
#[derive(Clone, Debug, Default)]
pub struct Trust(pub(super) TrustRule);

#[derive(Clone, Debug, Default)]
pub(super) enum TrustRule {
    #[default]
    Always,
    Never,
    If(RequestPredicate),
}

impl Trust {
    /// Valid IDs are kept, whoever sends them. The default: behind a proxy that is what correlation is for.
    pub fn always() -> Self {
        Trust(TrustRule::Always)
    }

    /// IDs are made here. For an edge that strangers reach.
    pub fn never() -> Self {
        Trust(TrustRule::Never)
    }

    /// Valid IDs are kept if the predicate holds, say for a peer address, and traces go on whatever [`TracePolicy`] says. A
    /// predicate that panics says no. Ask for what strangers cannot send: a header is no proof.
    pub fn when(ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Trust(TrustRule::If(RequestPredicate::new(ask)))
    }

    /// Returns whether callers are told apart.
    pub(super) fn is_conditional(&self) -> bool {
        matches!(self.0, TrustRule::If(_))
    }

    pub(super) fn matches<B>(&self, request: &Request<B>) -> bool {
        match &self.0 {
            TrustRule::Always => true,
            TrustRule::Never => false,
            TrustRule::If(predicate) => predicate.matches(request),
        }
    }
}

/// Says what becomes of a trace that comes in with a request, unless it is from a caller whom [`Trust::when`] tells from
/// others and trusts: that one's goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TracePolicy {
    /// The trace goes on, and so does the caller's decision to sample it. The default.
    #[default]
    Continue,
    /// The trace goes on; whether it is sampled is decided here.
    Resample,
    /// A trace of our own begins, which remembers the caller's as a link; its `tracestate` is dropped.
    Restart,
    /// What came in is not looked at.
    Ignore,
}

/// How inbound requests are correlated; made by [`Correlate::builder`].
#[derive(Clone, Debug)]
pub struct CorrelateBuilder {
    request_id_headers: Vec<String>,
    correlation_id_headers: Vec<String>,
    pub(super) trust: Trust,
    pub(super) id_format: IdFormat,
    pub(super) trace_policy: TracePolicy,
    pub(super) trace_formats: Vec<TraceFormat>,
    pub(super) sample_new_traces: bool,
    pub(super) baggage: bool,
    pub(super) echo: bool,
    pub(super) echo_grpc: bool,
    pub(super) respond_traceparent: Option<RequestPredicate>,
}

impl Default for CorrelateBuilder {
    fn default() -> Self {
        CorrelateBuilder {
            request_id_headers: vec!["x-request-id".to_owned()],
            correlation_id_headers: vec!["x-correlation-id".to_owned()],
            trust: Trust::default(),
            id_format: IdFormat::default(),
            trace_policy: TracePolicy::default(),
            trace_formats: vec![TraceFormat::W3c],
            sample_new_traces: true,
            baggage: true,
            echo: true,
            echo_grpc: false,
            respond_traceparent: None,
        }
    }
}

fn to_strings<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

impl CorrelateBuilder {
    /// The headers a request ID is looked for in; the first is the one it is answered in.
    ///
    /// 1 to 8 names. Default: `x-request-id`, which proxies and load balancers agree on. Of `x-amzn-trace-id`, to which AWS
    /// load balancers add fields, the ID is `Root=..`.
    #[must_use]
    pub fn request_id_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.request_id_headers = to_strings(headers);
        self
    }

    /// The headers a correlation ID is looked for in; the first is the one it is answered in.
    ///
    /// 1 to 8 names. Default: `x-correlation-id`.
    #[must_use]
    pub fn correlation_id_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.correlation_id_headers = to_strings(headers);
        self
    }

    /// Whose IDs are believed. Default: everybody's, if they are valid.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// What IDs made here look like. Default: 128 random bits in hex, which need no clock reading.
    #[must_use]
    pub fn id_format(mut self, kind: IdFormat) -> Self {
        self.id_format = kind;
        self
    }

    /// Sets what becomes of traces that come in. Default: they go on. Those of callers whom [`Trust::when`] trusts always do.
    #[must_use]
    pub fn trace_policy(mut self, edge: TracePolicy) -> Self {
        self.trace_policy = edge;
        self
    }

    /// Sets the formats in which a trace is looked for. The first that the request has in good form counts. Default: W3C's
    /// `traceparent` only.
    ///
    /// Decides what a format leaves to the receiver, such as whether to sample where `x-b3-sampled` is absent.
    #[must_use]
    pub fn trace_formats(mut self, formats: impl IntoIterator<Item = TraceFormat>) -> Self {
        self.trace_formats = formats.into_iter().collect();
        self
    }

    /// Whether traces that begin here are marked as sampled. Default: yes, as OpenTelemetry's own sampler does;
    /// with no, parent-based samplers further on record nothing.
    #[must_use]
    pub fn sample_new_traces(mut self, sampled: bool) -> Self {
        self.sample_new_traces = sampled;
        self
    }

    /// Whether the `baggage` header of a trusted caller is read. Default: yes.
    #[must_use]
    pub fn baggage(mut self, read: bool) -> Self {
        self.baggage = read;
        self
    }

    /// Has responses carry the request ID, and the correlation ID where that is another. Default: yes, on refusals too, but
    /// for gRPC: see [`echo_grpc`](Self::echo_grpc).
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Has responses of gRPC carry them as well. Default: no, since they become metadata of the application's there.
    #[must_use]
    pub fn echo_grpc(mut self, echo: bool) -> Self {
        self.echo_grpc = echo;
        self
    }

    /// Answers with a `traceparent` header where the predicate holds. Default: never, since it tells strangers
    /// about the inside.
    #[must_use]
    pub fn respond_traceparent(
        mut self,
        ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.respond_traceparent = Some(RequestPredicate::new(ask));
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// A header name that is none, or no name at all, by field.
    pub fn build(self) -> Result<Correlate, ConfigError> {
        let request_id = parse_header_names("request_id_headers", &self.request_id_headers)?;
        let correlation_id =
            parse_header_names("correlation_id_headers", &self.correlation_id_headers)?;
        Ok(Correlate::from_builder(request_id, correlation_id, self))
    }
}

const COMPONENT: &str = "correlation";

fn parse_header_names(
    field: &'static str,
    names: &[String],
) -> Result<Vec<HeaderName>, ConfigError> {
    if names.is_empty() || names.len() > MAX_ID_HEADERS {
        let must = format!("1 to {MAX_ID_HEADERS} header names");
        return Err(ConfigError::new(
            COMPONENT,
            field,
            format!("{} names", names.len()),
            must,
        ));
    }
    names
        .iter()
        .map(|name| parse_header_name(field, name))
        .collect()
}

fn parse_header_name(field: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
    let error = |must| ConfigError::new(COMPONENT, field, format!("{name:?}"), must);
    let name = HeaderName::try_from(name)
        .map_err(|_| error("a header name such as \"x-request-id\" (letters, digits, '-')"))?;
    if [header::AUTHORIZATION, header::COOKIE, header::HOST].contains(&name) {
        return Err(error(
            "a header that carries no credentials and is not `host`",
        ));
    }
    Ok(name)
}

/// What a call that goes out says about its request ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestIdPolicy {
    /// That of the call it is made for: the default, as Envoy, Istio and nginx do it.
    #[default]
    Reuse,
    /// A new one for each attempt, where each hop has an ID of its own. The correlation ID is that of the journey then.
    Generate,
}

/// How outgoing requests are correlated; made by [`Propagate::builder`].
#[derive(Clone, Debug)]
pub struct PropagateBuilder {
    request_id_header: String,
    correlation_id_header: String,
    pub(super) request_id_policy: RequestIdPolicy,
    pub(super) id_format: IdFormat,
    pub(super) trace_formats: Vec<TraceFormat>,
    pub(super) baggage: bool,
}

impl Default for PropagateBuilder {
    fn default() -> Self {
        PropagateBuilder {
            request_id_header: "x-request-id".to_owned(),
            correlation_id_header: "x-correlation-id".to_owned(),
            request_id_policy: RequestIdPolicy::default(),
            id_format: IdFormat::default(),
            trace_formats: vec![TraceFormat::W3c],
            baggage: false,
        }
    }
}

impl PropagateBuilder {
    /// The header the request ID is sent in. Default: `x-request-id`.
    #[must_use]
    pub fn request_id_header(mut self, name: impl Into<String>) -> Self {
        self.request_id_header = name.into();
        self
    }

    /// Names the header that the correlation ID is sent in where it is another than the request ID. Where it is not, a header
    /// of that name, copied from another request, is removed. Default: `x-correlation-id`.
    #[must_use]
    pub fn correlation_id_header(mut self, name: impl Into<String>) -> Self {
        self.correlation_id_header = name.into();
        self
    }

    /// Chooses the request ID that is sent. Default: that of the call.
    #[must_use]
    pub fn request_id_policy(mut self, which: RequestIdPolicy) -> Self {
        self.request_id_policy = which;
        self
    }

    /// What IDs made here look like. Default: 128 random bits in hex.
    #[must_use]
    pub fn id_format(mut self, kind: IdFormat) -> Self {
        self.id_format = kind;
        self
    }

    /// Sets the formats that the trace is sent in: all of them. None sends no trace, say to a third party. Default: W3C's
    /// `traceparent` and `tracestate`.
    ///
    /// Headers of these formats that were copied from another request are replaced, those of the W3C in any case.
    #[must_use]
    pub fn trace_formats(mut self, formats: impl IntoIterator<Item = TraceFormat>) -> Self {
        self.trace_formats = formats.into_iter().collect();
        self
    }

    /// Whether `baggage` is sent on. Default: no, since it may carry what third parties must not see.
    #[must_use]
    pub fn baggage(mut self, send: bool) -> Self {
        self.baggage = send;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// A header name that is none, or one of a header that says something else, by field.
    pub fn build(self) -> Result<Propagate, ConfigError> {
        let request_id = self.parse_id_header("request_id_header", &self.request_id_header)?;
        let correlation_id =
            self.parse_id_header("correlation_id_header", &self.correlation_id_header)?;
        Ok(Propagate::from_builder(request_id, correlation_id, self))
    }

    fn parse_id_header(&self, field: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
        let id = parse_header_name(field, name)?;
        let of_trace = |format: &TraceFormat| format.header_names().contains(&id.as_str());
        if id == Baggage::HEADER || self.trace_formats.iter().any(of_trace) {
            let must = "a header that carries neither the trace nor `baggage`";
            return Err(ConfigError::new(
                COMPONENT,
                field,
                format!("{name:?}"),
                must,
            ));
        }
        Ok(id)
    }
}
