use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::HeaderName;

use super::{
    Track,
    labels::CallSide,
    redact::{LoggedHeader, looks_like_credential},
};
use crate::{
    call::{ConfigError, Label, check_fraction},
    context::{RequestHead, RequestPredicate},
    errors::ErrorTracker,
};

/// Places (routes, servers, gRPC methods) that get series of their own, unless set otherwise.
const DEFAULT_MAX_TARGETS: usize = 256;
/// Series that one tracker makes, unless set otherwise.
const DEFAULT_MAX_SERIES: usize = 2_000;
/// Series of failures that there is room for, however few others there may be.
const MIN_RESERVED_SERIES: usize = 16;
/// Headers that an access-log line may carry.
const MAX_LOG_HEADERS: usize = 16;

/// When a call is slow: from its admission to the end of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowThresholds {
    pub(crate) warning: Duration,
    pub(crate) critical: Duration,
}

impl SlowThresholds {
    pub(crate) fn check(
        self,
        owner: &str,
        field: &'static str,
    ) -> Result<SlowThresholds, ConfigError> {
        let SlowThresholds { warning, critical } = self;
        if !warning.is_zero() && warning <= critical {
            return Ok(self);
        }
        let got = format!("{warning:?} and {critical:?}");
        let must = "above zero, the warning not above the critical threshold";
        Err(ConfigError::new(owner, field, got, must))
    }

    pub(crate) fn level(self, elapsed: Duration) -> Option<SlowLevel> {
        if elapsed >= self.critical {
            Some(SlowLevel::Critical)
        } else if elapsed >= self.warning {
            Some(SlowLevel::Warning)
        } else {
            None
        }
    }
}

/// How slow a slow call was.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum SlowLevel {
    Warning,
    Critical,
}

impl SlowLevel {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SlowLevel::Warning => "warning",
            SlowLevel::Critical => "critical",
        }
    }
}

/// How the metrics are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricNaming {
    /// OpenTelemetry's semantic conventions, spelled for Prometheus: `http_server_request_duration_seconds`,
    /// `rpc_server_call_duration_seconds` and so on. The default.
    #[default]
    SemConv,
    /// The names that many dashboards were built on. Of a server: `http_requests_total` and
    /// `http_request_duration_seconds`, with the labels `method`, `route` and `status` (for gRPC its code in words),
    /// `active_connections` without labels, and `errors_total` with the label `type`, which is the kind of the error
    /// record, `http 500` say. Those of a client begin with `http_client`, and its gauge is
    /// `http_client_active_requests` with the label `method`.
    Classic,
}

/// How much is written into the span of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanLevel {
    /// No span.
    Off,
    /// A span at `DEBUG`.
    Debug,
    /// A span at `INFO`. The default: with one at `DEBUG`, newcomers see nothing.
    #[default]
    Info,
}

/// A hook for new spans.
#[derive(Clone)]
pub(super) struct OnSpan(Arc<dyn Fn(&tracing::Span) + Send + Sync>);

impl OnSpan {
    pub(super) fn call(&self, span: &tracing::Span) {
        (self.0)(span);
    }
}

impl fmt::Debug for OnSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSpan")
    }
}

/// How calls are tracked; made by [`Track::builder`].
#[derive(Clone, Debug)]
pub struct TrackBuilder {
    pub(super) name: Label,
    pub(super) service_label: bool,
    pub(super) naming: MetricNaming,
    pub(super) span_level: SpanLevel,
    pub(super) on_span: Option<OnSpan>,
    pub(super) https: bool,
    pub(super) access_log: bool,
    pub(super) sample: f64,
    pub(super) skip: Option<RequestPredicate>,
    pub(super) slow: Option<SlowThresholds>,
    pub(super) slow_routes: Vec<(String, SlowThresholds)>,
    log_headers: Vec<String>,
    redact_headers: Vec<String>,
    unredact_headers: Vec<String>,
    pub(super) log_path: bool,
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

/// Settings that have passed their check.
#[derive(Debug)]
pub(super) struct TrackConfig {
    pub(super) options: TrackBuilder,
    pub(super) slow_routes: HashMap<String, SlowThresholds>,
    pub(super) log_headers: Vec<LoggedHeader>,
}

impl TrackConfig {
    /// Places that are named in the settings have room besides.
    pub(super) fn max_targets(&self) -> usize {
        self.options.max_targets + self.options.slow_routes.len()
    }

    /// Returns whether any call may be slow.
    pub(super) fn has_slow_thresholds(&self) -> bool {
        self.options.slow.is_some() || !self.slow_routes.is_empty()
    }
}

impl TrackBuilder {
    pub(super) fn new(name: Label) -> Self {
        TrackBuilder {
            name,
            service_label: false,
            naming: MetricNaming::default(),
            span_level: SpanLevel::default(),
            on_span: None,
            https: false,
            access_log: true,
            sample: 1.0,
            skip: None,
            slow: None,
            slow_routes: Vec::new(),
            log_headers: Vec::new(),
            redact_headers: Vec::new(),
            unredact_headers: Vec::new(),
            log_path: true,
            body_sizes: false,
            time_to_head: false,
            poll_time: false,
            readiness_wait: false,
            server_timing: None,
            response_time: None,
            server_address: None,
            max_targets: DEFAULT_MAX_TARGETS,
            max_series: DEFAULT_MAX_SERIES,
            errors: Some(ErrorTracker::global().clone()),
        }
    }

    /// Adds the label `service`, with the tracker's name, to all of its series: it tells two applications of one process
    /// apart. Default: no, since the name of a process's one service is what the collector adds; of this crate's own
    /// metrics (`tower_keep_..`) it is a label anyway.
    #[must_use]
    pub fn service_label(mut self, on: bool) -> Self {
        self.service_label = on;
        self
    }

    /// How the metrics are called. Default: by semantic conventions.
    #[must_use]
    pub fn naming(mut self, naming: MetricNaming) -> Self {
        self.naming = naming;
        self
    }

    /// At which level calls get a span. Default: `INFO`.
    #[must_use]
    pub fn span_level(mut self, level: SpanLevel) -> Self {
        self.span_level = level;
        self
    }

    /// Runs for each span before it is entered: the only moment at which an OpenTelemetry parent can be attached to
    /// it. The call's [`Context`](crate::Context) is current then. Default: nothing.
    #[must_use]
    pub fn on_span(mut self, hook: impl Fn(&tracing::Span) + Send + Sync + 'static) -> Self {
        self.on_span = Some(OnSpan(Arc::new(hook)));
        self
    }

    /// Says that requests arrive over TLS, at this server or at a proxy in front of it: the label `url_scheme` of a server
    /// is `https` then. Spans show what the request says, where it says anything. Default: no.
    #[must_use]
    pub fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// Whether each call is one event of the target `tower_keep::access`. Default: yes; it costs nothing where
    /// no subscriber wants it.
    #[must_use]
    pub fn access_log(mut self, on: bool) -> Self {
        self.access_log = on;
        self
    }

    /// Sets the fraction of good calls that is in the access log, 0 to 1. Refusals, 429, 5xx, timeouts, panics and whatever is slow
    /// always are. Default: 1.
    ///
    /// The correlation ID decides, so that the lines of one journey are there at every hop that has the same fraction, or
    /// at none. Where a caller's IDs are trusted, a caller can choose one that is there.
    #[must_use]
    pub fn sample(mut self, fraction: f64) -> Self {
        self.sample = fraction;
        self
    }

    /// Leaves good calls for which the predicate holds out of the access log, say health checks. What
    /// [`call_sample`](Self::sample) never leaves out, this does not either. Default: none.
    #[must_use]
    pub fn skip(mut self, ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(RequestPredicate::new(ask));
        self
    }

    /// Sets when a call is slow, a warning or critical: from admission to the end of its body, and for gRPC to the head
    /// of the response, since nothing on the wire tells a stream from one answer. Slow calls are always in the access log.
    /// Upgrades, tunnels and server-sent events, which are meant to last, are never slow.
    ///
    /// Above zero, `warning` not above `critical`. Default: never, since only the service knows.
    #[must_use]
    pub fn slow(mut self, warning: Duration, critical: Duration) -> Self {
        self.slow = Some(SlowThresholds { warning, critical });
        self
    }

    /// As [`slow`](Self::slow), for one route, gRPC method or (on clients) server. It has a label of its own however many
    /// others there are.
    #[must_use]
    pub fn slow_route(
        mut self,
        route: impl Into<String>,
        warning: Duration,
        critical: Duration,
    ) -> Self {
        let thresholds = SlowThresholds { warning, critical };
        self.slow_routes.push((route.into(), thresholds));
        self
    }

    /// Names request headers that the access log carries: at most 16, with up to 16 values each. Default: none.
    ///
    /// Values show as `REDACTED` if they are marked as sensitive, or if the name looks like that of a credential: if
    /// `auth`, `token`, `key`, `secret`, `cookie`, `session`, `password` or `credential` is a part of it.
    #[must_use]
    pub fn log_headers<N: Into<String>>(mut self, headers: impl IntoIterator<Item = N>) -> Self {
        self.log_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Redacts headers of [`log_headers`](Self::log_headers) whose names do not look like those of credentials. Default:
    /// none.
    #[must_use]
    pub fn redact_headers<N: Into<String>>(mut self, headers: impl IntoIterator<Item = N>) -> Self {
        self.redact_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Shows headers of [`log_headers`](Self::log_headers) that are no credentials although their names look like it, such as
    /// `idempotency-key`. Values that are marked as sensitive stay redacted. Default: none.
    #[must_use]
    pub fn unredact_headers<N: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = N>,
    ) -> Self {
        self.unredact_headers = headers.into_iter().map(Into::into).collect();
        self
    }

    /// Shows the path in the access log and in spans, or keeps it out of them: what stands in the place of `{id}` may be private. Default:
    /// yes, without the query.
    #[must_use]
    pub fn log_path(mut self, on: bool) -> Self {
        self.log_path = on;
        self
    }

    /// Sets whether bodies are measured in histograms of their own. Default: no.
    ///
    /// The bytes of responses are in the access log anyway. Those of requests are there with this setting only, and only
    /// if a [`RequestBodyLayer`](super::RequestBodyLayer) inside counts them: that changes the type of the body.
    #[must_use]
    pub fn body_sizes(mut self, on: bool) -> Self {
        self.body_sizes = on;
        self
    }

    /// Whether the time to the response's head is a histogram of its own. Default: no; a third clock reading.
    #[must_use]
    pub fn time_to_head(mut self, on: bool) -> Self {
        self.time_to_head = on;
        self
    }

    /// Whether the time inside polls is measured: what the service works, against what it waits. Default: no;
    /// it reads the clock at every poll.
    #[must_use]
    pub fn poll_time(mut self, on: bool) -> Self {
        self.poll_time = on;
        self
    }

    /// Sets whether the wait for readiness is measured, in full: from the first time that a handle of the service was polled
    /// and was not ready. Default: no.
    ///
    /// A handle does not learn that its caller has given up waiting. If it is used again, the next call has waited since
    /// then; clones begin anew.
    #[must_use]
    pub fn readiness_wait(mut self, on: bool) -> Self {
        self.readiness_wait = on;
        self
    }

    /// Answers with `Server-Timing: total;dur=12.3` (milliseconds to the head) where the predicate holds.
    /// Default: never, since it tells strangers about the inside.
    #[must_use]
    pub fn server_timing(
        mut self,
        ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.server_timing = Some(RequestPredicate::new(ask));
        self
    }

    /// Answers with `x-response-time: 12.3ms` (to the head) where the predicate holds. Default: never.
    #[must_use]
    pub fn response_time(
        mut self,
        ask: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.response_time = Some(RequestPredicate::new(ask));
        self
    }

    /// Sets the server that a client calls, as `host` or `host:port`, where requests do not say. Those of tonic's clients
    /// never do; the address is a label of gRPC calls, too.
    #[must_use]
    pub fn server_address(mut self, address: impl Into<String>) -> Self {
        self.server_address = Some(address.into());
        self
    }

    /// Sets how many routes, servers or gRPC methods get labels of their own; the rest shares `_OTHER`. Those of
    /// [`slow_route`](Self::slow_route) always do, besides.
    ///
    /// 1 to 16,384. Default: 256.
    #[must_use]
    pub fn max_targets(mut self, most: usize) -> Self {
        self.max_targets = most;
        self
    }

    /// Sets how many sets of labels the duration histograms may have; the rest shares one for each of HTTP, streams and
    /// gRPC. Failures have room for a quarter as many besides, 16 at the least: see [bounds](super#bounds).
    ///
    /// 1 to 100,000. Default: 2,000, the limit of the OpenTelemetry SDKs.
    #[must_use]
    pub fn max_series(mut self, most: usize) -> Self {
        self.max_series = most;
        self
    }

    /// Returns the number of series that are reserved for failures.
    pub(super) fn reserved_series(&self) -> usize {
        (self.max_series / 4).max(MIN_RESERVED_SERIES)
    }

    /// Where failed calls are grouped. Default: [`ErrorTracker::global`].
    #[must_use]
    pub fn errors(mut self, tracker: impl Into<Option<ErrorTracker>>) -> Self {
        self.errors = tracker.into();
        self
    }

    /// Returns the server that a client of gRPC was told to call it; of HTTP it is the place of the call.
    pub(super) fn configured_server(&self, side: CallSide, grpc: bool) -> Option<&str> {
        let told = self.server_address.as_deref();
        told.filter(|_| grpc && side == CallSide::Client)
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that makes no sense, by field, with what is allowed.
    pub fn build(self) -> Result<Track, ConfigError> {
        Ok(Track::from_config(self.validate()?))
    }

    /// Settings as they are made need no check.
    pub(super) fn into_config(self) -> TrackConfig {
        TrackConfig {
            slow_routes: HashMap::new(),
            log_headers: Vec::new(),
            options: self,
        }
    }

    fn validate(self) -> Result<TrackConfig, ConfigError> {
        let owner = format!("tracker {:?}", self.name);
        check_fraction(&owner, "sample", self.sample)?;
        if let Some(slow) = self.slow {
            slow.check(&owner, "slow")?;
        }
        let mut slow_routes = HashMap::new();
        for (route, thresholds) in &self.slow_routes {
            let thresholds = thresholds.check(&owner, "slow_route")?;
            slow_routes.insert(route.clone(), thresholds);
            // A gRPC method as it is in a path.
            if let Some(method) = route.strip_prefix('/') {
                slow_routes.insert(method.to_owned(), thresholds);
            }
        }
        check_range(&owner, "max_places", self.max_targets, 1 << 14)?;
        check_range(&owner, "max_series", self.max_series, 100_000)?;
        let logged = parse_header_names(&owner, "log_headers", &self.log_headers)?;
        let redacted = parse_header_names(&owner, "redact_headers", &self.redact_headers)?;
        let shown = parse_header_names(&owner, "show_headers", &self.unredact_headers)?;
        let log_headers = logged.into_iter().map(|name| {
            let redact = redacted.contains(&name)
                || (looks_like_credential(&name) && !shown.contains(&name));
            LoggedHeader { name, redact }
        });
        let log_headers = log_headers.collect();
        Ok(TrackConfig {
            slow_routes,
            log_headers,
            options: self,
        })
    }
}

const HEADER_NAME: &str = "a header name such as \"user-agent\" (letters, digits, '-')";

fn parse_header_names(
    owner: &str,
    field: &'static str,
    names: &[String],
) -> Result<Vec<HeaderName>, ConfigError> {
    if names.len() > MAX_LOG_HEADERS {
        let got = format!("{} names", names.len());
        let must = format!("at most {MAX_LOG_HEADERS} names");
        return Err(ConfigError::new(owner, field, got, must));
    }
    let names = names.iter().map(|name| {
        HeaderName::try_from(name)
            .map_err(|_| ConfigError::new(owner, field, format!("{name:?}"), HEADER_NAME))
    });
    names.collect()
}

fn check_range(
    owner: &str,
    field: &'static str,
    got: usize,
    most: usize,
) -> Result<(), ConfigError> {
    if (1..=most).contains(&got) {
        return Ok(());
    }
    Err(ConfigError::new(owner, field, got, format!("1 to {most}")))
}
