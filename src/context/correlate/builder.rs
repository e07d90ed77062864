use std::sync::Arc;

use super::{Correlate, config::CorrelateConfig};
use crate::{
    call::ConfigError,
    context::{
        IdFormat, RequestHead, TraceFormat, TracePolicy, Trust,
        header_name::{parse_header_names, to_strings},
        request_predicate::RequestPredicate,
    },
};

/// Builder of a [`Correlate`]; made by [`Correlate::builder`].
#[derive(Clone, Debug, Default)]
pub struct CorrelateBuilder {
    /// Not checked yet; None for the default.
    request_id_headers: Option<Vec<String>>,
    correlation_id_headers: Option<Vec<String>>,
    config: CorrelateConfig,
}

impl CorrelateBuilder {
    /// Sets the headers that may carry the request ID. The first is also set on responses.
    ///
    /// Takes 1 to 8 names. The ID in `x-amzn-trace-id`, to which AWS load balancers add fields, is `Root=..`. Default:
    /// `x-request-id`, the common choice of proxies and load balancers.
    #[must_use]
    pub fn request_id_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.request_id_headers = Some(to_strings(headers));
        self
    }

    /// Sets the headers that may carry the correlation ID. The first is also set on responses.
    ///
    /// Takes 1 to 8 names. Default: `x-correlation-id`.
    #[must_use]
    pub fn correlation_id_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.correlation_id_headers = Some(to_strings(headers));
        self
    }

    /// Sets whose IDs are kept. Default: everybody's, if they are valid.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.config.trust = trust;
        self
    }

    /// Sets the format of generated IDs. Default: 128 random bits in hex, which need no clock reading.
    #[must_use]
    pub fn id_format(mut self, format: IdFormat) -> Self {
        self.config.id_format = format;
        self
    }

    /// Sets what becomes of inbound traces; those of callers that [`Trust::networks`] or [`Trust::when`] trusts are always continued. Default:
    /// [`TracePolicy::Continue`].
    #[must_use]
    pub fn trace_policy(mut self, policy: TracePolicy) -> Self {
        self.config.trace_policy = policy;
        self
    }

    /// Sets the formats in which a trace may come, in order: the first that a request has well formed counts.
    ///
    /// A sampling decision that the format leaves open, as B3 does without `x-b3-sampled`, is
    /// [made here](Self::sample_new_traces). Default: only W3C's `traceparent`.
    #[must_use]
    pub fn trace_formats(mut self, formats: impl IntoIterator<Item = TraceFormat>) -> Self {
        self.config.trace_formats = formats.into_iter().collect();
        self
    }

    /// Sets whether traces that start here are marked as sampled. If not, parent-based samplers of later services record
    /// nothing. Default: yes, as OpenTelemetry's own sampler does.
    #[must_use]
    pub fn sample_new_traces(mut self, sampled: bool) -> Self {
        self.config.sample_new_traces = sampled;
        self
    }

    /// Sets whether the `baggage` header of trusted callers is read. Default: yes.
    #[must_use]
    pub fn baggage(mut self, read: bool) -> Self {
        self.config.baggage = read;
        self
    }

    /// Sets whether responses, rejections included, carry the request ID, and the correlation ID where that differs; for
    /// gRPC see [`echo_grpc`](Self::echo_grpc). Default: yes.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.config.echo = echo;
        self
    }

    /// Sets whether gRPC responses carry the IDs as well. Default: no, since they become metadata of the application
    /// there.
    #[must_use]
    pub fn echo_grpc(mut self, echo: bool) -> Self {
        self.config.echo_grpc = echo;
        self
    }

    /// Adds a `traceparent` header to responses to requests that match the predicate. Default: none, since it tells
    /// untrusted callers about the inside.
    ///
    /// For requests that somebody debugs:
    ///
    /// ```
    /// use tower_keep::context::Correlate;
    ///
    /// let correlate = Correlate::builder()
    ///     .respond_traceparent(|head| head.headers.contains_key("x-debug"))
    ///     .build()?;
    /// # let _ = correlate;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn respond_traceparent(
        mut self,
        predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.config.respond_traceparent = Some(RequestPredicate::new(predicate));
        self
    }

    /// Sets whether trusted callers see the guard, the key and the reason of rejections: of all layers and handlers further
    /// in, as [`Rejection::with_details_for_caller`](crate::Rejection::with_details_for_caller) has it for one. The last error
    /// never leaves the process.
    ///
    /// Members of a problem body, or details of a gRPC status. The outermost layer of a process decides. Every caller is
    /// trusted unless [`trust`](Self::trust) says otherwise. What a handler passes on of a peer's response, such as a
    /// `tonic::Status` with its details, is the handler's own affair. Default: no, since they tell callers about the inside.
    ///
    /// For callers in your own network only:
    ///
    /// ```
    /// use tower_keep::{context::{Correlate, Trust}, observe};
    ///
    /// let correlate = Correlate::builder()
    ///     .trust(Trust::networks(["10.0.0.0/8"])?)
    ///     .rejection_details(true)
    ///     .build()?;
    /// let layer = observe("stock").correlate(correlate).server();
    /// # let _ = layer;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn rejection_details(mut self, shown: bool) -> Self {
        self.config.rejection_details = shown;
        self
    }

    /// Checks the settings and builds the guard.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that has an invalid header name, none or too many.
    pub fn build(self) -> Result<Correlate, ConfigError> {
        let mut config = self.config;
        if let Some(names) = self.request_id_headers {
            config.request_id_headers = parse_header_names("request_id_headers", &names)?;
        }
        if let Some(names) = self.correlation_id_headers {
            config.correlation_id_headers = parse_header_names("correlation_id_headers", &names)?;
        }
        Ok(Correlate(Arc::new(config)))
    }
}
