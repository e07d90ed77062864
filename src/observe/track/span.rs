//! The span of a call, with the fields of OpenTelemetry's semantic conventions.

use std::fmt;

use http::Request;
use tracing::{Span, field::Empty};

use super::{
    facts::{Asked, Facts, Side, method_name},
    settings::SpanLevel,
};
use crate::{
    call::{End, Outcome},
    context::Context,
};

/// A span's name: the method and the route, never the path.
struct Name<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name(method, Some(route)) if method.is_empty() => f.write_str(route),
            Name(method, Some(route)) => write!(f, "{method} {route}"),
            Name("", None) => f.write_str("grpc"),
            Name(method, None) => f.write_str(method),
        }
    }
}

fn name<'a>(asked: Asked, route: Option<&'a str>) -> Name<'a> {
    match (asked.grpc, method_name(asked.method)) {
        (true, _) => Name("", route),
        (false, "_OTHER") => Name("HTTP", route),
        (false, method) => Name(method, route),
    }
}

macro_rules! open {
    ($level:expr, $side:expr, $asked:expr, $request:expr, $route:expr, $context:expr) => {{
        let (asked, request, context) = ($asked, $request, $context);
        tracing::span!(
            target: "tower_keep::call",
            $level,
            "call",
            otel.name = %name(asked, $route),
            otel.kind = $side.as_str(),
            otel.status_code = Empty,
            http.request.method = method_name(asked.method),
            http.route = Empty,
            http.response.status_code = Empty,
            rpc.system.name = asked.grpc.then_some("grpc"),
            rpc.method = Empty,
            rpc.response.status_code = Empty,
            url.path = request.uri().path(),
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

/// Opens the span, disabled unless a subscriber wants it.
#[inline]
pub(super) fn open<B>(
    level: SpanLevel,
    side: Side,
    asked: Asked,
    request: &Request<B>,
    route: Option<&str>,
) -> Span {
    match level {
        SpanLevel::Off => Span::none(),
        SpanLevel::Debug => Context::with_current(|context| {
            open!(tracing::Level::DEBUG, side, asked, request, route, context)
        }),
        SpanLevel::Info => Context::with_current(|context| {
            open!(tracing::Level::INFO, side, asked, request, route, context)
        }),
    }
}

/// Writes the end into the span.
pub(super) fn close(
    span: &Span,
    facts: &Facts,
    end: &End<'_>,
    route: Option<&str>,
    error_type: Option<&str>,
) {
    if span.is_disabled() {
        return;
    }
    if let Some(route) = route {
        let field = if facts.asked.grpc {
            "rpc.method"
        } else {
            "http.route"
        };
        span.record(field, route);
        span.record(
            "otel.name",
            tracing::field::display(name(facts.asked, Some(route))),
        );
    }
    if let Some(status) = facts.status {
        // OpenTelemetry's bridge turns any other integer into a text.
        span.record("http.response.status_code", i64::from(status));
    }
    if let Some(code) = facts.code {
        span.record("rpc.response.status_code", code.as_str());
    }
    span.record("outcome", end.outcome().as_str());
    if let Some(error_type) = error_type {
        span.record("error.type", error_type);
        // Giving up on a call is no error of the one who was called.
        if end.outcome() != Outcome::Cancelled {
            span.record("otel.status_code", "ERROR");
        }
    }
}
