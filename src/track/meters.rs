//! The metrics of a tracker.

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use super::{
    facts::{ErrorLabel, METHOD_COUNT, Side, host_and_port, method_name, scheme},
    labels::{ActiveKey, CallKey, CallLabels, EndKey, ErrorKey, Kind, SlowKey},
    settings::{Naming, TrackBuilder},
};
use crate::{
    call::Outcome,
    util::{
        family::Family,
        table::{Interner, OVERFLOW},
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
pub(super) struct Labeller<'a> {
    pub(super) side: Side,
    pub(super) given: &'a TrackBuilder,
    pub(super) places: &'a Interner,
    pub(super) error_types: &'a Interner,
}

/// The series of one side of a tracker.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) active: Family<ActiveKey, Gauge>,
    pub(super) calls: Family<CallKey, CallMeters>,
    pub(super) ends: Family<EndKey, Counter>,
    pub(super) slow: Family<SlowKey, Counter>,
    pub(super) errors: Family<ErrorKey, Counter>,
}

/// The handles of one set of labels. What is off is `None`.
#[derive(Debug)]
pub(super) struct CallMeters {
    pub(super) duration: Histogram,
    pub(super) total: Option<Counter>,
    pub(super) time_to_head: Option<Histogram>,
    pub(super) busy: Option<Histogram>,
    pub(super) readiness: Option<Histogram>,
    pub(super) request_size: Option<Histogram>,
    pub(super) response_size: Option<Histogram>,
}

impl Meters {
    /// For so many places.
    pub(super) fn new(given: &TrackBuilder, places: usize) -> Self {
        // Those without a place, and those whose place found no room.
        let places = places + 2;
        Meters {
            active: Family::new(2 * METHOD_COUNT),
            calls: Family::with_reserve(given.max_series, given.failed_series()),
            ends: Family::new(2 * places * Outcome::ALL.len()),
            slow: Family::new(2 * places),
            errors: Family::new(MAX_ERROR_TYPES),
        }
    }
}

impl Labeller<'_> {
    fn classic(&self) -> bool {
        self.given.naming == Naming::Classic
    }

    /// What the names of the metrics begin with.
    fn prefix(&self, grpc: bool) -> &'static str {
        match (self.side, grpc) {
            (Side::Server, _) if self.classic() => "http",
            (Side::Client, _) if self.classic() => "http_client",
            (Side::Server, false) => "http_server",
            (Side::Server, true) => "rpc_server",
            (Side::Client, false) => "http_client",
            (Side::Client, true) => "rpc_client",
        }
    }

    fn duration(&self, kind: Kind, labels: Vec<Label>) -> Histogram {
        let (prefix, side) = (self.prefix(kind == Kind::Grpc), self.side.as_str());
        let name = match kind {
            Kind::Stream => format!("{prefix}_stream_duration_seconds"),
            Kind::Grpc if !self.classic() => format!("{prefix}_call_duration_seconds"),
            Kind::Grpc | Kind::Plain => format!("{prefix}_request_duration_seconds"),
        };
        let what = match kind {
            Kind::Stream => "Streams that are meant to last: upgrades, tunnels, server-sent events",
            Kind::Grpc | Kind::Plain => "From admission to the end of the response body",
        };
        metrics::describe_histogram!(name.clone(), Unit::Seconds, format!("{what}, {side}."));
        metrics::histogram!(name, labels)
    }

    fn active_name(&self) -> String {
        match (self.classic(), self.side) {
            (true, Side::Server) => "active_connections".to_owned(),
            _ => format!("{}_active_requests", self.prefix(false)),
        }
    }

    /// The label that every series of the tracker has, where asked for.
    fn push_service(&self, labels: &mut Vec<Label>) {
        if self.given.service_label {
            labels.push(Label::new("service", self.given.name.to_string()));
        }
    }

    pub(super) fn active(&self, key: &ActiveKey) -> Gauge {
        let method = || Label::new("http_request_method", method_name(key.method));
        let mut labels = match (self.classic(), self.side) {
            (true, Side::Server) => Vec::new(),
            (true, Side::Client) => vec![Label::new("method", method_name(key.method))],
            (false, _) => vec![method(), Label::new("url_scheme", scheme(key.https))],
        };
        let what = format!("Calls in flight, {}.", self.side.as_str());
        metrics::describe_gauge!(self.active_name(), what);
        self.push_service(&mut labels);
        metrics::gauge!(self.active_name(), labels)
    }

    /// The label of the place: a route, a server or a gRPC method.
    fn place(&self, place: Option<u16>, grpc: bool, labels: &mut Vec<Label>) {
        let text = place.map(|number| self.places.text(number).to_owned());
        let Some(text) = text else { return };
        if self.classic() {
            labels.push(Label::new("route", text));
        } else if grpc {
            labels.push(Label::new("rpc_method", text));
        } else if self.side == Side::Server {
            labels.push(Label::new("http_route", text));
        } else {
            push_server(labels, &text);
        }
    }

    fn labels(&self, facts: &CallLabels) -> Vec<Label> {
        let mut labels = Vec::with_capacity(8);
        self.push_service(&mut labels);
        let asked = facts.asked;
        self.place(facts.place, asked.grpc, &mut labels);
        if let Some(server) = self.given.told_server(self.side, asked.grpc)
            && !self.classic()
        {
            push_server(&mut labels, server);
        }
        let status = match facts.code {
            Some(code) => Some(code.as_str().to_owned()),
            None => facts.status.map(|status| status.to_string()),
        };
        let error = match facts.error {
            ErrorLabel::None => None,
            ErrorLabel::Status => status.clone(),
            ErrorLabel::Named(number) => Some(self.error_types.text(number).to_owned()),
        };
        let (method, status_name) = match (self.classic(), asked.grpc) {
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
        let status = status.filter(|_| self.classic() || !asked.grpc || facts.code.is_some());
        labels.extend(status.map(|status| Label::new(status_name, status)));
        if !self.classic() {
            if !asked.grpc {
                labels.push(Label::new("url_scheme", asked.scheme()));
                let version = asked.version();
                labels.extend(version.map(|v| Label::new("network_protocol_version", v)));
            }
            labels.extend(error.map(|error| Label::new("error_type", error)));
        }
        labels
    }

    /// Those of calls that found no room.
    fn overflow(&self, failed: bool) -> Vec<Label> {
        // As the OpenTelemetry SDKs mark such a series.
        let mut labels = vec![Label::new("otel_metric_overflow", "true")];
        labels.extend(failed.then(|| match self.classic() {
            true => Label::new("status", "5xx"),
            false => Label::new("error_type", OVERFLOW),
        }));
        self.push_service(&mut labels);
        labels
    }

    pub(super) fn call(&self, key: &CallKey) -> CallMeters {
        let labels = match &key.labels {
            Some(labels) => self.labels(labels),
            None => self.overflow(key.failed),
        };
        let given = self.given;
        let prefix = self.prefix(key.kind == Kind::Grpc);
        let histogram = |on: bool, name: &str| {
            on.then(|| metrics::histogram!(format!("{prefix}_{name}"), labels.clone()))
        };
        CallMeters {
            total: self
                .classic()
                .then(|| metrics::counter!(format!("{prefix}_requests_total"), labels.clone())),
            time_to_head: histogram(given.time_to_head, "time_to_head_seconds"),
            busy: histogram(given.busy, "busy_seconds"),
            readiness: histogram(given.readiness, "readiness_wait_seconds"),
            request_size: histogram(given.body_sizes, "request_body_size_bytes"),
            response_size: histogram(given.body_sizes, "response_body_size_bytes"),
            duration: self.duration(key.kind, labels),
        }
    }

    pub(super) fn end(&self, key: &EndKey) -> Counter {
        let mut labels = vec![
            Label::new("service", self.given.name.to_string()),
            Label::new("kind", self.side.as_str()),
            Label::new("outcome", key.outcome.as_str()),
        ];
        self.place(key.place, key.grpc, &mut labels);
        metrics::describe_counter!("tower_keep_calls_total", "Calls by how they ended.");
        metrics::counter!("tower_keep_calls_total", labels)
    }

    pub(super) fn slow(&self, key: &SlowKey) -> Counter {
        let place = key.place.map(|number| self.places.text(number));
        metrics::counter!(
            "tower_keep_slow_calls_total",
            "service" => self.given.name.to_string(),
            "place" => place.unwrap_or_default().to_owned(),
            "level" => key.slow.as_str(),
        )
    }

    pub(super) fn error(&self, key: &ErrorKey) -> Counter {
        let error_type = self.error_types.text(key.0).to_owned();
        metrics::counter!("errors_total", "type" => error_type)
    }
}

/// `host:port` as two labels.
fn push_server(labels: &mut Vec<Label>, authority: &str) {
    let (host, port) = host_and_port(authority);
    labels.push(Label::new("server_address", host.to_owned()));
    labels.extend(port.map(|port| Label::new("server_port", port.to_owned())));
}
