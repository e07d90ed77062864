//! The access log: one event per call.

use std::{fmt, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};
use tracing::Level;

use super::{
    labels::{CallLabels, resend_count},
    redact::LoggedHeader,
    report::CallReport,
    request_labels::side_name,
    slow::SlowLevel,
};
use crate::{
    call::{GrpcCode, Outcome},
    context::{CallFields, Context, hex_str},
    util::duration::as_millis_f64,
};

/// The target of access-log events, for filters: `RUST_LOG=tower_keep::access=info`.
pub const ACCESS_TARGET: &str = "tower_keep::access";

/// Maximum number of logged values of one header: a request may have any number.
const MAX_HEADER_VALUES: usize = 16;

/// The fields of a request that the access log needs when the call completes.
#[derive(Debug)]
pub(super) struct LogFields {
    pub(super) path: Option<PathAndQuery>,
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// The address of the client, on a server.
    pub(super) client: Option<IpAddr>,
    /// Fields of the application, from the request.
    pub(super) custom: CallFields,
    /// The event is left out if the call succeeds.
    pub(super) is_skipped: bool,
}

impl LogFields {
    /// Returns all values of these headers; `None` for values that are redacted.
    pub(super) fn select_headers(
        logged: &[LoggedHeader],
        headers: &HeaderMap,
    ) -> Vec<(HeaderName, Option<HeaderValue>)> {
        let values = |LoggedHeader { name, redact }: &LoggedHeader| {
            let redact = *redact;
            let name = name.clone();
            let values = headers.get_all(&name).iter().take(MAX_HEADER_VALUES);
            values.map(move |value| {
                // A value that somebody has marked as sensitive stays hidden, whatever the settings say.
                let is_visible = !redact && !value.is_sensitive();
                (name.clone(), is_visible.then(|| value.clone()))
            })
        };
        logged.iter().flat_map(values).collect()
    }

    /// Returns the fields of the application, those that it has added during the call included.
    fn custom_fields(&self, context: Option<&Context>) -> Option<CallFields> {
        let added = context.and_then(Context::fields);
        if added.is_none() && self.custom.is_empty() {
            return None;
        }
        Some(self.custom.merged(added))
    }

    fn headers_field(&self) -> Option<String> {
        (!self.headers.is_empty()).then(|| HeadersField(&self.headers).to_string())
    }
}

/// A display of headers as one field: `user-agent="curl/8.5.0" authorization=REDACTED`.
struct HeadersField<'a>(&'a [(HeaderName, Option<HeaderValue>)]);

impl fmt::Display for HeadersField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match value {
                // `Debug` escapes quotes and bytes that are not text.
                Some(value) => write!(f, "{space}{name}={value:?}")?,
                None => write!(f, "{space}{name}=REDACTED")?,
            }
        }
        Ok(())
    }
}

/// The content of the event of a call.
pub(super) struct AccessLogEntry<'a> {
    pub(super) service: &'a str,
    pub(super) call: &'a CallLabels<'a>,
    pub(super) server: Option<&'a str>,
    pub(super) fields: &'a LogFields,
    pub(super) request_bytes: Option<u64>,
    pub(super) report: &'a CallReport<'a>,
}

// A macro, since the level of an event must be a constant.
macro_rules! access_event {
    ($level:expr, $entry:expr, $context:expr) => {{
        let (entry, context): (&AccessLogEntry<'_>, Option<&Context>) = ($entry, $context);
        let (call, report, end) = (entry.call, entry.report, entry.report.end);
        let trace_id = context.map(|context| context.trace_id().to_hex());
        let span_id = context.map(|context| context.span_id().to_hex());
        tracing::event!(
            target: ACCESS_TARGET,
            // The event has all fields of the span; formatters would add those of the span to each line.
            parent: None,
            $level,
            service = entry.service,
            kind = side_name(call.request.side),
            method = call.request.method_name(),
            // Never the query, which may hold tokens and personal data.
            path = entry.fields.path.as_ref().map(PathAndQuery::path),
            route = call.route(),
            server = entry.server,
            client.address = entry.fields.client.map(tracing::field::display),
            version = call.request.version(),
            status = call.status,
            grpc_code = call.grpc_code.map(GrpcCode::as_str),
            outcome = report.outcome().as_str(),
            duration_ms = as_millis_f64(report.elapsed),
            time_to_head_ms = end.time_to_head().map(as_millis_f64),
            poll_time_ms = end.poll_time().map(as_millis_f64),
            readiness_wait_ms = end.readiness_wait().map(as_millis_f64),
            request_bytes = entry.request_bytes,
            response_bytes = end.response_bytes(),
            slow = report.slow.map(SlowLevel::as_str),
            http.request.resend_count =
                context.and_then(|context| resend_count(call.request.side, context)),
            error_type = report.error_type(),
            error = report.error_message().as_deref(),
            root_cause = report.root_cause(),
            error_location = report.error_location(),
            error_group = report.error_group(),
            headers = entry.fields.headers_field(),
            // The log layer of this crate writes each as a field of its own.
            fields = entry.fields.custom_fields(context).map(tracing::field::display),
            request_id = context.map(Context::request_id),
            correlation_id = context.map(Context::correlation_id),
            trace_id = trace_id.as_ref().map(|id| hex_str(id)),
            span_id = span_id.as_ref().map(|id| hex_str(id)),
            "call"
        )
    }};
}

impl AccessLogEntry<'_> {
    /// Returns `ERROR` for errors, `WARN` for slow, rejected and overloaded calls, else `INFO`.
    fn level(&self) -> Level {
        match self.report.outcome() {
            // First, so that a slow failure is an error.
            outcome if outcome.is_error() => Level::ERROR,
            Outcome::Overload | Outcome::Rejected => Level::WARN,
            _ if self.report.slow.is_some() => Level::WARN,
            _ => Level::INFO,
        }
    }

    /// Emits the event.
    pub(super) fn emit(&self) {
        // The context is not borrowed while subscribers run: they may make calls themselves.
        Context::with_current(|context| match self.level() {
            Level::ERROR => access_event!(Level::ERROR, self, context),
            Level::WARN => access_event!(Level::WARN, self, context),
            _ => access_event!(Level::INFO, self, context),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_log_redacts_sensitive_headers() {
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
        headers.append("x-other", HeaderValue::from_static("not logged"));
        let logged = [("authorization", true), ("x-odd", false), ("x-mine", false)];
        let logged = logged.map(|(name, redact)| LoggedHeader {
            name: HeaderName::from_static(name),
            redact,
        });
        let selected = LogFields::select_headers(&logged, &headers);
        assert_eq!(
            HeadersField(&selected).to_string(),
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
