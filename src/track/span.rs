//! The span of a call, with the fields of OpenTelemetry's semantic conventions.

use std::fmt;

use http::Request;
use tracing::{Level, Span, field::Empty, level_filters::LevelFilter};

use super::{
    builder::{SpanLevel, TrackBuilder},
    labels::{CallLabels, CallSide, RequestLabels, method_name, resend_count, split_host_port},
};
use crate::{
    call::{CallEnd, GrpcCode, Outcome},
    context::Context,
};

/// A span's name: the method and the route, never the path.
struct SpanName<'a>(&'a str, Option<&'a str>);

impl fmt::Display for SpanName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpanName("", Some(route)) => f.write_str(route),
            SpanName(method, Some(route)) => write!(f, "{method} {route}"),
            SpanName("", None) => f.write_str("grpc"),
            SpanName(method, None) => f.write_str(method),
        }
    }
}

fn span_name<'a>(asked: RequestLabels, route: Option<&'a str>) -> SpanName<'a> {
    match (asked.is_grpc, method_name(asked.method)) {
        (true, _) => SpanName("", route),
        (false, "_OTHER") => SpanName("HTTP", route),
        (false, method) => SpanName(method, route),
    }
}

fn parse_port(port: &str) -> Option<i64> {
    port.parse().ok()
}

macro_rules! open {
    ($level:expr, $side:expr, $asked:expr, $path:expr, $route:expr, $server:expr, $context:expr) => {{
        let (asked, context) = ($asked, $context);
        let (host, port) = $server.unzip();
        tracing::span!(
            target: "tower_keep::call",
            $level,
            "call",
            otel.name = %span_name(asked, $route),
            otel.kind = $side.as_str(),
            otel.status_code = Empty,
            http.request.method = method_name(asked.method),
            http.request.resend_count = context.and_then(|context| resend_count($side, context)),
            http.route = $route,
            http.response.status_code = Empty,
            server.address = host,
            server.port = port.flatten().and_then(parse_port),
            rpc.system.name = asked.is_grpc.then_some("grpc"),
            rpc.method = Empty,
            rpc.response.status_code = Empty,
            url.path = $path,
            url.scheme = asked.scheme(),
            network.protocol.version = asked.version(),
            error.type = Empty,
            outcome = Empty,
            request_id = context.map(Context::request_id),
            correlation_id = context.map(Context::correlation_id),
            trace_id = context.map(|context| tracing::field::display(context.trace_id())),
            span_id = context.map(|context| tracing::field::display(context.span_id())),
        )
    }};
}

/// Opens the span, if a subscriber wants it.
///
/// Asked here as well: with tracing's feature `log`, which axum's default features bring, a span that nobody wants would
/// have all its fields made for the `log` crate.
#[inline]
pub(super) fn open<B>(
    given: &TrackBuilder,
    side: CallSide,
    asked: RequestLabels,
    request: &Request<B>,
    route: Option<&str>,
) -> Option<Box<Span>> {
    let path = given.log_path.then(|| request.uri().path());
    let server = given
        .configured_server(side, asked.is_grpc)
        .map(split_host_port);
    let span = match given.span_level {
        SpanLevel::Debug if Level::DEBUG <= LevelFilter::current() => {
            Context::with_current(|context| {
                open!(Level::DEBUG, side, asked, path, route, server, context)
            })
        }
        SpanLevel::Info if Level::INFO <= LevelFilter::current() => {
            Context::with_current(|context| {
                open!(Level::INFO, side, asked, path, route, server, context)
            })
        }
        _ => return None,
    };
    (!span.is_disabled()).then(|| Box::new(span))
}

/// Writes the end into the span, in one go: formatters work through all fields each time. `place` is what was
/// not known when the span was opened: a route, a gRPC method, or the server that a client has called.
pub(super) fn close(
    span: &Span,
    side: CallSide,
    facts: &CallLabels,
    end: &CallEnd<'_>,
    place: Option<&str>,
    error_type: Option<&str>,
) {
    let grpc = facts.request.is_grpc;
    let server = place.filter(|_| side == CallSide::Client && !grpc);
    let route = place.filter(|_| server.is_none());
    let server = server.map(split_host_port);
    // Giving up on a call is no error of the one who was called.
    let gave_up = end.outcome() == Outcome::Cancelled && facts.grpc_code.is_none();
    let failed = error_type.is_some() && !gave_up;
    tracing::record_all!(
        span,
        otel.name = route.map(|route| tracing::field::display(span_name(facts.request, Some(route)))),
        http.route = route.filter(|_| !grpc),
        rpc.method = route.filter(|_| grpc),
        server.address = server.map(|(host, _)| host),
        server.port = server.and_then(|(_, port)| parse_port(port?)),
        // OpenTelemetry's bridge turns any other integer into a text.
        http.response.status_code = facts.status.map(i64::from),
        rpc.response.status_code = facts.grpc_code.map(GrpcCode::as_str),
        network.protocol.version = facts.request.version().filter(|_| side == CallSide::Client),
        outcome = end.outcome().as_str(),
        error.type = error_type,
        otel.status_code = failed.then_some("ERROR"),
    );
}
