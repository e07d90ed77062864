use http::HeaderName;

use super::{MetricNaming, TrackBuilder, redact::LoggedHeader, request_labels::RequestLabels};
use crate::{
    call::{ConfigError, check_range},
    util::credentials::looks_like_credential,
};

/// Default of [`TrackBuilder::max_targets`]: more than the routes of most services, and far fewer than paths.
pub(super) const DEFAULT_MAX_TARGETS: usize = 256;
/// Default of [`TrackBuilder::max_series`]: the limit of the OpenTelemetry SDKs.
pub(super) const DEFAULT_MAX_SERIES: usize = 2_000;
/// Upper bound of [`TrackBuilder::max_targets`]. Leaves IDs for targets of the settings: an interner has 32,767.
const MAX_TARGETS: usize = 1 << 14;
/// Upper bound of [`TrackBuilder::max_series`].
const MAX_SERIES: usize = 100_000;
/// Minimum number of series that are reserved for failures, however low `max_series` is.
const MIN_RESERVED_SERIES: usize = 16;
/// Maximum number of headers that an access-log line may carry.
const MAX_LOG_HEADERS: usize = 16;

const HEADER_NAME: &str = "a header name such as \"user-agent\" (letters, digits, '-')";

/// The validated settings of a tracker.
#[derive(Debug)]
pub(super) struct TrackConfig {
    pub(super) options: TrackBuilder,
    pub(super) log_headers: Vec<LoggedHeader>,
}

impl TrackConfig {
    /// Takes default settings, which need no validation.
    pub(super) fn from_defaults(options: TrackBuilder) -> Self {
        TrackConfig {
            log_headers: Vec::new(),
            options,
        }
    }

    /// Validates the settings.
    pub(super) fn new(options: TrackBuilder) -> Result<Self, ConfigError> {
        let component = component(&options.name);
        options.settings.validate(&component)?;
        check_range(
            &component,
            "max_targets",
            options.max_targets,
            1..=MAX_TARGETS,
        )?;
        check_range(&component, "max_series", options.max_series, 1..=MAX_SERIES)?;
        Ok(TrackConfig {
            // Before `options`, which is moved.
            log_headers: logged_headers(&component, &options)?,
            options,
        })
    }

    /// Returns the number of targets that have labels of their own. Those of the settings do not count against
    /// [`TrackBuilder::max_targets`].
    pub(super) fn max_targets(&self) -> usize {
        self.options.max_targets + self.options.settings.slow_routes.len()
    }

    /// Returns the number of series that are reserved for failures.
    pub(super) fn reserved_series(&self) -> usize {
        (self.options.max_series / 4).max(MIN_RESERVED_SERIES)
    }

    /// Returns whether the IDs of a span are known only once it is open.
    pub(super) fn has_span_ids(&self) -> bool {
        cfg!(feature = "opentelemetry") || self.options.span_ids.is_some()
    }

    /// Returns the server that a gRPC client was configured with. The target of such a call is its method.
    pub(super) fn configured_server(&self, request: RequestLabels) -> Option<&str> {
        let server = self.options.server_address.as_deref();
        server.filter(|_| request.is_grpc && request.is_client())
    }

    pub(super) fn is_classic(&self) -> bool {
        self.options.naming == MetricNaming::Classic
    }
}

/// Returns how errors call a tracker.
pub(super) fn component(name: &impl std::fmt::Debug) -> String {
    format!("tracker {name:?}")
}

fn logged_headers(
    component: &str,
    options: &TrackBuilder,
) -> Result<Vec<LoggedHeader>, ConfigError> {
    let logged = parse_header_names(component, "log_headers", &options.log_headers)?;
    let redacted = parse_header_names(component, "redact_headers", &options.redact_headers)?;
    let unredacted = parse_header_names(component, "unredact_headers", &options.unredact_headers)?;
    let logged = logged.into_iter().map(|name| {
        // A header in both lists is redacted: a secret in a log would stay there.
        let redact = redacted.contains(&name)
            || (looks_like_credential(name.as_str()) && !unredacted.contains(&name));
        LoggedHeader { name, redact }
    });
    Ok(logged.collect())
}

fn parse_header_names(
    component: &str,
    field: &'static str,
    names: &[String],
) -> Result<Vec<HeaderName>, ConfigError> {
    // Each name is looked up in every request.
    if names.len() > MAX_LOG_HEADERS {
        let value = format!("{} names", names.len());
        let expected = format!("at most {MAX_LOG_HEADERS} names");
        return Err(ConfigError::new(component, field, value, expected));
    }
    let names = names.iter().map(|name| {
        HeaderName::try_from(name)
            .map_err(|_| ConfigError::new(component, field, format!("{name:?}"), HEADER_NAME))
    });
    names.collect()
}
