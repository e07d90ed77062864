//! Names as OpenTelemetry has them: the recorder's are those of Prometheus. Pure.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// The metrics of the semantic conventions that this crate records, without `_seconds` or `_bytes` at the end.
const METRICS: [(&str, &str); 10] = [
    (
        "http_server_request_duration",
        "http.server.request.duration",
    ),
    (
        "http_client_request_duration",
        "http.client.request.duration",
    ),
    ("rpc_server_call_duration", "rpc.server.call.duration"),
    ("rpc_client_call_duration", "rpc.client.call.duration"),
    ("http_server_active_requests", "http.server.active_requests"),
    ("http_client_active_requests", "http.client.active_requests"),
    (
        "http_server_request_body_size",
        "http.server.request.body.size",
    ),
    (
        "http_server_response_body_size",
        "http.server.response.body.size",
    ),
    (
        "http_client_request_body_size",
        "http.client.request.body.size",
    ),
    (
        "http_client_response_body_size",
        "http.client.response.body.size",
    ),
];

/// The attributes of the semantic conventions that this crate has as labels, and whether they are numbers.
const ATTRIBUTES: [(&str, &str, bool); 11] = [
    ("http_request_method", "http.request.method", false),
    (
        "http_response_status_code",
        "http.response.status_code",
        true,
    ),
    ("http_route", "http.route", false),
    ("url_scheme", "url.scheme", false),
    ("error_type", "error.type", false),
    (
        "network_protocol_version",
        "network.protocol.version",
        false,
    ),
    ("server_address", "server.address", false),
    ("server_port", "server.port", true),
    ("rpc_system_name", "rpc.system.name", false),
    ("rpc_method", "rpc.method", false),
    (
        "rpc_response_status_code",
        "rpc.response.status_code",
        false,
    ),
];

/// Gauges of the recorder that count up and down, so that those of many processes may be added.
pub(super) fn is_up_down_counter(name: &str) -> bool {
    name.ends_with("_active_requests")
}

/// Returns the name of a metric: that of the semantic conventions, or the recorder's without `_total`, which receivers add.
///
/// `is_taken` says whether the recorder has another family of that name.
pub(super) fn metric_name(name: &str, is_taken: impl Fn(&str) -> bool) -> &str {
    let base = ["_seconds", "_bytes"]
        .into_iter()
        .find_map(|unit| name.strip_suffix(unit))
        .unwrap_or(name);
    if let Some((_, known)) = METRICS.into_iter().find(|(own, _)| *own == base) {
        return known;
    }
    match name.strip_suffix("_total") {
        Some(base) if !base.is_empty() && !is_taken(base) => base,
        _ => name,
    }
}

/// Returns the unit in the notation of UCUM.
pub(super) fn unit(name: Option<&str>) -> &str {
    match name.unwrap_or_default() {
        "seconds" => "s",
        "milliseconds" => "ms",
        "microseconds" => "us",
        "nanoseconds" => "ns",
        "bytes" => "By",
        "kibibytes" => "KiBy",
        "mebibytes" => "MiBy",
        "gibibytes" => "GiBy",
        "ratio" => "1",
        "percent" => "%",
        other => other,
    }
}

/// Returns the attribute of a label.
pub(super) fn attribute<'a>(label: &'a str, value: &str) -> (&'a str, Value) {
    if (label, value) == ("otel_metric_overflow", "true") {
        return ("otel.metric.overflow", Value::BoolValue(true));
    }
    let text = || Value::StringValue(value.to_owned());
    match ATTRIBUTES.into_iter().find(|(own, ..)| *own == label) {
        Some((_, known, true)) => (
            known,
            value.parse().map_or_else(|_| text(), Value::IntValue),
        ),
        Some((_, known, false)) => (known, text()),
        None => (label, text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_has_the_name_of_the_semantic_conventions() {
        let none = |_: &str| false;
        for (own, expected) in [
            (
                "http_server_request_duration_seconds",
                "http.server.request.duration",
            ),
            ("http_server_active_requests", "http.server.active_requests"),
            ("tower_keep_calls_total", "tower_keep_calls"),
            ("order_seconds", "order_seconds"),
            ("_total", "_total"),
        ] {
            assert_eq!(metric_name(own, none), expected);
        }
        let load = |name: &str| name == "load";
        assert_eq!(metric_name("load_total", load), "load_total", "taken");
    }

    #[test]
    fn attribute_has_the_type_of_the_semantic_conventions() {
        let text = |text: &str| Value::StringValue(text.to_owned());
        for (label, value, expected) in [
            (
                "http_response_status_code",
                "200",
                ("http.response.status_code", Value::IntValue(200)),
            ),
            ("server_port", "none", ("server.port", text("none"))),
            ("shop", "eu", ("shop", text("eu"))),
            (
                "otel_metric_overflow",
                "true",
                ("otel.metric.overflow", Value::BoolValue(true)),
            ),
        ] {
            assert_eq!(attribute(label, value), expected);
        }
    }
}
