//! The `OTEL_*` variables. Pure: they come from a function.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;

use super::{OtlpProtocol, Signal, config::BatchConfig, config::TlsFiles};
use crate::call::ConfigError;

pub(super) const COMPONENT: &str = "otlp";
const MAX_TIME: Duration = Duration::from_secs(86_400);
/// More would be a mistake: the queue holds 8 MiB anyway.
const MAX_ITEMS: u64 = 1_000_000;

/// A variable that each signal may have for itself: the name for all, then those of traces, metrics and logs.
struct BySignal(&'static str, [&'static str; 3]);

const ENDPOINT: BySignal = BySignal(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    ],
);
const PROTOCOL: BySignal = BySignal(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    ],
);
const HEADERS: BySignal = BySignal(
    "OTEL_EXPORTER_OTLP_HEADERS",
    [
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    ],
);
const TIMEOUT: BySignal = BySignal(
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
    ],
);
const INSECURE: BySignal = BySignal(
    "OTEL_EXPORTER_OTLP_INSECURE",
    [
        "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
        "OTEL_EXPORTER_OTLP_METRICS_INSECURE",
        "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
    ],
);
const EXPORTERS: [&str; 3] = [
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
];
const COMPRESSION: [&str; 4] = [
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
];
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

type Result<T> = std::result::Result<T, ConfigError>;

/// The variables of the environment, or of whatever the application takes instead.
pub(super) struct Variables<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// Returns the value of a variable, unless it is empty, which counts as unset.
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.0)(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Returns the value for one signal, and the name of its variable.
    fn of_signal(&self, names: &BySignal, signal: Signal) -> Option<(&'static str, String)> {
        let own = names.1[signal.index()];
        [own, names.0]
            .into_iter()
            .find_map(|name| Some((name, self.text(name)?)))
    }

    fn is_true(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    fn number(&self, name: &'static str, max: u64) -> Result<Option<u64>> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=max).contains(number));
        let number = number.ok_or_else(|| wrong(name, &text, format!("1 to {max}")))?;
        Ok(Some(number))
    }

    fn millis(&self, name: &'static str) -> Result<Option<Duration>> {
        let max = MAX_TIME.as_millis() as u64;
        Ok(self.number(name, max)?.map(Duration::from_millis))
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.is_true("OTEL_SDK_DISABLED")
    }

    /// Returns whether a signal is to be exported, if that is said.
    pub(super) fn is_exported(&self, signal: Signal) -> Result<Option<bool>> {
        let name = EXPORTERS[signal.index()];
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let exporters: Vec<_> = text.split(',').map(str::trim).collect();
        match &exporters[..] {
            ["none"] => Ok(Some(false)),
            ["otlp"] => Ok(Some(true)),
            _ => Err(wrong(name, &text, "otlp or none")),
        }
    }

    pub(super) fn protocol(&self, signal: Signal) -> Result<Option<OtlpProtocol>> {
        let Some((name, text)) = self.of_signal(&PROTOCOL, signal) else {
            return Ok(None);
        };
        let protocol = OtlpProtocol::parse(&text);
        let protocol = protocol.ok_or_else(|| wrong(name, &text, "http/protobuf or grpc"))?;
        Ok(Some(protocol))
    }

    /// Returns the address for a signal. One of the signal's own is taken as it is; the path of the signal is added to one for all.
    pub(super) fn endpoint(&self, signal: Signal, protocol: OtlpProtocol) -> Result<Option<Uri>> {
        let Some((name, text)) = self.of_signal(&ENDPOINT, signal) else {
            return Ok(None);
        };
        let insecure = self.of_signal(&INSECURE, signal);
        let is_insecure = insecure.is_some_and(|(_, text)| text.eq_ignore_ascii_case("true"));
        let is_own = name != ENDPOINT.0;
        endpoint(name, &text, signal, protocol, is_own, is_insecure).map(Some)
    }

    pub(super) fn timeout(&self, signal: Signal) -> Result<Option<Duration>> {
        match self.of_signal(&TIMEOUT, signal) {
            Some((name, _)) => self.millis(name),
            None => Ok(None),
        }
    }

    /// Returns the headers for a signal.
    pub(super) fn headers(&self, signal: Signal) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some((name, text)) = self.of_signal(&HEADERS, signal) else {
            return Ok(headers);
        };
        // The value may be a secret, so that errors do not show it.
        let odd = || wrong(name, "something else", "pairs such as api-key=1,tenant=a");
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(odd)?;
            let value = percent_decode_str(value.trim());
            let value = value.decode_utf8().map_err(|_| odd())?;
            let (key, value) = header(key.trim(), &value).ok_or_else(odd)?;
            headers.append(key, value);
        }
        Ok(headers)
    }

    pub(super) fn sampler(&self) -> Result<Option<Sampler>> {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let Some(text) = self.text(NAME) else {
            return Ok(None);
        };
        let ratio = || self.sampler_ratio().map(Sampler::TraceIdRatioBased);
        let parent = |root| Sampler::ParentBased(Box::new(root));
        Ok(Some(match &*text {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => ratio()?,
            "parentbased_always_on" => parent(Sampler::AlwaysOn),
            "parentbased_always_off" => parent(Sampler::AlwaysOff),
            "parentbased_traceidratio" => parent(ratio()?),
            _ => {
                let known =
                    "always_on, always_off, traceidratio, or one of these after parentbased_";
                return Err(wrong(NAME, &text, known));
            }
        }))
    }

    fn sampler_ratio(&self) -> Result<f64> {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(NAME) else {
            return Ok(1.0);
        };
        let ratio = text
            .parse()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.ok_or_else(|| wrong(NAME, &text, "a fraction, 0 to 1"))
    }

    pub(super) fn spans(&self) -> Result<BatchConfig> {
        self.batch(
            [
                "OTEL_BSP_MAX_QUEUE_SIZE",
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "OTEL_BSP_SCHEDULE_DELAY",
            ],
            Duration::from_secs(5),
        )
    }

    pub(super) fn logs(&self) -> Result<BatchConfig> {
        self.batch(
            [
                "OTEL_BLRP_MAX_QUEUE_SIZE",
                "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
                "OTEL_BLRP_SCHEDULE_DELAY",
            ],
            Duration::from_secs(1),
        )
    }

    /// Reads the sizes of a queue; the defaults are those of the specification.
    fn batch(&self, names: [&'static str; 3], delay: Duration) -> Result<BatchConfig> {
        let [queue, batch, schedule] = names;
        let max_queue = self.number(queue, MAX_ITEMS)?.unwrap_or(2_048) as usize;
        let max_batch = self.number(batch, MAX_ITEMS)?.unwrap_or(512) as usize;
        Ok(BatchConfig {
            max_queue,
            max_batch: max_batch.min(max_queue),
            delay: self.millis(schedule)?.unwrap_or(delay),
        })
    }

    pub(super) fn metric_interval(&self) -> Result<Option<Duration>> {
        self.millis("OTEL_METRIC_EXPORT_INTERVAL")
    }

    pub(super) fn tls(&self) -> TlsFiles {
        let file = |name| self.text(name);
        let certificate = file("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
        TlsFiles {
            roots: file("OTEL_EXPORTER_OTLP_CERTIFICATE"),
            client: certificate.zip(file("OTEL_EXPORTER_OTLP_CLIENT_KEY")),
        }
    }

    /// Returns the variables that ask for what there is not, which is no reason not to export.
    pub(super) fn not_supported(&self) -> Vec<(&'static str, String)> {
        let compression = COMPRESSION
            .into_iter()
            .filter_map(|name| Some((name, self.text(name)?)))
            .filter(|(_, text)| !text.eq_ignore_ascii_case("none"));
        let temporality = self.text(TEMPORALITY).map(|text| (TEMPORALITY, text));
        let temporality = temporality.filter(|(_, text)| !text.eq_ignore_ascii_case("cumulative"));
        compression.chain(temporality).collect()
    }

    /// Returns the attributes of the resource, the name of the service included.
    pub(super) fn resource(&self) -> Result<BTreeMap<String, String>> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut attributes = BTreeMap::new();
        let text = self.text(NAME).unwrap_or_default();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let odd = || wrong(NAME, pair, "pairs such as team=shop,zone=eu");
            let (key, value) = pair.split_once('=').ok_or_else(odd)?;
            let decode = |text: &str| {
                let text = percent_decode_str(text.trim()).decode_utf8();
                text.map(|text| text.into_owned()).map_err(|_| odd())
            };
            attributes.insert(decode(key)?, decode(value)?);
        }
        if let Some(service) = self.text("OTEL_SERVICE_NAME") {
            attributes.insert("service.name".to_owned(), service);
        }
        Ok(attributes)
    }
}

/// Returns a header whose value is a secret, perhaps.
pub(super) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Returns the address for a signal.
pub(super) fn endpoint(
    field: &'static str,
    text: &str,
    signal: Signal,
    protocol: OtlpProtocol,
    is_own: bool,
    is_insecure: bool,
) -> Result<Uri> {
    let odd = || wrong(field, text, "an address such as http://localhost:4318");
    let text = match (text.contains("://"), is_insecure) {
        (true, _) => text.to_owned(),
        (false, true) => format!("http://{text}"),
        (false, false) => format!("https://{text}"),
    };
    let uri: Uri = text.parse().map_err(|_| odd())?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| matches!(*scheme, "http" | "https"));
    let (scheme, authority) = scheme.zip(uri.authority()).ok_or_else(odd)?;
    let base = uri.path().trim_end_matches('/');
    let path = match protocol {
        OtlpProtocol::Grpc => signal.grpc_path(),
        OtlpProtocol::HttpProtobuf if is_own => uri.path(),
        OtlpProtocol::HttpProtobuf => &format!("{base}{}", signal.http_path()),
    };
    let query = match (protocol, uri.query()) {
        (OtlpProtocol::HttpProtobuf, Some(query)) => format!("?{query}"),
        _ => String::new(),
    };
    format!("{scheme}://{authority}{path}{query}")
        .parse()
        .map_err(|_| odd())
}

pub(super) fn wrong(field: &'static str, value: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::new(COMPONENT, field, value, expected)
}
