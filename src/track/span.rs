//! The span of a call, with the fields of OpenTelemetry's semantic conventions.

use std::{fmt, net::IpAddr};

use http::Request;
use tracing::{Level, Span, field::Empty, level_filters::LevelFilter};

use super::{
    SpanLevel,
    config::TrackConfig,
    labels::{CallLabels, resend_count},
    report::CallReport,
    request_labels::{RequestLabels, side_name},
    target::split_host_port,
};
use crate::{
    call::{GrpcCode, Outcome},
    context::Context,
};

/// The name of a span: the method and the route, never the path.
struct SpanName<'a> {
    /// Empty for gRPC, whose route is the method.
    method: &'a str,
    route: Option<&'a str>,
}

impl<'a> SpanName<'a> {
    fn new(request: RequestLabels, route: Option<&'a str>) -> Self {
        let method = match (request.is_grpc, request.method_name()) {
            (true, _) => "",
            // The name that the semantic conventions have for unknown methods.
            (false, "_OTHER") => "HTTP",
            (false, method) => method,
        };
        SpanName { method, route }
    }
}

impl fmt::Display for SpanName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.method, self.route) {
            ("", Some(route)) => f.write_str(route),
            (method, Some(route)) => {
                // Without a formatter, which would cost more than the rest.
                f.write_str(method)?;
                f.write_str(" ")?;
                f.write_str(route)
            }
            ("", None) => f.write_str("grpc"),
            (method, None) => f.write_str(method),
        }
    }
}

fn parse_port(port: &str) -> Option<i64> {
    port.parse().ok()
}

/// The fields of a span that are known when it is opened.
struct SpanStart<'a> {
    labels: RequestLabels,
    path: Option<&'a str>,
    route: Option<&'a str>,
    /// Host and port of the server, if the settings name them.
    server: Option<(&'a str, Option<&'a str>)>,
    client: Option<IpAddr>,
    /// True if the IDs are those of the exported span, which are recorded once it has them.
    has_span_ids: bool,
}

// A macro, since the level of a span must be a constant.
macro_rules! call_span {
    ($level:expr, $call:expr, $context:expr) => {{
        let (call, context): (SpanStart<'_>, Option<&Context>) = ($call, $context);
        let request = call.labels;
        let (host, port) = call.server.unzip();
        let ids = context.filter(|_| !call.has_span_ids);
        tracing::span!(
            target: "tower_keep::call",
            $level,
            "call",
            otel.name = %SpanName::new(request, call.route),
            otel.kind = side_name(request.side),
            // Fields of the end are declared here, or they could not be recorded later.
            otel.status_code = Empty,
            otel.status_description = Empty,
            http.request.method = request.method_name(),
            http.request.resend_count =
                context.and_then(|context| resend_count(request.side, context)),
            http.route = call.route,
            http.response.status_code = Empty,
            server.address = host,
            server.port = port.flatten().and_then(parse_port),
            client.address = call.client.map(tracing::field::display),
            rpc.system.name = request.is_grpc.then_some("grpc"),
            rpc.method = Empty,
            rpc.response.status_code = Empty,
            url.path = call.path,
            url.scheme = request.scheme(),
            network.protocol.version = request.version(),
            error.type = Empty,
            error.group = Empty,
            outcome = Empty,
            request_id = context.map(Context::request_id),
            correlation_id = context.map(Context::correlation_id),
            trace_id = ids.map(|context| tracing::field::display(context.trace_id())),
            span_id = ids.map(|context| tracing::field::display(context.span_id())),
        )
    }};
}

/// Opens the span, if a subscriber is interested.
#[inline]
pub(super) fn open<B>(
    config: &TrackConfig,
    labels: RequestLabels,
    request: &Request<B>,
    route: Option<&str>,
    client: Option<IpAddr>,
) -> Option<Box<Span>> {
    let call = SpanStart {
        labels,
        path: config.options.log_path.then(|| request.uri().path()),
        route,
        server: config.configured_server(labels).map(split_host_port),
        client,
        has_span_ids: config.has_span_ids(),
    };
    // The level is checked here as well: with tracing's feature `log`, which axum's default features enable, the macro
    // would format all fields for the `log` crate.
    let span = match config.options.span_level {
        SpanLevel::Debug if Level::DEBUG <= LevelFilter::current() => {
            Context::with_current(|context| call_span!(Level::DEBUG, call, context))
        }
        SpanLevel::Info if Level::INFO <= LevelFilter::current() => {
            Context::with_current(|context| call_span!(Level::INFO, call, context))
        }
        _ => return None,
    };
    (!span.is_disabled()).then(|| Box::new(span))
}

/// Records the IDs of the current context in a span that was opened without them.
pub(super) fn record_ids(span: &Span) {
    Context::with_current(|context| {
        let Some(context) = context else {
            return;
        };
        tracing::record_all!(
            span,
            trace_id = %context.trace_id(),
            span_id = %context.span_id(),
        );
    });
}

/// Records the end of a call in its span. `has_target` tells whether the span has had the target from its start.
pub(super) fn close(span: &Span, call: &CallLabels<'_>, report: &CallReport<'_>, has_target: bool) {
    let request = call.request;
    let is_plain = has_target && !request.is_client() && call.grpc_code.is_none();
    if is_plain && report.error_type().is_none() {
        // The ordinary call of a server. Each further field would be looked up by its name, with or without a value.
        tracing::record_all!(
            span,
            http.response.status_code = call.status.map(i64::from),
            outcome = report.outcome().as_str(),
        );
        return;
    }
    let server = call.server().filter(|_| !has_target).map(split_host_port);
    let route = call.route().filter(|_| !has_target);
    // A caller that gives up says nothing about the peer.
    let is_cancelled = report.outcome() == Outcome::Cancelled && call.grpc_code.is_none();
    let is_error = report.error_type().is_some() && !is_cancelled;
    let description = is_error.then(|| report.error_message()).flatten();
    // All at once: formatters process all fields of a span each time that one is recorded.
    tracing::record_all!(
        span,
        otel.name =
            route.map(|route| tracing::field::display(SpanName::new(request, Some(route)))),
        http.route = route.filter(|_| !request.is_grpc),
        rpc.method = route.filter(|_| request.is_grpc),
        server.address = server.map(|(host, _)| host),
        server.port = server.and_then(|(_, port)| parse_port(port?)),
        // OpenTelemetry's bridge formats integers of other types as text.
        http.response.status_code = call.status.map(i64::from),
        rpc.response.status_code = call.grpc_code.map(GrpcCode::as_str),
        network.protocol.version = request.version().filter(|_| request.is_client()),
        outcome = report.outcome().as_str(),
        error.type = report.error_type(),
        error.group = report.error_group(),
        otel.status_code = is_error.then_some("ERROR"),
        // After the code, which would clear it.
        otel.status_description = description.as_deref(),
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::StatusCode;
    use tracing::{
        Subscriber,
        field::{Field, Visit},
        span::{Id, Record},
    };
    use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};

    use super::*;
    use crate::{
        call::{CallClock, CallEnd},
        errors::error_description::ErrorDescription,
        protocol::Side,
        track::{labels::ErrorLabel, long_lived::LongLived},
    };

    /// The names of the fields that are recorded with values.
    #[derive(Clone, Default)]
    struct Recorded(Arc<Mutex<Vec<&'static str>>>);

    impl Visit for Recorded {
        fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
            self.0.lock().expect("no panic").push(field.name());
        }
    }

    impl<S: Subscriber> Layer<S> for Recorded {
        fn on_record(&self, _: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
            values.record(&mut self.clone());
        }
    }

    /// Ends a call, and returns what is recorded in its span.
    fn recorded_at_end(
        side: Side,
        outcome: Outcome,
        code: Option<GrpcCode>,
        has_target: bool,
    ) -> Vec<&'static str> {
        crate::util::test_callsites::ask_all_subscribers();
        let recorded = Recorded::default();
        let subscriber = tracing_subscriber::registry().with(recorded.clone());
        tracing::subscriber::with_default(subscriber, || {
            let mut request =
                RequestLabels::from_request(side, &Request::new(()), false, code.is_some());
            request.set_version(http::Version::HTTP_2);
            let start = SpanStart {
                labels: request,
                path: None,
                route: None,
                server: None,
                client: None,
                has_span_ids: false,
            };
            let span = call_span!(Level::INFO, start, None);
            let call = CallLabels {
                request,
                target: Some(1),
                target_name: Some("target"),
                status: Some(200),
                grpc_code: code,
                error: ErrorLabel::None,
                long_lived: LongLived::No,
            };
            let clock = CallClock::default();
            let mut end = CallEnd::new(outcome, &clock);
            end.status = Some(StatusCode::OK);
            end.grpc_code = code;
            let error = ErrorDescription::from_end(&end, side);
            close(&span, &call, &CallReport::new(&end, error), has_target);
        });
        let recorded = recorded.0.lock().expect("no panic");
        recorded.clone()
    }

    #[test]
    fn span_end_has_every_field_that_has_a_value() {
        let (server, client, success) = (Side::Server, Side::Client, Outcome::Success);
        let status = "http.response.status_code";
        assert_eq!(
            recorded_at_end(server, success, None, true),
            [status, "outcome"]
        );
        assert_eq!(
            recorded_at_end(server, success, None, false),
            ["otel.name", "http.route", status, "outcome"]
        );
        assert_eq!(
            recorded_at_end(client, success, None, true),
            [status, "network.protocol.version", "outcome"]
        );
        let code = Some(GrpcCode::OK);
        assert_eq!(
            recorded_at_end(server, success, code, true),
            [status, "rpc.response.status_code", "outcome"]
        );
        assert_eq!(
            recorded_at_end(server, Outcome::Failure, None, true),
            [status, "outcome", "error.type", "otel.status_code"]
        );
    }
}
