//! The one line that each call may leave in the log.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};
use tracing::Level;

use super::{
    builder::SlowLevel,
    labels::{CallSide, resend_count},
    redact::LoggedHeader,
};
use crate::{
    call::Outcome,
    context::{Context, hex_str},
    errors::{ErrorRecord, Fingerprint},
};

/// The target of access-log events, for filters: `RUST_LOG=tower_keep::access=info`.
pub const ACCESS_TARGET: &str = "tower_keep::access";

/// Values of one header that a line shows at most: a request may have any number.
const MAX_HEADER_VALUES: usize = 16;

/// What a line needs of a request, kept while the call lasts.
#[derive(Debug)]
pub(super) struct LogFields {
    pub(super) path: Option<PathAndQuery>,
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Whether the line is left out if the call goes well.
    pub(super) is_skipped: bool,
}

impl LogFields {
    /// Returns all values of these headers; none in the place of one that is redacted.
    pub(super) fn select_headers(
        logged: &[LoggedHeader],
        headers: &HeaderMap,
    ) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let values = |LoggedHeader { name, redact }: &LoggedHeader| {
            let redact = *redact;
            let name = name.clone();
            let values = headers.get_all(&name).iter().take(MAX_HEADER_VALUES);
            values.map(move |value| {
                let shown = !redact && !value.is_sensitive();
                (name.clone(), shown.then(|| value.clone()))
            })
        };
        logged.iter().flat_map(values).collect()
    }
}

/// Headers as one field: `user-agent="curl/8.5.0" authorization=REDACTED`.
struct HeadersField<'a>(&'a [(HeaderName, Option<HeaderValue>)]);

impl fmt::Display for HeadersField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            match value {
                // `Debug` escapes quotes and bytes that are not text.
                Some(value) => write!(f, "{space}{name}={value:?}")?,
                None => write!(f, "{space}{name}=REDACTED")?,
            }
        }
        Ok(())
    }
}

/// Everything a line says.
pub(super) struct AccessLogEntry<'a> {
    pub(super) service: &'a str,
    pub(super) side: CallSide,
    pub(super) method: &'static str,
    pub(super) version: Option<&'static str>,
    pub(super) request: Option<&'a LogFields>,
    pub(super) route: Option<&'a str>,
    pub(super) server: Option<&'a str>,
    pub(super) status: Option<u16>,
    pub(super) grpc_code: Option<&'static str>,
    pub(super) outcome: Outcome,
    pub(super) elapsed: Duration,
    pub(super) time_to_head: Option<Duration>,
    pub(super) poll_time: Option<Duration>,
    pub(super) readiness_wait: Option<Duration>,
    pub(super) response_bytes: u64,
    pub(super) request_bytes: Option<u64>,
    pub(super) slow: Option<SlowLevel>,
    pub(super) error_type: Option<&'a str>,
    pub(super) record: Option<&'a ErrorRecord>,
    pub(super) group: Option<Fingerprint>,
}

/// Milliseconds to three places.
pub(crate) fn as_millis_f64(duration: Duration) -> f64 {
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
            kind = line.side.as_str(),
            method = line.method,
            path = line.request.and_then(|kept| kept.path.as_ref()).map(PathAndQuery::path),
            route = line.route,
            server = line.server,
            version = line.version,
            status = line.status,
            grpc_code = line.grpc_code,
            outcome = line.outcome.as_str(),
            duration_ms = as_millis_f64(line.elapsed),
            time_to_head_ms = line.time_to_head.map(as_millis_f64),
            busy_ms = line.poll_time.map(as_millis_f64),
            readiness_wait_ms = line.readiness_wait.map(as_millis_f64),
            request_bytes = line.request_bytes,
            response_bytes = line.response_bytes,
            slow = line.slow.map(SlowLevel::as_str),
            http.request.resend_count = context.and_then(|context| resend_count(line.side, context)),
            error_type = line.error_type,
            error = line.record.map(ErrorRecord::message),
            root_cause = line.record.and_then(|record| record.causes().last()),
            error_location = line.record.and_then(ErrorRecord::location),
            error_group = line.group.as_ref().map(|group| shown(group)),
            headers = line
                .request
                .filter(|kept| !kept.headers.is_empty())
                .map(|kept| shown(&HeadersField(&kept.headers))),
            request_id = context.map(Context::request_id),
            correlation_id = context.map(Context::correlation_id),
            trace_id = trace_id.as_ref().map(|id| hex_str(id)),
            span_id = span_id.as_ref().map(|id| hex_str(id)),
            "call"
        )
    }};
}

impl AccessLogEntry<'_> {
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
        // No borrow is held while subscribers run: they may make calls of their own.
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
    fn headers_show_all_values_but_those_that_are_redacted() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("hush");
        secret.set_sensitive(true);
        headers.append("x-mine", secret);
        headers.append("x-mine", HeaderValue::from_static("open"));
        headers.append("authorization", HeaderValue::from_static("Bearer x"));
        headers.append(
            "x-odd",
            HeaderValue::from_bytes(b"a\"\xff").expect("a value"),
        );
        headers.append("x-other", HeaderValue::from_static("not asked for"));
        let logged = [("authorization", true), ("x-odd", false), ("x-mine", false)];
        let logged = logged.map(|(name, redact)| LoggedHeader {
            name: HeaderName::from_static(name),
            redact,
        });
        let kept = LogFields::select_headers(&logged, &headers);
        assert_eq!(
            HeadersField(&kept).to_string(),
            r#"authorization=REDACTED x-odd="a\"\xff" x-mine=REDACTED x-mine="open""#
        );
        for _ in 0..1_000 {
            headers.append("x-odd", HeaderValue::from_static("more"));
        }
        assert_eq!(
            LogFields::select_headers(&logged[1..2], &headers).len(),
            MAX_HEADER_VALUES
        );
    }
}
