//! The one line that each call may leave in the log.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};
use tracing::Level;

use super::settings::Slow;
use crate::{
    call::Outcome,
    context::{Context, hex},
    errors::{ErrorRecord, Fingerprint},
};

/// The target of access-log events, for filters: `RUST_LOG=tower_keep::access=info`.
pub const ACCESS_TARGET: &str = "tower_keep::access";

/// Header names whose values are credentials, whatever an allow-list says.
const SENSITIVE: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-authorization",
    "x-amz-security-token",
];

/// What a line needs of a request, kept while the call lasts.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: Option<PathAndQuery>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the line is left out if the call goes well.
    pub(super) skipped: bool,
}

impl Kept {
    pub(super) fn headers(
        allowed: &[HeaderName],
        headers: &HeaderMap,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let find = |name: &HeaderName| Some((name.clone(), headers.get(name)?.clone()));
        allowed.iter().filter_map(find).collect()
    }
}

/// Headers as one field: `user-agent="curl/8.5.0" authorization=REDACTED`.
struct Headers<'a>(&'a [(HeaderName, HeaderValue)]);

impl fmt::Display for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            if value.is_sensitive() || SENSITIVE.contains(&name.as_str()) {
                write!(f, "{space}{name}=REDACTED")?;
            } else {
                // `Debug` escapes quotes and bytes that are not text.
                write!(f, "{space}{name}={value:?}")?;
            }
        }
        Ok(())
    }
}

/// Everything a line says.
pub(super) struct Line<'a> {
    pub(super) service: &'a str,
    pub(super) kind: &'static str,
    pub(super) method: &'static str,
    pub(super) version: Option<&'static str>,
    pub(super) kept: Option<&'a Kept>,
    pub(super) route: Option<&'a str>,
    pub(super) server: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<&'static str>,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    pub(super) time_to_head: Option<Duration>,
    pub(super) busy: Option<Duration>,
    pub(super) readiness: Option<Duration>,
    pub(super) response_bytes: u64,
    pub(super) request_bytes: Option<u64>,
    pub(super) slow: Option<Slow>,
    pub(super) record: Option<&'a ErrorRecord>,
    pub(super) group: Option<Fingerprint>,
}

/// Milliseconds to three places.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

macro_rules! emit {
    ($level:expr, $line:expr, $context:expr) => {{
        let (line, context) = ($line, $context);
        let shown = |value: &dyn fmt::Display| value.to_string();
        let trace_id = context.map(|context| context.trace_id().to_hex());
        let span_id = context.map(|context| context.span_id().to_hex());
        tracing::event!(
            target: ACCESS_TARGET,
            // Says all that the span says; a formatter that repeats the span's fields would double the line.
            parent: None,
            $level,
            service = line.service,
            kind = line.kind,
            method = line.method,
            path = line.kept.and_then(|kept| kept.path.as_ref()).map(PathAndQuery::path),
            route = line.route,
            server = line.server,
            version = line.version,
            status = line.status,
            grpc_code = line.grpc_code,
            outcome = line.outcome.as_str(),
            duration_ms = millis(line.elapsed),
            time_to_head_ms = line.time_to_head.map(millis),
            busy_ms = line.busy.map(millis),
            readiness_wait_ms = line.readiness.map(millis),
            request_bytes = line.request_bytes,
            response_bytes = line.response_bytes,
            slow = line.slow.map(Slow::as_str),
            error_type = line.record.map(ErrorRecord::kind),
            error = line.record.map(ErrorRecord::message),
            root_cause = line.record.and_then(|record| record.chain().last()),
            error_location = line.record.and_then(ErrorRecord::location),
            error_group = line.group.as_ref().map(|group| shown(group)),
            headers = line
                .kept
                .filter(|kept| !kept.headers.is_empty())
                .map(|kept| shown(&Headers(&kept.headers))),
            request_id = context.map(Context::request_id),
            correlation_id = context.map(Context::correlation_id),
            trace_id = trace_id.as_ref().map(|id| hex(id)),
            span_id = span_id.as_ref().map(|id| hex(id)),
            "call"
        )
    }};
}

impl Line<'_> {
    /// Errors are errors; what is slow, overloaded or refused is a warning.
    pub(super) fn level(&self) -> Level {
        match self.outcome {
            outcome if outcome.is_error() => Level::ERROR,
            Outcome::Overload | Outcome::Rejected => Level::WARN,
            _ if self.slow.is_some() => Level::WARN,
            _ => Level::INFO,
        }
    }

    pub(super) fn emit(&self) {
        Context::with_current(|context| match self.level() {
            Level::ERROR => emit!(Level::ERROR, self, context),
            Level::WARN => emit!(Level::WARN, self, context),
            _ => emit!(Level::INFO, self, context),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_redacted_and_odd_bytes_are_escaped() {
        let mut secret = HeaderValue::from_static("hush");
        secret.set_sensitive(true);
        let odd = HeaderValue::from_bytes(b"a\"\xff").expect("a value");
        let headers = [
            (
                HeaderName::from_static("authorization"),
                HeaderValue::from_static("Bearer x"),
            ),
            (HeaderName::from_static("x-odd"), odd),
            (HeaderName::from_static("x-mine"), secret),
        ];
        assert_eq!(
            Headers(&headers).to_string(),
            r#"authorization=REDACTED x-odd="a\"\xff" x-mine=REDACTED"#
        );
    }
}
