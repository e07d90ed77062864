//! The metrics of a tracker, resolved once per recorder.

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

use super::{
    facts::{ErrorLabel, Facts, METHOD_COUNT, Side, host_and_port, method_name},
    settings::{Naming, TrackBuilder},
};
use crate::{
    call::Outcome,
    observe::table::{Interner, Table},
};

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

/// Handles that belong to one recorder.
#[derive(Debug)]
pub(super) struct Meters {
    active: Box<[OnceLock<Gauge>]>,
    series: Table<Series>,
    overflow: OnceLock<Series>,
    outcomes: Table<Counter>,
}

/// The handles of one set of labels. What is off is `None`.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) duration: Histogram,
    pub(super) total: Option<Counter>,
    pub(super) time_to_head: Option<Histogram>,
    pub(super) busy: Option<Histogram>,
    pub(super) readiness: Option<Histogram>,
    pub(super) request_size: Option<Histogram>,
    pub(super) response_size: Option<Histogram>,
}

impl Meters {
    pub(super) fn new(labeller: &Labeller<'_>) -> Self {
        labeller.describe();
        Meters {
            active: (0..METHOD_COUNT * 2).map(|_| OnceLock::new()).collect(),
            series: Table::new(labeller.given.max_series),
            overflow: OnceLock::new(),
            outcomes: Table::new((labeller.given.max_places + 2) * Outcome::ALL.len()),
        }
    }

    /// The gauge of calls in flight.
    pub(super) fn active(&self, labeller: &Labeller<'_>, method: u8, https: bool) -> &Gauge {
        let at = usize::from(method) * 2 + usize::from(https);
        self.active[at].get_or_init(|| labeller.active(method, https))
    }

    pub(super) fn series(&self, labeller: &Labeller<'_>, facts: &Facts) -> &Series {
        self.series
            .get_or_insert(facts.key(), || labeller.series(facts))
            .unwrap_or_else(|| {
                self.overflow
                    .get_or_init(|| labeller.series_of(facts, labeller.overflow_labels()))
            })
    }

    pub(super) fn outcome(
        &self,
        labeller: &Labeller<'_>,
        facts: &Facts,
        outcome: Outcome,
    ) -> Option<&Counter> {
        // 0xffff is no place's number: places are numbered up to 32,768.
        let place = facts.place.map_or(0xffff, u64::from);
        let key = place << 4 | u64::from(facts.asked.grpc) << 3 | outcome.index() as u64;
        self.outcomes
            .get_or_insert(key, || labeller.outcome(facts, outcome))
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

    fn duration_name(&self, grpc: bool, lasting: bool) -> String {
        let prefix = self.prefix(grpc);
        match (lasting, grpc && !self.classic()) {
            (true, _) => format!("{prefix}_stream_duration_seconds"),
            (false, true) => format!("{prefix}_call_duration_seconds"),
            (false, false) => format!("{prefix}_request_duration_seconds"),
        }
    }

    fn active_name(&self) -> String {
        match (self.classic(), self.side) {
            (true, Side::Server) => "active_connections".to_owned(),
            _ => format!("{}_active_requests", self.prefix(false)),
        }
    }

    fn describe(&self) {
        let side = self.side.as_str();
        for grpc in [false, true] {
            metrics::describe_histogram!(
                self.duration_name(grpc, false),
                Unit::Seconds,
                format!("From admission to the end of the response body, {side}.")
            );
            metrics::describe_histogram!(
                self.duration_name(grpc, true),
                Unit::Seconds,
                format!(
                    "Streams that are meant to last: upgrades, tunnels, server-sent events, {side}."
                )
            );
        }
        metrics::describe_gauge!(self.active_name(), format!("Calls in flight, {side}."));
        metrics::describe_counter!("tower_keep_calls_total", "Calls by how they ended.");
    }

    /// The label that every series of the tracker has, where asked for.
    pub(super) fn push_service(&self, labels: &mut Vec<Label>) {
        if self.given.service_label {
            labels.push(Label::new("service", self.given.name.to_string()));
        }
    }

    fn active(&self, method: u8, https: bool) -> Gauge {
        let mut labels = match (self.classic(), self.side) {
            (true, Side::Server) => Vec::new(),
            (true, Side::Client) => vec![Label::new("method", method_name(method))],
            (false, _) => vec![
                Label::new("http_request_method", method_name(method)),
                Label::new("url_scheme", if https { "https" } else { "http" }),
            ],
        };
        self.push_service(&mut labels);
        metrics::gauge!(self.active_name(), labels)
    }

    /// The label of the place: a route, a server or a gRPC method.
    fn place(&self, facts: &Facts, labels: &mut Vec<Label>) {
        let text = facts
            .place
            .map(|number| self.places.text(number).to_owned());
        let Some(text) = text else { return };
        if self.classic() {
            labels.push(Label::new("route", text));
        } else if facts.asked.grpc {
            labels.push(Label::new("rpc_method", text));
        } else if self.side == Side::Server {
            labels.push(Label::new("http_route", text));
        } else {
            push_server(labels, &text);
        }
    }

    fn labels(&self, facts: &Facts) -> Vec<Label> {
        let mut labels = Vec::with_capacity(8);
        self.push_service(&mut labels);
        self.place(facts, &mut labels);
        let asked = facts.asked;
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

    fn overflow_labels(&self) -> Vec<Label> {
        // As the OpenTelemetry SDKs mark the series that takes what found no room.
        let mut labels = vec![Label::new("otel_metric_overflow", "true")];
        self.push_service(&mut labels);
        labels
    }

    fn series(&self, facts: &Facts) -> Series {
        self.series_of(facts, self.labels(facts))
    }

    fn series_of(&self, facts: &Facts, labels: Vec<Label>) -> Series {
        let (grpc, given) = (facts.asked.grpc, self.given);
        let prefix = self.prefix(grpc);
        let histogram = |on: bool, name: &str| {
            on.then(|| metrics::histogram!(format!("{prefix}_{name}"), labels.clone()))
        };
        Series {
            total: self
                .classic()
                .then(|| metrics::counter!(format!("{prefix}_requests_total"), labels.clone())),
            time_to_head: histogram(given.time_to_head, "time_to_head_seconds"),
            busy: histogram(given.busy, "busy_seconds"),
            readiness: histogram(given.readiness, "readiness_wait_seconds"),
            request_size: histogram(given.body_sizes, "request_body_size_bytes"),
            response_size: histogram(given.body_sizes, "response_body_size_bytes"),
            duration: metrics::histogram!(self.duration_name(grpc, facts.lasting), labels),
        }
    }

    fn outcome(&self, facts: &Facts, outcome: Outcome) -> Counter {
        let mut labels = vec![
            Label::new("service", self.given.name.to_string()),
            Label::new("kind", self.side.as_str()),
            Label::new("outcome", outcome.as_str()),
        ];
        self.place(facts, &mut labels);
        metrics::counter!("tower_keep_calls_total", labels)
    }
}

/// `host:port` as two labels.
fn push_server(labels: &mut Vec<Label>, authority: &str) {
    let (host, port) = host_and_port(authority);
    labels.push(Label::new("server_address", host.to_owned()));
    labels.extend(port.map(|port| Label::new("server_port", port.to_owned())));
}
