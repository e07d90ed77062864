use std::{collections::BTreeMap, fmt, time::Duration};

use http::HeaderMap;
use opentelemetry_sdk::trace::Sampler;
use tracing::level_filters::LevelFilter;

use super::{
    Otlp, OtlpProtocol, Signal,
    config::{Destination, ExportConfig},
    variables::{Variables, endpoint, header, wrong},
};
use crate::{
    call::{ConfigError, Label},
    ops::recorder::Recorder,
};

/// The limit of one attempt, as the specification has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two exports of metrics, as the specification has it.
const DEFAULT_METRIC_INTERVAL: Duration = Duration::from_secs(60);
const MAX_TIME: Duration = Duration::from_secs(86_400);

/// A function that returns the value of a variable.
type LookUp = dyn Fn(&str) -> Option<String>;

/// A builder of an [`Otlp`].
///
/// A value that is set here counts more than the variable of the environment.
pub struct OtlpBuilder {
    service: Option<Label>,
    attributes: Vec<(String, String)>,
    endpoint: Option<String>,
    protocol: Option<OtlpProtocol>,
    headers: Vec<(String, String)>,
    timeout: Option<Duration>,
    exported: [Option<bool>; 3],
    sampled: Option<f64>,
    span_level: LevelFilter,
    log_level: LevelFilter,
    metric_interval: Option<Duration>,
    recorder: Option<Recorder>,
    variables: Box<LookUp>,
}

impl OtlpBuilder {
    pub(super) fn new() -> Self {
        OtlpBuilder {
            service: None,
            attributes: Vec::new(),
            endpoint: None,
            protocol: None,
            headers: Vec::new(),
            timeout: None,
            exported: [None; 3],
            sampled: None,
            span_level: LevelFilter::INFO,
            log_level: LevelFilter::INFO,
            metric_interval: None,
            recorder: None,
            variables: Box::new(|name| std::env::var(name).ok()),
        }
    }

    /// Sets the name of the service. Default: `OTEL_SERVICE_NAME`, or else `unknown_service` and the name of the program, as the
    /// specification asks for.
    #[must_use]
    pub fn service(mut self, service: impl Into<Label>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Adds an attribute of the resource, such as `service.version`; those of `OTEL_RESOURCE_ATTRIBUTES` with other names stay.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Sets the address of the collector for all signals: over HTTP, `/v1/traces` and the like are added. Default:
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` and those of each signal, or else `http://localhost:4318`, with gRPC `http://localhost:4317`.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets the protocol for all signals. Default: `OTEL_EXPORTER_OTLP_PROTOCOL` and those of each signal, or else
    /// [`OtlpProtocol::HttpProtobuf`], as the specification asks for.
    #[must_use]
    pub fn protocol(mut self, protocol: OtlpProtocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Adds a header to all requests, such as the key of a vendor; those of `OTEL_EXPORTER_OTLP_HEADERS` with other names stay.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the limit of one attempt to send, up to a day. Default: `OTEL_EXPORTER_OTLP_TIMEOUT`, or else 10 s, as the specification
    /// has it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets whether a signal is exported. Default: unless `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` or `OTEL_LOGS_EXPORTER` is
    /// `none`.
    #[must_use]
    pub fn export(mut self, signal: Signal, exported: bool) -> Self {
        self.exported[signal.index()] = Some(exported);
        self
    }

    /// Sets the fraction of traces to sample, 0 to 1, where the caller has not decided. Default: `OTEL_TRACES_SAMPLER`, or else all.
    #[must_use]
    pub fn sampled(mut self, fraction: f64) -> Self {
        self.sampled = Some(fraction);
        self
    }

    /// Sets the level down to which spans are exported. Default: `INFO`, which the spans of this crate have.
    #[must_use]
    pub fn span_level(mut self, level: LevelFilter) -> Self {
        self.span_level = level;
        self
    }

    /// Sets the level down to which events are exported as logs. Default: `INFO`.
    #[must_use]
    pub fn log_level(mut self, level: LevelFilter) -> Self {
        self.log_level = level;
        self
    }

    /// Sets the time between two exports of metrics, up to a day. Default: `OTEL_METRIC_EXPORT_INTERVAL`, or else 60 s, as the
    /// specification has it.
    #[must_use]
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        self.metric_interval = Some(interval);
        self
    }

    /// Sets the recorder whose series are exported. Default: the [installed](Recorder::installed) one; while there is none, no metrics
    /// are exported.
    #[must_use]
    pub fn recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Sets from where the `OTEL_*` variables come. Default: the environment of the process.
    ///
    /// ```
    /// use tower_keep::ops::otlp::Otlp;
    ///
    /// let otlp = Otlp::builder()
    ///     .variables(|name| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned()))
    ///     .build()?;
    /// assert!(otlp.is_disabled());
    /// # Ok::<_, tower_keep::ConfigError>(())
    /// ```
    #[must_use]
    pub fn variables(mut self, variables: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.variables = Box::new(variables);
        self
    }

    /// Builds the exporter and starts its thread, unless `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    ///
    /// Returns an error that names the first setting or variable that is invalid, or the file for TLS that cannot be read.
    pub fn build(self) -> Result<Otlp, ConfigError> {
        let variables = Variables(&*self.variables);
        if variables.is_disabled() {
            return Ok(Otlp::disabled());
        }
        Otlp::start(self.config(&variables)?)
    }

    fn config(&self, variables: &Variables<'_>) -> Result<ExportConfig, ConfigError> {
        let mut destinations = [None, None, None];
        for signal in Signal::ALL {
            let exported = self.exported[signal.index()];
            let exported = exported.map_or_else(|| variables.is_exported(signal), |e| Ok(Some(e)));
            if exported?.unwrap_or(true) {
                destinations[signal.index()] = Some(self.destination(variables, signal)?);
            }
        }
        let metric_interval = match self.metric_interval {
            Some(interval) => check_time("metric_interval", interval)?,
            None => variables
                .metric_interval()?
                .unwrap_or(DEFAULT_METRIC_INTERVAL),
        };
        Ok(ExportConfig {
            resource: self.resource(variables)?,
            destinations,
            sampler: self.sampler(variables)?,
            span_level: self.span_level,
            log_level: self.log_level,
            spans: variables.spans()?,
            logs: variables.logs()?,
            metric_interval,
            recorder: self.recorder.clone(),
            tls: variables.tls(),
            ignored: variables.not_supported(),
        })
    }

    fn destination(
        &self,
        variables: &Variables<'_>,
        signal: Signal,
    ) -> Result<Destination, ConfigError> {
        let protocol = match self.protocol {
            Some(protocol) => protocol,
            None => variables
                .protocol(signal)?
                .unwrap_or(OtlpProtocol::HttpProtobuf),
        };
        let of_builder = |text: &str| endpoint("endpoint", text, signal, protocol, false, false);
        let uri = match &self.endpoint {
            Some(text) => of_builder(text)?,
            None => match variables.endpoint(signal, protocol)? {
                Some(uri) => uri,
                None => of_builder(protocol.default_endpoint())?,
            },
        };
        let timeout = match self.timeout {
            Some(timeout) => check_time("timeout", timeout)?,
            None => variables.timeout(signal)?.unwrap_or(DEFAULT_TIMEOUT),
        };
        Ok(Destination {
            protocol,
            uri,
            headers: self.headers(variables.headers(signal)?)?,
            timeout,
        })
    }

    fn headers(&self, mut headers: HeaderMap) -> Result<HeaderMap, ConfigError> {
        for (name, value) in &self.headers {
            // The value may be a secret.
            let odd = || wrong("header", name, "a name and a value that HTTP allows");
            let (name, value) = header(name, value).ok_or_else(odd)?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn sampler(&self, variables: &Variables<'_>) -> Result<Sampler, ConfigError> {
        let root = match self.sampled {
            Some(fraction) if (0.0..=1.0).contains(&fraction) => {
                Sampler::TraceIdRatioBased(fraction)
            }
            Some(other) => return Err(wrong("sampled", &other.to_string(), "0 to 1")),
            None => match variables.sampler()? {
                Some(sampler) => return Ok(sampler),
                None => Sampler::AlwaysOn,
            },
        };
        Ok(Sampler::ParentBased(Box::new(root)))
    }

    /// Returns the attributes of the resource: those of the SDK, then of the variables, then of the application.
    fn resource(&self, variables: &Variables<'_>) -> Result<Vec<(String, String)>, ConfigError> {
        let mut attributes = BTreeMap::from(
            [
                ("telemetry.sdk.language", "rust".to_owned()),
                ("telemetry.sdk.name", "tower-keep".to_owned()),
                (
                    "telemetry.sdk.version",
                    env!("CARGO_PKG_VERSION").to_owned(),
                ),
                ("service.name", default_service()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        attributes.extend(variables.resource()?);
        attributes.extend(self.attributes.iter().cloned());
        if let Some(service) = &self.service {
            attributes.insert("service.name".to_owned(), service.to_string());
        }
        Ok(attributes.into_iter().collect())
    }
}

impl fmt::Debug for OtlpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold secrets.
        f.debug_struct("OtlpBuilder")
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

fn default_service() -> String {
    let program = std::env::current_exe().ok();
    let name = program
        .as_deref()
        .and_then(|path| path.file_name()?.to_str());
    name.map_or_else(
        || "unknown_service".to_owned(),
        |name| format!("unknown_service:{name}"),
    )
}

fn check_time(field: &'static str, time: Duration) -> Result<Duration, ConfigError> {
    match time.is_zero() || time > MAX_TIME {
        true => Err(wrong(
            field,
            &format!("{time:?}"),
            "above zero, at most a day",
        )),
        false => Ok(time),
    }
}
