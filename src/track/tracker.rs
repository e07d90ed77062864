use std::{
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode};
use metrics::Counter;
use tracing::{Level, Span, level_filters::LevelFilter};

use super::{
    access_log::{ACCESS_TARGET, AccessLogEntry, LogFields},
    builder::{MetricNaming, SlowLevel, TrackBuilder, TrackConfig},
    labels::{CallLabels, CallSide, ErrorLabel, RequestLabels, method_name},
    long_lived::is_long_lived,
    metrics::{LabelBuilder, MAX_ERROR_TYPES, TrackMetrics},
    request_body::{ByteCounter, RequestByteCount},
    route::{RouteSlot, TrackerId, TrackerPosition},
    sampling::hash_fraction,
    series_key::{ActiveKey, CallKey, ErrorTypeKey, LabelRules, OutcomeKey, SlowKey},
    span,
    target::Target,
};
use crate::{
    call::{CallClock, CallEnd, GrpcCode, Label, Outcome, Rejection, catch_hook},
    context::Context,
    errors::{ErrorRecord, error_description::ErrorDescription},
    guard::{Admit, Guard, Head, Measure},
    operation::{Operation, operation},
    protocol::WireFormat,
    util::{append_map::Interner, family::InFlightGauge, recorder::RecorderKind},
};

/// The guard that tracks HTTP and gRPC calls: in flight, timed, measured, logged, and grouped when they fail.
///
/// See the [module](super). A cheap clone; clones share series and settings. Never refuses.
#[derive(Clone, Debug)]
pub struct Track {
    core: Arc<Core>,
    side: CallSide,
}

#[derive(Debug)]
struct Core {
    config: TrackConfig,
    tracker_id: TrackerId,
    targets: Interner,
    error_types: Interner,
    server_metrics: OnceLock<Box<TrackMetrics>>,
    client_metrics: OnceLock<Box<TrackMetrics>>,
}

/// What [`Track`] holds of a call.
#[derive(Debug)]
pub struct TrackPermit {
    request: RequestLabels,
    target: Target,
    /// The gRPC method, of what says that it is gRPC.
    grpc_method: Option<Target>,
    in_flight: InFlightGauge,
    /// Boxed, and only there if somebody listens: permits are copied along with their calls.
    span: Option<Box<Span>>,
    log_fields: Option<Box<LogFields>>,
    request_bytes: Option<ByteCounter>,
    server_timing: bool,
    response_time: bool,
    is_connect: bool,
    long_lived: bool,
    /// The head of the response shows that somebody implements the gRPC method.
    method_exists: bool,
}

impl Track {
    /// A tracker with the defaults.
    pub fn new(name: impl Into<Label>) -> Self {
        Track::from_config(Track::builder(name).into_config())
    }

    /// Settings to start from, for a service of that name.
    pub fn builder(name: impl Into<Label>) -> TrackBuilder {
        TrackBuilder::new(name.into())
    }

    pub(super) fn from_config(settings: TrackConfig) -> Self {
        let places = Interner::new(settings.max_targets());
        // First, so that they are told from others whatever else comes.
        for (route, _) in &settings.options.slow_routes {
            places.intern(route);
        }
        Track {
            core: Arc::new(Core {
                tracker_id: TrackerId::new(&settings.options.name),
                targets: places,
                error_types: Interner::new(MAX_ERROR_TYPES),
                server_metrics: OnceLock::new(),
                client_metrics: OnceLock::new(),
                config: settings,
            }),
            side: CallSide::Server,
        }
    }

    /// The same tracker for calls that go out: metrics and spans are a client's.
    ///
    /// [`observe`](crate::observe()) does it where it has to; in a tuple of one's own under
    /// [`GuardLayer::client`](crate::GuardLayer::client) it must be said.
    #[must_use]
    pub fn client_side(mut self) -> Self {
        self.side = CallSide::Client;
        self
    }

    /// Returns what tracks the same where nothing is known of HTTP.
    pub(crate) fn operation(&self) -> Operation {
        let given = self.options();
        let operation = operation(given.name.clone()).errors(given.errors.clone());
        match given.slow {
            Some(slow) => operation.slow(slow.warning).critical(slow.critical),
            None => operation,
        }
    }

    fn options(&self) -> &TrackBuilder {
        &self.core.config.options
    }

    fn label_builder(&self) -> LabelBuilder<'_> {
        LabelBuilder {
            side: self.side,
            options: self.options(),
            targets: &self.core.targets,
            error_types: &self.core.error_types,
        }
    }

    #[inline]
    fn metrics(&self) -> &TrackMetrics {
        let meters = match self.side {
            CallSide::Server => &self.core.server_metrics,
            CallSide::Client => &self.core.client_metrics,
        };
        let settings = &self.core.config;
        let make = || Box::new(TrackMetrics::new(&settings.options, settings.max_targets()));
        meters.get_or_init(make)
    }

    fn label_rules(&self) -> LabelRules {
        let given = self.options();
        LabelRules {
            side: self.side,
            https: given.https,
            is_classic: given.naming == MetricNaming::Classic,
        }
    }

    /// A server's scheme is that of its settings: what a request says of it is the caller's choice.
    fn active_key(&self, asked: RequestLabels) -> ActiveKey {
        let https = match self.side {
            CallSide::Server => self.options().https,
            CallSide::Client => asked.https,
        };
        ActiveKey {
            method: asked.method,
            https,
        }
    }

    fn request_labels<B>(&self, request: &Request<B>, wire: WireFormat) -> RequestLabels {
        let https = match request.uri().scheme_str() {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => self.options().https,
        };
        RequestLabels::from_request(self.side, request, https, wire.is_grpc())
    }

    /// The method of what says that it is gRPC. Whether it is, shows at the head of the answer.
    fn grpc_method<B>(&self, request: &Request<B>, wire: WireFormat) -> Option<Target> {
        let grpc = wire.is_grpc();
        grpc.then(|| Target::from_grpc_method(request, &self.core.targets))
    }

    /// Returns where the call goes as far as HTTP can tell.
    fn target<B>(&self, request: &mut Request<B>) -> Target {
        let (places, tracker) = (
            &self.core.targets,
            self.core.tracker_id.with_side(self.side),
        );
        if self.side == CallSide::Server {
            return Target::from_route(request, tracker, places);
        }
        match RouteSlot::register_tracker(request.extensions_mut(), tracker, false) {
            TrackerPosition::Duplicate => Target::AlreadyTracked,
            _ => Target::from_authority(request, self.options().server_address.as_deref(), places),
        }
    }

    /// The number of the place, now that the call is over.
    fn resolve_target(&self, permit: &TrackPermit, end: &CallEnd<'_>) -> Option<u16> {
        let place = match &permit.grpc_method {
            Some(method) if permit.request.is_grpc => method,
            _ => &permit.target,
        };
        // Somebody implements it. Those who are turned away on the way there may have made it up.
        let is_real = || permit.method_exists || end.grpc_code() == Some(GrpcCode::OK);
        place.resolve(&self.core.targets, is_real)
    }

    fn known_route(&self, place: &Target) -> Option<&str> {
        match place {
            Target::Known(number) if self.side == CallSide::Server => {
                Some(self.core.targets.resolve(*number))
            }
            _ => None,
        }
    }

    /// What the line will need, if anybody listens.
    fn capture_log_fields<B>(&self, request: &Request<B>) -> Option<Box<LogFields>> {
        let given = self.options();
        // No `enabled!`: it would cost the next event of the handler its place in some filtered layers (tokio-rs/tracing
        // issue 2519).
        let heard = given.access_log && Level::ERROR <= LevelFilter::current();
        let path = || request.uri().path_and_query().cloned();
        let keep = || LogFields {
            path: given.log_path.then(path).flatten(),
            headers: LogFields::select_headers(&self.core.config.log_headers, request.headers()),
            is_skipped: given
                .skip
                .as_ref()
                .is_some_and(|skip| skip.matches(request)),
        };
        heard.then(|| Box::new(keep()))
    }

    fn slow_level(&self, place: Option<&str>, elapsed: Duration) -> Option<SlowLevel> {
        let settings = &self.core.config;
        let own = place.and_then(|place| settings.slow_routes.get(place));
        own.or(settings.options.slow.as_ref())?.level(elapsed)
    }

    fn inc_in_flight(&self, asked: RequestLabels) -> InFlightGauge {
        let make = |key: &ActiveKey| self.label_builder().active_gauge(key);
        let count = || {
            self.metrics()
                .active
                .increment(&self.active_key(asked), make)
        };
        catch_hook(count).unwrap_or_default()
    }

    fn dec_in_flight(&self, permit: &mut TrackPermit) {
        let counted = mem::take(&mut permit.in_flight);
        let active = &self.metrics().active;
        active.decrement(&self.active_key(permit.request), counted);
    }

    fn record_metrics(
        &self,
        permit: &TrackPermit,
        facts: &CallLabels,
        end: &CallEnd<'_>,
        elapsed: Duration,
    ) {
        let listener = RecorderKind::current();
        if listener == RecorderKind::None {
            return;
        }
        let (meters, labeller) = (self.metrics(), self.label_builder());
        let ended = OutcomeKey {
            target: facts.target,
            is_grpc: facts.request.is_grpc,
            outcome: end.outcome(),
        };
        let counter = |key: &OutcomeKey| labeller.outcome_counter(key);
        let ends = &meters.outcomes;
        ends.with_handles(listener, &ended, counter, |counter| counter.increment(1));
        let key = CallKey::new(self.label_rules(), facts, is_failure(end));
        let series = |key: &CallKey| labeller.call_metrics(key);
        meters.calls.with_handles(listener, &key, series, |series| {
            series.duration.record(elapsed.as_secs_f64());
            if let Some(total) = &series.total {
                total.increment(1);
            }
            let times = [
                (&series.time_to_head, end.time_to_head()),
                (&series.poll_time, end.poll_time()),
                (&series.readiness_wait, end.readiness_wait()),
            ];
            for (histogram, time) in times {
                if let (Some(histogram), Some(time)) = (histogram, time) {
                    histogram.record(time.as_secs_f64());
                }
            }
            if let Some(histogram) = &series.response_size {
                histogram.record(end.response_bytes() as f64);
            }
            let counted = permit.request_bytes.as_ref().and_then(ByteCounter::get);
            if let (Some(histogram), Some(bytes)) = (&series.request_size, counted) {
                histogram.record(bytes as f64);
            }
        });
    }

    #[cold]
    fn count_slow(&self, slow: SlowLevel, place: Option<u16>) {
        let key = SlowKey {
            target: place,
            level: slow,
        };
        let make = |key: &SlowKey| self.label_builder().slow_counter(key);
        let count = |counter: &Counter| counter.increment(1);
        self.metrics()
            .slow
            .with_handles(RecorderKind::current(), &key, make, count);
    }

    #[cold]
    fn count_error(&self, error_type: &str) {
        if self.options().naming != MetricNaming::Classic {
            return;
        }
        let key = ErrorTypeKey(self.core.error_types.intern(error_type));
        let make = |key: &ErrorTypeKey| self.label_builder().error_counter(key);
        let count = |counter: &Counter| counter.increment(1);
        self.metrics()
            .errors
            .with_handles(RecorderKind::current(), &key, make, count);
    }

    #[cold]
    fn error_record(&self, fault: &ErrorDescription<'_>, place: Option<&str>) -> ErrorRecord {
        let record = fault
            .error_record()
            .with_service(self.options().name.as_str());
        match place {
            Some(place) => record.with_route(place),
            None => record,
        }
    }

    fn should_log(&self, permit: &TrackPermit, end: &CallEnd<'_>, slow: Option<SlowLevel>) -> bool {
        let Some(kept) = &permit.log_fields else {
            return false;
        };
        slow.is_some() || !is_uneventful(end) || !kept.is_skipped && self.is_sampled()
    }

    /// Returns whether the journey that the call belongs to is in the log.
    fn is_sampled(&self) -> bool {
        let sample = self.options().sample;
        if sample >= 1.0 {
            return true;
        }
        let of_journey = Context::peek(|context| Some(hash_fraction(context?.correlation_id())));
        of_journey.unwrap_or_else(fastrand::f64) < sample
    }
}

/// Returns whether an error, and no status, says that there was too much to do.
fn is_overload_error(end: &CallEnd<'_>) -> bool {
    end.outcome() == Outcome::Overload && end.status().is_none() && end.error().is_some()
}

/// Returns whether nobody has to look at the call: the caller got what it asked for, was wrong itself, or has gone.
fn is_uneventful(end: &CallEnd<'_>) -> bool {
    let by_outcome = matches!(
        end.outcome(),
        Outcome::Success | Outcome::ClientError | Outcome::Cancelled
    );
    let is_bad =
        |status: StatusCode| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    by_outcome && !end.status().is_some_and(is_bad)
}

/// Returns whether somebody has to see that the call failed, however many other series there are.
fn is_failure(end: &CallEnd<'_>) -> bool {
    end.outcome().is_error() || end.status().is_some_and(|status| status.is_server_error())
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
        if permit.is_already_tracked() {
            return;
        }
        permit.request.is_grpc = head.wire.is_grpc();
        permit.long_lived = !permit.request.is_grpc && is_long_lived(permit.is_connect, head);
        // Nobody's answer to a made-up method: that has its status in the head, or is no gRPC at all.
        permit.method_exists = permit.request.is_grpc
            && head.status == StatusCode::OK
            && WireFormat::from_headers(head.headers).is_grpc()
            && !head.headers.contains_key("grpc-status");
        // A refusal came over no connection.
        if self.side == CallSide::Client && head.outcome != Outcome::Rejected {
            permit.request.set_version(head.version);
        }
        let judges_head = permit.request.is_grpc && self.core.config.has_slow_thresholds();
        if permit.log_fields.is_some() || self.options().time_to_head || judges_head {
            head.clock.now();
        }
        if !(permit.server_timing || permit.response_time) {
            return;
        }
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

    fn on_end(&self, mut permit: TrackPermit, end: &CallEnd<'_>) {
        if permit.is_already_tracked() {
            return;
        }
        catch_hook(|| self.dec_in_flight(&mut permit));
        permit.request.is_grpc = end.wire().is_grpc();
        let elapsed = end.elapsed().unwrap_or_default();
        let fault = ErrorDescription::from_end(end, self.side.status_rules());
        let error = ErrorLabel::new(fault.as_ref(), end, &self.core.error_types);
        let facts = CallLabels {
            request: permit.request,
            target: self.resolve_target(&permit, end),
            status: end.status().map(|status| status.as_u16()),
            grpc_code: end.grpc_code(),
            error,
            long_lived: permit.long_lived,
        };
        catch_hook(|| self.record_metrics(&permit, &facts, end, elapsed));

        let place = facts.target.map(|number| self.core.targets.resolve(number));
        // Nothing on the wire tells a gRPC stream, which may last, from one answer: that comes together with the head.
        let took = match permit.request.is_grpc {
            true => end.time_to_head().unwrap_or(elapsed),
            false => elapsed,
        };
        let slow = match permit.long_lived {
            true => None,
            false => self.slow_level(place, took),
        };
        if let Some(slow) = slow {
            catch_hook(|| self.count_slow(slow, facts.target));
        }
        let is_error = end.outcome().is_error();
        // The line says why as well where no status does.
        let is_told = is_error || is_overload_error(end);
        let told = fault.as_ref().filter(|_| is_told);
        let record = told.map(|fault| self.error_record(fault, place));
        if let Some(record) = record.as_ref().filter(|_| is_error) {
            catch_hook(|| self.count_error(record.kind()));
        }
        let errors = self.options().errors.as_ref().filter(|_| is_error);
        let group = errors.and_then(|errors| catch_hook(|| errors.record(record.clone()?).into())?);
        if self.should_log(&permit, end, slow) {
            let server = place.filter(|_| self.side == CallSide::Client && !permit.request.is_grpc);
            let line = AccessLogEntry {
                service: self.options().name.as_str(),
                side: self.side,
                method: method_name(permit.request.method),
                version: permit.request.version(),
                request: permit.log_fields.as_deref(),
                route: place.filter(|_| server.is_none()),
                server: server.or(self
                    .options()
                    .configured_server(self.side, permit.request.is_grpc)),
                status: facts.status,
                grpc_code: facts.grpc_code.map(GrpcCode::as_str),
                outcome: end.outcome(),
                elapsed,
                time_to_head: end.time_to_head(),
                poll_time: end.poll_time(),
                readiness_wait: end.readiness_wait(),
                response_bytes: end.response_bytes(),
                request_bytes: permit.request_bytes.as_ref().and_then(ByteCounter::get),
                slow,
                error_type: fault.as_ref().map(ErrorDescription::kind),
                record: record.as_ref(),
                group,
            };
            if catch_hook(|| line.emit()).is_some() {
                end.mark_panic_reported(|| tracing::enabled!(target: ACCESS_TARGET, Level::ERROR));
            }
        }
        let error_type = fault.as_ref().map(ErrorDescription::kind);
        catch_hook(move || {
            let known = permit.grpc_method.as_ref().unwrap_or(&permit.target);
            let known = self.known_route(known).is_some()
                && permit.grpc_method.is_some() == permit.request.is_grpc;
            let late = place.filter(|_| !known);
            if let Some(span) = &permit.span {
                span::close(span, self.side, &facts, end, late, error_type);
            }
            drop(permit);
        });
    }
}

impl<B> Admit<Request<B>> for Track {
    fn admit(&self, request: &mut Request<B>, now: &CallClock) -> Result<TrackPermit, Rejection> {
        now.now();
        let given = self.options();
        let asked = self.request_labels(request, now.wire());
        let place = self.target(request);
        if matches!(place, Target::AlreadyTracked) {
            return Ok(TrackPermit::already_tracked(asked));
        }
        let method = self.grpc_method(request, now.wire());
        let holds = |ask: &Option<_>| {
            let ask: &Option<crate::context::RequestPredicate> = ask;
            ask.as_ref().is_some_and(|ask| ask.matches(request))
        };
        let (server_timing, response_time) =
            (holds(&given.server_timing), holds(&given.response_time));
        let route = self.known_route(method.as_ref().unwrap_or(&place));
        let span = catch_hook(|| span::open(given, self.side, asked, request, route)).flatten();
        if let (Some(span), Some(hook)) = (&span, &given.on_span) {
            catch_hook(|| hook.call(span));
        }
        Ok(TrackPermit {
            in_flight: self.inc_in_flight(asked),
            span,
            log_fields: catch_hook(|| self.capture_log_fields(request)).flatten(),
            request_bytes: given
                .body_sizes
                .then(|| RequestByteCount::get_or_insert(request.extensions_mut(), self.side)),
            is_connect: request.method() == Method::CONNECT,
            request: asked,
            target: place,
            grpc_method: method,
            server_timing,
            response_time,
            long_lived: false,
            method_exists: false,
        })
    }
}

impl TrackPermit {
    /// Makes the permit of a tracker that has nothing to do.
    #[cold]
    fn already_tracked(asked: RequestLabels) -> Self {
        TrackPermit {
            request: asked,
            target: Target::AlreadyTracked,
            grpc_method: None,
            in_flight: InFlightGauge::default(),
            span: None,
            log_fields: None,
            request_bytes: None,
            server_timing: false,
            response_time: false,
            is_connect: false,
            long_lived: false,
            method_exists: false,
        }
    }

    fn is_already_tracked(&self) -> bool {
        matches!(self.target, Target::AlreadyTracked)
    }
}
