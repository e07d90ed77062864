//! Creates the metric handles of a series from its key.

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use super::{
    call_key::{CallKey, MetricKind, SeriesLabels},
    call_metrics::CallMetrics,
    config::TrackConfig,
    failure_key::{ErrorTypeKey, SlowKey},
    labels::ErrorLabel,
    request_labels::{method_name, scheme_name, side_name},
    series_key::{ActiveKey, OutcomeKey},
    target::split_host_port,
};
use crate::{
    call::GrpcCode,
    protocol::Side,
    util::append_map::{Interner, OVERFLOW_LABEL},
};

/// The context that handles are created in, besides the key of their series.
pub(super) struct LabelBuilder<'a> {
    pub(super) side: Side,
    pub(super) config: &'a TrackConfig,
    pub(super) targets: &'a Interner,
    pub(super) error_types: &'a Interner,
}

impl LabelBuilder<'_> {
    fn prefix(&self, is_grpc: bool) -> &'static str {
        match (self.side, is_grpc) {
            // Classic names do not tell gRPC from HTTP.
            (Side::Server, _) if self.config.is_classic() => "http",
            (Side::Client, _) if self.config.is_classic() => "http_client",
            (Side::Server, false) => "http_server",
            (Side::Server, true) => "rpc_server",
            (Side::Client, false) => "http_client",
            (Side::Client, true) => "rpc_client",
        }
    }

    /// Returns `None` for tunnels: the call is over with its head, and tells nothing of their duration.
    fn duration_histogram(&self, kind: MetricKind, labels: Vec<Label>) -> Option<Histogram> {
        let prefix = self.prefix(kind == MetricKind::Grpc);
        let name = match kind {
            MetricKind::Stream => format!("{prefix}_stream_duration_seconds"),
            MetricKind::Grpc if !self.config.is_classic() => {
                format!("{prefix}_call_duration_seconds")
            }
            MetricKind::Grpc | MetricKind::Http => format!("{prefix}_request_duration_seconds"),
            MetricKind::Tunnel => return None,
        };
        let histogram = histogram(name, Unit::Seconds, self.duration_help(kind), labels);
        Some(histogram)
    }

    fn duration_help(&self, kind: MetricKind) -> &'static str {
        match (self.config.is_classic(), kind, self.side) {
            (true, MetricKind::Stream, _) => "Long-lived streams, from admission to their end.",
            (true, ..) => "Calls, from admission to the end of the response body.",
            (false, MetricKind::Stream, Side::Server) => {
                "Long-lived streams that were served, from admission to their end."
            }
            (false, MetricKind::Stream, Side::Client) => {
                "Long-lived streams that were called, from admission to their end."
            }
            (false, MetricKind::Grpc, Side::Server) => {
                "gRPC calls that were served, from admission to the end of the response body."
            }
            (false, MetricKind::Grpc, Side::Client) => {
                "gRPC calls that were made, from admission to the end of the response body."
            }
            (false, _, Side::Server) => {
                "HTTP calls that were served, from admission to the end of the response body."
            }
            (false, _, Side::Client) => {
                "HTTP calls that were made, from admission to the end of the response body."
            }
        }
    }

    fn active_name(&self) -> String {
        match (self.config.is_classic(), self.side) {
            (true, Side::Server) => "active_connections".to_owned(),
            _ => format!("{}_active_requests", self.prefix(false)),
        }
    }

    /// Adds the label that all series of the tracker have, if configured.
    fn push_service(&self, labels: &mut Vec<Label>) {
        let options = &self.config.options;
        if options.service_label {
            labels.push(Label::new("service", options.name.to_string()));
        }
    }

    pub(super) fn active_gauge(&self, key: &ActiveKey) -> Gauge {
        let method = || Label::new("http_request_method", method_name(key.method));
        let mut labels = match (self.config.is_classic(), self.side) {
            (true, Side::Server) => Vec::new(),
            (true, Side::Client) => vec![Label::new("method", method_name(key.method))],
            (false, _) => vec![method(), Label::new("url_scheme", scheme_name(key.https))],
        };
        let help = "HTTP and gRPC calls in flight.";
        metrics::describe_gauge!(self.active_name(), Unit::Count, help);
        self.push_service(&mut labels);
        metrics::gauge!(self.active_name(), labels)
    }

    /// Adds the label of the target: a route, a server or a gRPC method.
    fn push_target(&self, target: Option<u16>, is_grpc: bool, labels: &mut Vec<Label>) {
        let name = target.map(|id| self.targets.resolve(id).to_owned());
        let Some(name) = name else { return };
        if self.config.is_classic() {
            labels.push(Label::new("route", name));
        } else if is_grpc {
            labels.push(Label::new("rpc_method", name));
        } else if self.side == Side::Server {
            labels.push(Label::new("http_route", name));
        } else {
            push_server(labels, &name);
        }
    }

    fn call_labels(&self, series: &SeriesLabels) -> Vec<Label> {
        // The most that a series has: service, two of the server, method, status, scheme, version and error type.
        let mut labels = Vec::with_capacity(8);
        self.push_service(&mut labels);
        self.push_target(series.target, series.request.is_grpc, &mut labels);
        match (self.config.is_classic(), series.request.is_grpc) {
            (true, _) => push_classic(&mut labels, series),
            (false, true) => self.push_grpc(&mut labels, series),
            (false, false) => push_http(&mut labels, series),
        }
        let error = match series.error {
            ErrorLabel::None => None,
            // By the semantic conventions the status, where no cause says more.
            ErrorLabel::Status => series.status_text(),
            ErrorLabel::Named(id) => Some(self.error_types.resolve(id).to_owned()),
        };
        labels.extend(error.map(|error| Label::new("error_type", error)));
        labels
    }

    fn push_grpc(&self, labels: &mut Vec<Label>, series: &SeriesLabels) {
        if let Some(server) = self.config.configured_server(series.request) {
            push_server(labels, server);
        }
        labels.push(Label::new("rpc_system_name", "grpc"));
        // Without a gRPC code there is only an HTTP status, which must not appear as one.
        let code = series.grpc_code.map(GrpcCode::as_str);
        labels.extend(code.map(|code| Label::new("rpc_response_status_code", code)));
    }

    /// Returns the labels of the overflow series.
    fn overflow_labels(&self, is_failure: bool) -> Vec<Label> {
        // The OpenTelemetry SDKs mark overflow series like this.
        let mut labels = vec![Label::new("otel_metric_overflow", "true")];
        labels.extend(is_failure.then(|| match self.config.is_classic() {
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
        let options = &self.config.options;
        let prefix = self.prefix(key.kind == MetricKind::Grpc);
        let time = |on: bool, name: &str, help: &'static str| {
            let name = || format!("{prefix}_{name}_seconds");
            on.then(|| histogram(name(), Unit::Seconds, help, labels.clone()))
        };
        let size = |name: &str, help: &'static str| {
            let name = || format!("{prefix}_{name}_body_size_bytes");
            let on = options.body_sizes;
            on.then(|| histogram(name(), Unit::Bytes, help, labels.clone()))
        };
        CallMetrics {
            total: self.config.is_classic().then(|| {
                let name = format!("{prefix}_requests_total");
                metrics::describe_counter!(name.clone(), Unit::Count, "Calls.");
                metrics::counter!(name, labels.clone())
            }),
            time_to_head: time(
                options.time_to_head,
                "time_to_head",
                "From admission to the head of the response.",
            ),
            poll_time: time(
                options.poll_time,
                "poll_time",
                "Time in which the service was polled.",
            ),
            readiness_wait: time(
                options.readiness_wait,
                "readiness_wait",
                "Time for which the caller waited for the service to be ready.",
            ),
            request_size: size("request", "Bytes of request bodies."),
            response_size: size("response", "Bytes of response bodies."),
            // Last, since it takes the labels.
            duration: self.duration_histogram(key.kind, labels),
        }
    }

    pub(super) fn outcome_counter(&self, key: &OutcomeKey) -> Counter {
        let mut labels = vec![
            Label::new("service", self.config.options.name.to_string()),
            Label::new("kind", side_name(self.side)),
            Label::new("outcome", key.outcome.as_str()),
        ];
        self.push_target(key.target, key.is_grpc, &mut labels);
        const NAME: &str = "tower_keep_calls_total";
        metrics::describe_counter!(NAME, Unit::Count, "Calls by outcome.");
        metrics::counter!(NAME, labels)
    }

    pub(super) fn slow_counter(&self, key: &SlowKey) -> Counter {
        // Empty without a target: all series of a counter must have the same label names.
        let target = key.target.map(|id| self.targets.resolve(id));
        const NAME: &str = "tower_keep_slow_calls_total";
        metrics::describe_counter!(NAME, Unit::Count, "Calls slower than a threshold.");
        metrics::counter!(
            NAME,
            "service" => self.config.options.name.to_string(),
            "target" => target.unwrap_or_default().to_owned(),
            "level" => key.level.as_str(),
        )
    }

    pub(super) fn error_counter(&self, key: &ErrorTypeKey) -> Counter {
        let error_type = self.error_types.resolve(key.0).to_owned();
        let help = "Failed calls by the kind of the error record.";
        metrics::describe_counter!("errors_total", Unit::Count, help);
        metrics::counter!("errors_total", "type" => error_type)
    }
}

/// Makes a histogram. It is described along with each series, since nobody tells when a recorder is installed.
fn histogram(name: String, unit: Unit, help: &'static str, labels: Vec<Label>) -> Histogram {
    metrics::describe_histogram!(name.clone(), unit, help);
    metrics::histogram!(name, labels)
}

fn push_classic(labels: &mut Vec<Label>, series: &SeriesLabels) {
    labels.push(Label::new("method", series.request.method_name()));
    let status = series.status_text();
    labels.extend(status.map(|status| Label::new("status", status)));
}

fn push_http(labels: &mut Vec<Label>, series: &SeriesLabels) {
    let request = series.request;
    labels.push(Label::new("http_request_method", request.method_name()));
    let status = series.status_text();
    labels.extend(status.map(|status| Label::new("http_response_status_code", status)));
    labels.push(Label::new("url_scheme", request.scheme()));
    let version = request.version();
    labels.extend(version.map(|version| Label::new("network_protocol_version", version)));
}

/// Adds `host:port` as two labels.
fn push_server(labels: &mut Vec<Label>, authority: &str) {
    let (host, port) = split_host_port(authority);
    labels.push(Label::new("server_address", host.to_owned()));
    labels.extend(port.map(|port| Label::new("server_port", port.to_owned())));
}
