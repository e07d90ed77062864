//! The metrics of a tracker.

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use super::{
    builder::{MetricNaming, TrackBuilder},
    labels::{CallSide, ErrorLabel, METHOD_COUNT, method_name, scheme_name, split_host_port},
    series_key::{ActiveKey, CallKey, ErrorTypeKey, MetricKind, OutcomeKey, SeriesLabels, SlowKey},
};
use crate::{
    call::Outcome,
    util::{
        append_map::{Interner, OVERFLOW_LABEL},
        family::Family,
    },
};

/// Texts that `error.type` may have besides statuses and codes.
pub(super) const MAX_ERROR_TYPES: usize = 128;

/// Upper bounds for durations in seconds: 5 ms to 10 s, as semantic conventions advise.
///
/// Recorders need to be told, or they make summaries:
/// `PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS)`.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Upper bounds for body sizes in bytes: 1 KiB to 4 GiB, those of gRPC's own metrics (proposal A66).
pub const SIZE_BUCKETS: [f64; 13] = [
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

/// What labels are made of.
pub(super) struct LabelBuilder<'a> {
    pub(super) side: CallSide,
    pub(super) options: &'a TrackBuilder,
    pub(super) targets: &'a Interner,
    pub(super) error_types: &'a Interner,
}

/// The series of one side of a tracker.
#[derive(Debug)]
pub(super) struct TrackMetrics {
    pub(super) active: Family<ActiveKey, Gauge>,
    pub(super) calls: Family<CallKey, CallMetrics>,
    pub(super) outcomes: Family<OutcomeKey, Counter>,
    pub(super) slow: Family<SlowKey, Counter>,
    pub(super) errors: Family<ErrorTypeKey, Counter>,
}

/// The handles of one set of labels. What is off is `None`.
#[derive(Debug)]
pub(super) struct CallMetrics {
    pub(super) duration: Histogram,
    pub(super) total: Option<Counter>,
    pub(super) time_to_head: Option<Histogram>,
    pub(super) poll_time: Option<Histogram>,
    pub(super) readiness_wait: Option<Histogram>,
    pub(super) request_size: Option<Histogram>,
    pub(super) response_size: Option<Histogram>,
}

impl TrackMetrics {
    /// For so many places.
    pub(super) fn new(given: &TrackBuilder, places: usize) -> Self {
        // Those without a place, and those whose place found no room.
        let places = places + 2;
        TrackMetrics {
            active: Family::new(2 * METHOD_COUNT),
            calls: Family::with_reserve(given.max_series, given.reserved_series()),
            outcomes: Family::new(2 * places * Outcome::ALL.len()),
            slow: Family::new(2 * places),
            errors: Family::new(MAX_ERROR_TYPES),
        }
    }
}

impl LabelBuilder<'_> {
    fn is_classic(&self) -> bool {
        self.options.naming == MetricNaming::Classic
    }

    /// What the names of the metrics begin with.
    fn prefix(&self, grpc: bool) -> &'static str {
        match (self.side, grpc) {
            (CallSide::Server, _) if self.is_classic() => "http",
            (CallSide::Client, _) if self.is_classic() => "http_client",
            (CallSide::Server, false) => "http_server",
            (CallSide::Server, true) => "rpc_server",
            (CallSide::Client, false) => "http_client",
            (CallSide::Client, true) => "rpc_client",
        }
    }

    fn duration_histogram(&self, kind: MetricKind, labels: Vec<Label>) -> Histogram {
        let (prefix, side) = (self.prefix(kind == MetricKind::Grpc), self.side.as_str());
        let name = match kind {
            MetricKind::Stream => format!("{prefix}_stream_duration_seconds"),
            MetricKind::Grpc if !self.is_classic() => format!("{prefix}_call_duration_seconds"),
            MetricKind::Grpc | MetricKind::Http => format!("{prefix}_request_duration_seconds"),
        };
        let what = match kind {
            MetricKind::Stream => {
                "Streams that are meant to last: upgrades, tunnels, server-sent events"
            }
            MetricKind::Grpc | MetricKind::Http => "From admission to the end of the response body",
        };
        metrics::describe_histogram!(name.clone(), Unit::Seconds, format!("{what}, {side}."));
        metrics::histogram!(name, labels)
    }

    fn active_name(&self) -> String {
        match (self.is_classic(), self.side) {
            (true, CallSide::Server) => "active_connections".to_owned(),
            _ => format!("{}_active_requests", self.prefix(false)),
        }
    }

    /// The label that every series of the tracker has, where asked for.
    fn push_service(&self, labels: &mut Vec<Label>) {
        if self.options.service_label {
            labels.push(Label::new("service", self.options.name.to_string()));
        }
    }

    pub(super) fn active_gauge(&self, key: &ActiveKey) -> Gauge {
        let method = || Label::new("http_request_method", method_name(key.method));
        let mut labels = match (self.is_classic(), self.side) {
            (true, CallSide::Server) => Vec::new(),
            (true, CallSide::Client) => vec![Label::new("method", method_name(key.method))],
            (false, _) => vec![method(), Label::new("url_scheme", scheme_name(key.https))],
        };
        let what = format!("Calls in flight, {}.", self.side.as_str());
        metrics::describe_gauge!(self.active_name(), what);
        self.push_service(&mut labels);
        metrics::gauge!(self.active_name(), labels)
    }

    /// The label of the place: a route, a server or a gRPC method.
    fn push_target(&self, place: Option<u16>, grpc: bool, labels: &mut Vec<Label>) {
        let text = place.map(|number| self.targets.resolve(number).to_owned());
        let Some(text) = text else { return };
        if self.is_classic() {
            labels.push(Label::new("route", text));
        } else if grpc {
            labels.push(Label::new("rpc_method", text));
        } else if self.side == CallSide::Server {
            labels.push(Label::new("http_route", text));
        } else {
            push_server(labels, &text);
        }
    }

    fn call_labels(&self, facts: &SeriesLabels) -> Vec<Label> {
        let mut labels = Vec::with_capacity(8);
        self.push_service(&mut labels);
        let asked = facts.request;
        self.push_target(facts.target, asked.is_grpc, &mut labels);
        if let Some(server) = self.options.configured_server(self.side, asked.is_grpc)
            && !self.is_classic()
        {
            push_server(&mut labels, server);
        }
        let status = match facts.grpc_code {
            Some(code) => Some(code.as_str().to_owned()),
            None => facts.status.map(|status| status.to_string()),
        };
        let error = match facts.error {
            ErrorLabel::None => None,
            ErrorLabel::Status => status.clone(),
            ErrorLabel::Named(number) => Some(self.error_types.resolve(number).to_owned()),
        };
        let (method, status_name) = match (self.is_classic(), asked.is_grpc) {
            (true, _) => ("method", "status"),
            (false, false) => ("http_request_method", "http_response_status_code"),
            (false, true) => ("", "rpc_response_status_code"),
        };
        if method.is_empty() {
            labels.push(Label::new("rpc_system_name", "grpc"));
        } else {
            labels.push(Label::new(method, method_name(asked.method)));
        }
        // An HTTP status is no RPC code.
        let status =
            status.filter(|_| self.is_classic() || !asked.is_grpc || facts.grpc_code.is_some());
        labels.extend(status.map(|status| Label::new(status_name, status)));
        if !self.is_classic() {
            if !asked.is_grpc {
                labels.push(Label::new("url_scheme", asked.scheme()));
                let version = asked.version();
                labels.extend(version.map(|v| Label::new("network_protocol_version", v)));
            }
            labels.extend(error.map(|error| Label::new("error_type", error)));
        }
        labels
    }

    /// Those of calls that found no room.
    fn overflow_labels(&self, failed: bool) -> Vec<Label> {
        // As the OpenTelemetry SDKs mark such a series.
        let mut labels = vec![Label::new("otel_metric_overflow", "true")];
        labels.extend(failed.then(|| match self.is_classic() {
            true => Label::new("status", "5xx"),
            false => Label::new("error_type", OVERFLOW_LABEL),
        }));
        self.push_service(&mut labels);
        labels
    }

    pub(super) fn call_metrics(&self, key: &CallKey) -> CallMetrics {
        let labels = match &key.labels {
            Some(labels) => self.call_labels(labels),
            None => self.overflow_labels(key.is_failure),
        };
        let given = self.options;
        let prefix = self.prefix(key.kind == MetricKind::Grpc);
        let histogram = |on: bool, name: &str| {
            on.then(|| metrics::histogram!(format!("{prefix}_{name}"), labels.clone()))
        };
        CallMetrics {
            total: self
                .is_classic()
                .then(|| metrics::counter!(format!("{prefix}_requests_total"), labels.clone())),
            time_to_head: histogram(given.time_to_head, "time_to_head_seconds"),
            poll_time: histogram(given.poll_time, "busy_seconds"),
            readiness_wait: histogram(given.readiness_wait, "readiness_wait_seconds"),
            request_size: histogram(given.body_sizes, "request_body_size_bytes"),
            response_size: histogram(given.body_sizes, "response_body_size_bytes"),
            duration: self.duration_histogram(key.kind, labels),
        }
    }

    pub(super) fn outcome_counter(&self, key: &OutcomeKey) -> Counter {
        let mut labels = vec![
            Label::new("service", self.options.name.to_string()),
            Label::new("kind", self.side.as_str()),
            Label::new("outcome", key.outcome.as_str()),
        ];
        self.push_target(key.target, key.is_grpc, &mut labels);
        metrics::describe_counter!("tower_keep_calls_total", "Calls by how they ended.");
        metrics::counter!("tower_keep_calls_total", labels)
    }

    pub(super) fn slow_counter(&self, key: &SlowKey) -> Counter {
        let place = key.target.map(|number| self.targets.resolve(number));
        metrics::counter!(
            "tower_keep_slow_calls_total",
            "service" => self.options.name.to_string(),
            "place" => place.unwrap_or_default().to_owned(),
            "level" => key.level.as_str(),
        )
    }

    pub(super) fn error_counter(&self, key: &ErrorTypeKey) -> Counter {
        let error_type = self.error_types.resolve(key.0).to_owned();
        metrics::counter!("errors_total", "type" => error_type)
    }
}

/// `host:port` as two labels.
fn push_server(labels: &mut Vec<Label>, authority: &str) {
    let (host, port) = split_host_port(authority);
    labels.push(Label::new("server_address", host.to_owned()));
    labels.extend(port.map(|port| Label::new("server_port", port.to_owned())));
}
