use std::sync::Arc;

use http::HeaderName;

use super::{Propagate, RequestIdPolicy, config::PropagateConfig};
use crate::{
    call::ConfigError,
    context::{
        Baggage, IdFormat, TraceFormat,
        header_name::{COMPONENT, parse_header_name},
        trace_format::stale_headers,
    },
};

/// Builder of a [`Propagate`]; made by [`Propagate::builder`].
#[derive(Clone, Debug, Default)]
pub struct PropagateBuilder {
    /// Not checked yet; None for the default.
    request_id_header: Option<String>,
    correlation_id_header: Option<String>,
    priority_header: Option<String>,
    config: PropagateConfig,
}

impl PropagateBuilder {
    /// Sets the header that carries the request ID. Default: `x-request-id`.
    #[must_use]
    pub fn request_id_header(mut self, name: impl Into<String>) -> Self {
        self.request_id_header = Some(name.into());
        self
    }

    /// Sets the header that carries the correlation ID where that differs from the request ID. Where it does not, a header
    /// of that name that was copied from another request is removed. Default: `x-correlation-id`.
    #[must_use]
    pub fn correlation_id_header(mut self, name: impl Into<String>) -> Self {
        self.correlation_id_header = Some(name.into());
        self
    }

    /// Sets which request ID is sent. Default: [`RequestIdPolicy::Reuse`].
    #[must_use]
    pub fn request_id_policy(mut self, policy: RequestIdPolicy) -> Self {
        self.config.request_id_policy = policy;
        self
    }

    /// Sets the format of generated IDs. Default: 128 random bits in hex.
    #[must_use]
    pub fn id_format(mut self, format: IdFormat) -> Self {
        self.config.id_format = format;
        self
    }

    /// Sets the formats in which the trace is sent, all of them. With none, no trace is sent, say to a third party.
    ///
    /// Headers of these formats that were copied from another request are replaced, and those of the W3C never stay.
    /// Default: W3C's `traceparent` and `tracestate`.
    #[must_use]
    pub fn trace_formats(mut self, formats: impl IntoIterator<Item = TraceFormat>) -> Self {
        self.config.trace_formats = formats.into_iter().collect();
        self
    }

    /// Sets the header that carries the [priority](crate::priority) of the call, if it has one. Where it has none, a header of that name
    /// that was copied from another request is removed. Default: `x-request-priority`.
    #[must_use]
    pub fn priority_header(mut self, name: impl Into<String>) -> Self {
        self.priority_header = Some(name.into());
        self
    }

    /// Sets whether the [priority](crate::priority) of the call is sent on. Default: yes, if it has one.
    #[must_use]
    pub fn priority(mut self, send: bool) -> Self {
        self.config.priority = send;
        self
    }

    /// Sets whether `baggage` is sent on. Default: no, since it may carry what third parties must not see.
    #[must_use]
    pub fn baggage(mut self, send: bool) -> Self {
        self.config.baggage = send;
        self
    }

    /// Checks the settings and builds the guard.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting whose header name is invalid or belongs to a trace format or to `baggage`.
    pub fn build(self) -> Result<Propagate, ConfigError> {
        let mut config = self.config;
        // Only now, when the formats are final.
        config.stale_headers = stale_headers(&config.trace_formats);
        let formats = &config.trace_formats;
        if let Some(name) = self.request_id_header {
            config.request_id_header = parse_id_header("request_id_header", &name, formats)?;
        }
        if let Some(name) = self.correlation_id_header {
            config.correlation_id_header =
                parse_id_header("correlation_id_header", &name, formats)?;
        }
        if let Some(name) = self.priority_header {
            config.priority_header = parse_id_header("priority_header", &name, formats)?;
        }
        Ok(Propagate(Arc::new(config)))
    }
}

/// Parses the name of a header that carries an ID or the priority, and neither the trace nor `baggage`.
fn parse_id_header(
    field: &'static str,
    name: &str,
    formats: &[TraceFormat],
) -> Result<HeaderName, ConfigError> {
    let header = parse_header_name(field, name)?;
    // One of the two would replace the other.
    let is_used_by = |format: &TraceFormat| format.header_names().contains(&header.as_str());
    if header == Baggage::HEADER || formats.iter().any(is_used_by) {
        let expected = "a header that carries neither the trace nor `baggage`";
        let name = format!("{name:?}");
        return Err(ConfigError::new(COMPONENT, field, name, expected));
    }
    Ok(header)
}
