use std::time::Duration;

use super::{
    MetricNaming, SlowThresholds, SpanLevel, Track, TrackSettings,
    config::{self, TrackConfig},
    fields_hook::FieldsHook,
    span_ids::SpanIds,
    span_options::OnSpan,
};
use crate::{
    call::{ConfigError, Label},
    context::{CallFields, RequestHead, RequestPredicate, Traceparent, TrustedProxies},
    errors::ErrorTracker,
};

/// A builder of a [`Track`]; made by [`Track::builder`].
#[derive(Clone, Debug)]
pub struct TrackBuilder {
    pub(super) name: Label,
    pub(super) service_label: bool,
    pub(super) naming: MetricNaming,
    pub(super) span_level: SpanLevel,
    pub(super) on_span: Option<OnSpan>,
    pub(super) span_ids: Option<SpanIds>,
    pub(super) https: bool,
    /// The part that can be changed later, by [`Track::apply`].
    pub(super) settings: TrackSettings,
    pub(super) ignore: Option<RequestPredicate>,
    pub(super) skip_log: Option<RequestPredicate>,
    pub(super) log_headers: Vec<String>,
    pub(super) redact_headers: Vec<String>,
    pub(super) unredact_headers: Vec<String>,
    pub(super) log_path: bool,
    pub(super) log_fields: Option<FieldsHook>,
    pub(super) client_address: Option<TrustedProxies>,
    pub(super) body_sizes: bool,
    pub(super) time_to_head: bool,
    pub(super) poll_time: bool,
    pub(super) readiness_wait: bool,
    pub(super) server_timing: Option<RequestPredicate>,
    pub(super) response_time: Option<RequestPredicate>,
    pub(super) server_address: Option<String>,
    pub(super) max_targets: usize,
    pub(super) max_series: usize,
    pub(super) errors: Option<ErrorTracker>,
}

impl TrackBuilder {
    pub(super) fn new(name: Label) -> Self {
        TrackBuilder {
            name,
            service_label: false,
            naming: MetricNaming::default(),
            span_level: SpanLevel::default(),
            on_span: None,
            span_ids: None,
            https: false,
            settings: TrackSettings::default(),
            ignore: None,
            skip_log: None,
            log_headers: Vec::new(),
            redact_headers: Vec::new(),
            unredact_headers: Vec::new(),
            log_path: true,
            log_fields: None,
            client_address: None,
            body_sizes: false,
            time_to_head: false,
            poll_time: false,
            readiness_wait: false,
            server_timing: None,
            response_time: None,
            server_address: None,
            max_targets: config::DEFAULT_MAX_TARGETS,
            max_series: config::DEFAULT_MAX_SERIES,
            // One store for the process, in which layers and operations find the same fault.
            errors: Some(ErrorTracker::global().clone()),
        }
    }

    /// Takes over all settings that a file may have, those with their defaults included: setters of these before this one
    /// have no effect, later ones override.
    ///
    /// ```
    /// use tower_keep::{Track, track::TrackSettings};
    ///
    /// let mut settings = TrackSettings::default(); // or from a file
    /// settings.sample = 0.1;
    /// let track = Track::builder("orders").settings(&settings).log_path(false).build()?;
    /// assert_eq!(track.settings(), settings);
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn settings(mut self, settings: &TrackSettings) -> Self {
        self.settings = settings.clone();
        self
    }

    /// Sets whether all series have the label `service` with the name of the tracker, which tells two applications of
    /// one process apart. The crate's own metrics (`tower_keep_..`) always have it. Default: off, since collectors add
    /// the name of a process that is one service.
    #[must_use]
    pub fn service_label(mut self, on: bool) -> Self {
        self.service_label = on;
        self
    }

    /// Sets the naming scheme of the metrics. Default: [`MetricNaming::SemConv`].
    #[must_use]
    pub fn naming(mut self, naming: MetricNaming) -> Self {
        self.naming = naming;
        self
    }

    /// Sets the level of the span of a call. Default: [`SpanLevel::Info`].
    #[must_use]
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.span_level = level;
        self
    }

    /// Sets a hook that is called with each span before the span is entered, which is the only moment at which an
    /// OpenTelemetry parent can be attached. The call's [`Context`](crate::Context) is current. The fields of the span are fixed:
    /// recording another one does nothing; use [`log_fields`](Self::log_fields) for the access-log line. Default: none.
    ///
    /// A hook that logs inside of each new span:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders")
    ///     .on_span(|span| span.in_scope(|| tracing::debug!("a new call")))
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn on_span(mut self, hook: impl Fn(&tracing::Span) + Send + Sync + 'static) -> Self {
        self.on_span = Some(OnSpan::new(hook));
        self
    }

    /// Sets the hook that returns the IDs under which a span is exported, which the call's
    /// [`Context`](crate::Context) takes over: what is sent on and logged is then what is exported. It is called after
    /// [`on_span`](Self::on_span); if it returns `None`, the context keeps its own IDs. Default: with the feature
    /// `opentelemetry` those of `tracing-opentelemetry`, and else none.
    ///
    /// For an exporter of another kind, or of another version than the feature's:
    ///
    /// ```
    /// use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
    /// use tower_keep::{Context, Track, context::{SpanId, TraceFlags, TraceId, Traceparent}};
    /// use tracing_opentelemetry::OpenTelemetrySpanExt;
    ///
    /// fn set_parent(span: &tracing::Span) {
    ///     let Some(call) = Context::current() else { return };
    ///     let Some(parent) = call.parent_id() else { return };
    ///     let parent = SpanContext::new(
    ///         opentelemetry::TraceId::from_bytes(call.trace_id().to_bytes()),
    ///         opentelemetry::SpanId::from_bytes(parent.to_bytes()),
    ///         opentelemetry::TraceFlags::new(call.trace_flags().bits()),
    ///         true,
    ///         TraceState::NONE,
    ///     );
    ///     let parent = opentelemetry::Context::current().with_remote_span_context(parent);
    ///     let _ = span.set_parent(parent); // fails if the span is not exported
    /// }
    ///
    /// fn ids(span: &tracing::Span) -> Option<Traceparent> {
    ///     let context = span.context();
    ///     let span = context.span().span_context().clone();
    ///     Some(Traceparent {
    ///         trace_id: TraceId::from_bytes(span.trace_id().to_bytes())?,
    ///         parent_id: SpanId::from_bytes(span.span_id().to_bytes())?,
    ///         flags: TraceFlags::from_bits(span.trace_flags().to_u8()),
    ///     })
    /// }
    ///
    /// let track = Track::builder("orders").on_span(set_parent).span_ids(ids).build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn span_ids(
        mut self,
        ids: impl Fn(&tracing::Span) -> Option<Traceparent> + Send + Sync + 'static,
    ) -> Self {
        self.span_ids = Some(SpanIds::new(ids));
        self
    }

    /// Sets whether requests arrive over TLS, at this server or at a proxy in front of it: the label `url_scheme` of a
    /// server is then `https`. Spans show the scheme of the request, if it has one. Default: off.
    #[must_use]
    pub fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// Sets whether each call emits an event of the target `tower_keep::access`. Default: on; it costs nothing without a
    /// subscriber that is interested.
    #[must_use]
    pub fn access_log(mut self, on: bool) -> Self {
        self.settings.access_log = on;
        self
    }

    /// Sets the fraction of successful calls that is logged, 0 to 1. Rejections, 429, 5xx, timeouts, panics and slow
    /// calls are always logged.
    ///
    /// The correlation ID decides, so that services with the same fraction log the same request chains. If the IDs of
    /// callers are trusted, a caller can choose an ID that is logged. Default: 1.
    #[must_use]
    pub fn sample(mut self, fraction: f64) -> Self {
        self.settings.sample = fraction;
        self
    }

    /// Excludes calls that match, whatever becomes of them: **no metrics, no span, no line in the access log, and no error
    /// group**. For health checks and scrapes. The call keeps its IDs, which are those of
    /// [`Correlate`](crate::context::Correlate); a panic is still logged, once. Trackers of the same name further in ignore
    /// the call as well. Default: none.
    ///
    /// Health checks stay out of everything:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders")
    ///     .ignore(|head| head.uri.path() == "/livez")
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn ignore(
        mut self,
        matches: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.ignore = Some(RequestPredicate::new(matches));
        self
    }

    /// Excludes successful calls that match from the access log, such as health checks. **Metrics and spans stay**: see
    /// [`ignore`](Self::ignore). Calls that [`sample`](Self::sample) always logs are logged nevertheless. Default: none.
    ///
    /// Health checks stay out of the log:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders")
    ///     .skip_log(|head| head.uri.path() == "/livez")
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn skip_log(
        mut self,
        matches: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.skip_log = Some(RequestPredicate::new(matches));
        self
    }

    /// Sets the durations from which a call is slow: from admission to the end of the body; for gRPC to the head of the
    /// response, since streams cannot be told from single responses. Slow calls are always in the access log. Upgrades,
    /// tunnels and server-sent events are long-lived and never slow.
    ///
    /// Both must be above zero, and `warning` not above `critical`. Default: none, since only the service knows.
    #[must_use]
    pub fn slow(mut self, warning: Duration, critical: Duration) -> Self {
        self.settings.slow = Some(SlowThresholds { warning, critical });
        self
    }

    /// Sets the durations of [`slow`](Self::slow) for one route, gRPC method or (on clients) server, which always gets a
    /// label of its own. At most 1,000 of them. Default: those of `slow`.
    #[must_use]
    pub fn slow_route(
        mut self,
        route: impl Into<String>,
        warning: Duration,
        critical: Duration,
    ) -> Self {
        let thresholds = SlowThresholds { warning, critical };
        self.settings.slow_routes.insert(route.into(), thresholds);
        self
    }

    /// Sets the request headers that the access log carries: at most 16, with up to 16 values each.
    ///
    /// Values are logged as `REDACTED` if they are marked as sensitive, or if the name contains `auth`, `token`, `key`,
    /// `secret`, `cookie`, `session`, `password` or `credential`. Default: none.
    #[must_use]
    pub fn log_headers<N: Into<String>>(mut self, headers: impl IntoIterator<Item = N>) -> Self {
        self.log_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Redacts headers of [`log_headers`](Self::log_headers) whose names do not look like those of credentials.
    /// Default: none.
    #[must_use]
    pub fn redact_headers<N: Into<String>>(mut self, headers: impl IntoIterator<Item = N>) -> Self {
        self.redact_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Logs the values of headers of [`log_headers`](Self::log_headers) whose names only look like those of credentials,
    /// such as `idempotency-key`. Values that are marked as sensitive stay redacted. Default: none.
    #[must_use]
    pub fn unredact_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.unredact_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the hook that adds fields to the access-log line: at admission, for each call that may be logged. What only the
    /// handler knows it adds with [`Context::add_field`](crate::Context::add_field), which replaces a field of the same name. See
    /// [`CallFields`] for the bounds. Default: none.
    ///
    /// The tenant, which the requests name in a header:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders")
    ///     .log_fields(|head, fields| {
    ///         if let Some(Ok(tenant)) = head.headers.get("x-tenant").map(|value| value.to_str()) {
    ///             fields.add("tenant", tenant);
    ///         }
    ///     })
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn log_fields(
        mut self,
        hook: impl Fn(&RequestHead<'_>, &mut CallFields) + Send + Sync + 'static,
    ) -> Self {
        self.log_fields = Some(FieldsHook::new(hook));
        self
    }

    /// Adds the address of the client to the access log and the spans of a server, as `client.address`: that of the peer, or what
    /// trusted proxies say. [`TrustedProxies`] says where the address of the peer is read: on a tonic server it is not found unless
    /// a layer [copies it](crate::guide::trust#on-a-tonic-server). Default: none, since an address is personal data.
    ///
    /// A service behind a load balancer:
    ///
    /// ```
    /// use tower_keep::{Track, context::TrustedProxies};
    ///
    /// let proxies = TrustedProxies::x_forwarded_for(["10.0.0.0/8"])?;
    /// let track = Track::builder("orders").client_address(proxies).build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn client_address(mut self, proxies: TrustedProxies) -> Self {
        self.client_address = Some(proxies);
        self
    }

    /// Sets whether the access log and spans contain the path, without the query. Turn it off if path segments are
    /// private. Default: on.
    #[must_use]
    pub fn log_path(mut self, on: bool) -> Self {
        self.log_path = on;
        self
    }

    /// Measures the sizes of bodies in histograms of their own.
    ///
    /// The access log always has the size of the response. It has the size of the request only with this setting and a
    /// [`RequestBodyLayer`](super::RequestBodyLayer) inside of the tracker, which changes the type of the body.
    /// Default: off.
    #[must_use]
    pub fn body_sizes(mut self, on: bool) -> Self {
        self.body_sizes = on;
        self
    }

    /// Measures the time to the head of the response in a histogram of its own. Default: off; it takes a third clock
    /// reading per call.
    #[must_use]
    pub fn time_to_head(mut self, on: bool) -> Self {
        self.time_to_head = on;
        self
    }

    /// Measures the time spent inside polls, as opposed to waiting. Default: off; it reads the clock at every poll.
    #[must_use]
    pub fn poll_time(mut self, on: bool) -> Self {
        self.poll_time = on;
        self
    }

    /// Measures the wait for readiness, from the first `poll_ready` of a handle that returned `Pending`.
    ///
    /// A handle is not told when its caller stops waiting: the next call of that handle includes the earlier wait.
    /// Clones start without a wait. Default: off.
    #[must_use]
    pub fn readiness_wait(mut self, on: bool) -> Self {
        self.readiness_wait = on;
        self
    }

    /// Adds the header `Server-Timing: total;dur=12.3` (milliseconds to the head) to responses to requests that match.
    /// Default: none, since it shows internals to untrusted callers.
    ///
    /// For callers that ask for it:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders")
    ///     .server_timing(|head| head.headers.contains_key("x-debug"))
    ///     .build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn server_timing(
        mut self,
        matches: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.server_timing = Some(RequestPredicate::new(matches));
        self
    }

    /// Adds the header `x-response-time: 12.3ms` (time to the head) to responses to requests that match. Default: none.
    ///
    /// In the responses to all requests:
    ///
    /// ```
    /// use tower_keep::Track;
    ///
    /// let track = Track::builder("orders").response_time(|_| true).build()?;
    /// # let _ = track;
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn response_time(
        mut self,
        matches: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.response_time = Some(RequestPredicate::new(matches));
        self
    }

    /// Sets the server that a client calls, as `host` or `host:port`, for requests without an authority, such as those
    /// of tonic's clients. It is also a label of gRPC calls. Default: none.
    #[must_use]
    pub fn server_address(mut self, address: impl Into<String>) -> Self {
        self.server_address = Some(address.into());
        self
    }

    /// Sets the maximum number of targets (routes, servers and gRPC methods) with labels of their own. All others share
    /// `_OTHER`, except those of [`slow_route`](Self::slow_route).
    ///
    /// 1 to 16,384. Default: 256.
    #[must_use]
    pub fn max_targets(mut self, max: usize) -> Self {
        self.max_targets = max;
        self
    }

    /// Sets the maximum number of label sets of the duration histograms. All others share one for each of HTTP, streams
    /// and gRPC. For failures a quarter as many, but at least 16, are reserved: see [bounds](super#bounds).
    ///
    /// 1 to 100,000. Default: 2,000, the limit of the OpenTelemetry SDKs.
    #[must_use]
    pub fn max_series(mut self, max: usize) -> Self {
        self.max_series = max;
        self
    }

    /// Sets the tracker that groups the errors of failed calls, or `None`. Default: [`ErrorTracker::global`].
    #[must_use]
    pub fn errors(mut self, tracker: impl Into<Option<ErrorTracker>>) -> Self {
        self.errors = tracker.into();
        self
    }

    /// Validates the settings and returns the tracker.
    ///
    /// # Errors
    ///
    /// Returns the first invalid setting, with its field and the allowed values.
    pub fn build(self) -> Result<Track, ConfigError> {
        Ok(Track::from_config(TrackConfig::new(self)?))
    }
}
