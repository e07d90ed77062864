//! The hooks of a [`Track`].

use std::net::IpAddr;

use http::{HeaderValue, Method, Request};
use tracing::{Level, Span};

use super::{
    ACCESS_TARGET, Track, TrackPermit,
    access_log::AccessLogEntry,
    byte_counter::{ByteCounter, RequestByteCount},
    labels::CallLabels,
    long_lived::LongLived,
    report::CallReport,
    request_labels::RequestLabels,
    span, span_ids,
    target::Target,
};
use crate::{
    call::{CallClock, CallEnd, Rejection, catch_hook},
    context::RequestPredicate,
    errors::error_description::ErrorDescription,
    guard::{Admit, Guard, Head, Measure},
};

impl<B> Admit<Request<B>> for Track {
    fn admit(&self, request: &mut Request<B>, clock: &CallClock) -> Result<TrackPermit, Rejection> {
        // Read first, since what follows is part of the call.
        clock.now();
        let (options, targets, side) = (self.options(), &self.shared.targets, clock.side());
        let labels = self.request_labels(request, clock);
        let target = self.http_target(request, side);
        // Not even in flight, or each attempt of a retry would be a call of its own.
        if matches!(target, Target::Untracked) {
            return Ok(TrackPermit::untracked(labels));
        }
        // After the tracker is registered with the request: an inner one of the same name must not report the call either.
        if matches(options.ignore.as_ref(), request) {
            adopt_span_ids(self, None, request);
            return Ok(TrackPermit::untracked(labels));
        }
        let settings = self.shared.settings.word();
        let grpc_method = labels
            .is_grpc
            .then(|| Target::from_grpc_method(request, targets));
        let server_timing = matches(options.server_timing.as_ref(), request);
        let response_time = matches(options.response_time.as_ref(), request);
        let route = self.initial_route(grpc_method.as_ref().unwrap_or(&target), side);
        // Admitted inside of `Correlate`, so the span has the IDs of this call.
        let client = self.client_address(request, side);
        let span = open_span(self, labels, request, route, client);
        let in_flight = || {
            self.shared
                .metrics(side)
                .inc_in_flight(&self.shared.label_builder(side), labels)
        };
        Ok(TrackPermit {
            // Of a recorder that panics nothing is known, so it is not asked to count the call out.
            in_flight: catch_hook(in_flight).unwrap_or_default(),
            watched: self.watch(labels, grpc_method.as_ref().unwrap_or(&target), clock),
            span,
            log_fields: catch_hook(|| self.capture_log_fields(settings, request, client)).flatten(),
            // Inserted before the inner layers run, of which one may count for it.
            request_bytes: options
                .body_sizes
                .then(|| RequestByteCount::get_or_insert(request.extensions_mut(), side)),
            is_connect: request.method() == Method::CONNECT,
            request: labels,
            settings,
            target,
            grpc_method,
            server_timing,
            response_time,
            long_lived: LongLived::No,
            method_exists: false,
        })
    }
}

/// Gives the call the IDs under which its span is exported, or those of the span around it.
#[inline]
fn adopt_span_ids<B>(track: &Track, span: Option<&Span>, request: &mut Request<B>) {
    if track.shared.config.has_span_ids() {
        let hook = track.options().span_ids.as_ref();
        catch_hook(|| span_ids::adopt(hook, span, request.headers_mut()));
    }
}

/// Opens the span of a call, and shows it to the hook of the application.
#[inline]
fn open_span<B>(
    track: &Track,
    labels: RequestLabels,
    request: &mut Request<B>,
    route: Option<&str>,
    client: Option<IpAddr>,
) -> Option<Box<Span>> {
    let config = &track.shared.config;
    let span = catch_hook(|| span::open(config, labels, request, route, client)).flatten();
    if let Some(span) = span.as_deref() {
        // Before the hook, which may set another parent, and before the span starts, which fixes its parent.
        #[cfg(feature = "opentelemetry")]
        catch_hook(|| super::opentelemetry::set_parent(span, labels.side));
        if let Some(hook) = &config.options.on_span {
            catch_hook(|| hook.call(span));
        }
    }
    adopt_span_ids(track, span.as_deref(), request);
    span
}

fn matches<B>(predicate: Option<&RequestPredicate>, request: &Request<B>) -> bool {
    predicate.is_some_and(|predicate| predicate.matches(request))
}

impl Guard for Track {
    type Permit = TrackPermit;

    fn measure(&self) -> Measure {
        Measure {
            poll_time: self.options().poll_time,
            readiness_wait: self.options().readiness_wait,
        }
    }

    #[inline]
    fn enter(&self, permit: &mut TrackPermit) -> impl Sized {
        permit.span.as_ref().map(|span| span.enter())
    }

    fn on_head(&self, permit: &mut TrackPermit, head: &mut Head<'_>) {
        if permit.is_untracked() {
            return;
        }
        permit.read_head(head);
        // The time to the head is known at the end only if the clock is read now.
        let can_be_slow = permit.settings.can_be_slow() || permit.watched.is_watched();
        let limits_head = permit.request.is_grpc && can_be_slow;
        if permit.log_fields.is_some() || self.options().time_to_head || limits_head {
            head.clock.now();
        }
        if permit.server_timing || permit.response_time {
            add_timing_headers(permit, head);
        }
    }

    fn on_end(&self, mut permit: TrackPermit, end: &CallEnd<'_>) {
        if permit.is_untracked() {
            return;
        }
        // First, so that the gauge falls whatever becomes of the rest.
        leave_in_flight(self, &mut permit);
        // As it is in the end: a request that claims to be gRPC may have got a plain response, or none.
        permit.request.is_grpc = end.wire().is_grpc();
        let error = ErrorDescription::from_end(end, permit.request.side);
        let mut report = CallReport::new(end, error);
        let call = self.call_labels(&permit, &report);
        report.slow = self.slow_level(permit.settings, &call, &report);
        let settings = permit.settings;
        let is_slow = || self.is_slow(settings, &call, &report);
        permit.watched.leave(end, is_slow);
        complete_metrics(self, &permit, &call, &report);
        // Before log and span, which show the error group.
        complete_error(self, &call, &mut report);
        complete_log(self, &permit, &call, &report);
        complete_span(self, permit, &call, &report);
    }
}

/// Adds the time to the head of the response to its headers.
fn add_timing_headers(permit: &TrackPermit, head: &mut Head<'_>) {
    let Some(elapsed) = head.elapsed() else {
        return;
    };
    let millis = elapsed.as_secs_f64() * 1e3;
    let mut add = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            head.headers.append(name, value);
        }
    };
    if permit.server_timing {
        add("server-timing", format!("total;dur={millis:.1}"));
    }
    if permit.response_time {
        add("x-response-time", format!("{millis:.1}ms"));
    }
}

// The steps of a call that completes. Recorders, subscribers and error sinks may panic: each is caught by itself, so that
// the others are still called.

fn leave_in_flight(track: &Track, permit: &mut TrackPermit) {
    let in_flight = std::mem::take(&mut permit.in_flight);
    let config = &track.shared.config;
    catch_hook(|| {
        track
            .shared
            .metrics(permit.request.side)
            .dec_in_flight(config, permit.request, in_flight)
    });
}

fn complete_metrics(
    track: &Track,
    permit: &TrackPermit,
    call: &CallLabels<'_>,
    report: &CallReport<'_>,
) {
    let side = call.request.side;
    let (metrics, builder) = (track.shared.metrics(side), track.shared.label_builder(side));
    let request_bytes = || permit.request_bytes.as_ref().and_then(ByteCounter::get);
    catch_hook(|| metrics.record_call(&builder, call, report, request_bytes));
    if let Some(level) = report.slow {
        catch_hook(|| metrics.count_slow(&builder, call.target, level));
    }
}

fn complete_error(track: &Track, call: &CallLabels<'_>, report: &mut CallReport<'_>) {
    let is_error = report.outcome().is_error();
    // An overload without a status has no other explanation in the log.
    if is_error || report.is_overload_error() {
        report.describe(|error| track.error_record(error, call));
    }
    if !is_error {
        return;
    }
    // By the semantic conventions the error type is a label of the duration.
    if let Some(record) = report.record().filter(|_| track.shared.config.is_classic()) {
        let side = call.request.side;
        let (metrics, builder) = (track.shared.metrics(side), track.shared.label_builder(side));
        catch_hook(|| metrics.count_error(&builder, record.kind()));
    }
    report.group_error(track.options().errors.as_ref());
}

fn complete_log(
    track: &Track,
    permit: &TrackPermit,
    call: &CallLabels<'_>,
    report: &CallReport<'_>,
) {
    let Some(fields) = permit.log_fields.as_deref() else {
        return;
    };
    if !track.should_log(permit.settings, fields, report) {
        return;
    }
    let entry = AccessLogEntry {
        service: track.options().name.as_str(),
        call,
        server: call
            .server()
            .or(track.shared.config.configured_server(call.request)),
        fields,
        request_bytes: permit.request_bytes.as_ref().and_then(ByteCounter::get),
        report,
    };
    // A subscriber that panics has not written the line, so the panic of the call is not reported yet.
    if catch_hook(|| entry.emit()).is_some() {
        let is_enabled = || tracing::enabled!(target: ACCESS_TARGET, Level::ERROR);
        report.end.mark_panic_reported(is_enabled);
    }
}

fn complete_span(
    track: &Track,
    mut permit: TrackPermit,
    call: &CallLabels<'_>,
    report: &CallReport<'_>,
) {
    let Some(span) = permit.span.take() else {
        return;
    };
    // What was known from the start is in the span, unless the call turned out to be of another wire format.
    let is_known = track
        .initial_route(permit.initial_target(), call.request.side)
        .is_some()
        && permit.grpc_method.is_some() == call.request.is_grpc;
    // Dropped in here as well: closing the span calls subscribers.
    catch_hook(move || {
        span::close(&span, call, report, is_known);
        drop(span);
    });
}
