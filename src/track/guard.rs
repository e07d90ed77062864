use std::{
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderValue, Method, Request, StatusCode};
use metrics::Counter;
use tracing::{Level, Span, level_filters::LevelFilter};

use super::{
    access::{ACCESS_TARGET, Kept, Line},
    facts::{Asked, ErrorLabel, Facts, Side, method_name},
    labels::{ActiveKey, CallKey, EndKey, ErrorKey, Rules, SlowKey},
    lasting::lasts,
    meters::{Labeller, MAX_ERROR_TYPES, Meters},
    place::Place,
    request_body::{BytesRead, RequestBytes},
    route::{Passage, RouteSlot, TrackerId},
    sampling::share,
    settings::{Naming, Settings, Slow, TrackBuilder},
    span,
};
use crate::{
    call::{End, GrpcCode, Moment, Name, Outcome, Rejection, quietly},
    context::Context,
    errors::{ErrorRecord, fault::Fault},
    guard::{Admit, Guard, Head, Wants},
    operation::{Operation, operation},
    protocol::Wire,
    util::{family::InFlight, listener::Listener, table::Interner},
};

/// The guard that tracks HTTP and gRPC calls: in flight, timed, measured, logged, and grouped when they fail.
///
/// See the [module](super). A cheap clone; clones share series and settings. Never refuses.
#[derive(Clone, Debug)]
pub struct Track {
    core: Arc<Core>,
    side: Side,
}

#[derive(Debug)]
struct Core {
    settings: Settings,
    id: TrackerId,
    places: Interner,
    error_types: Interner,
    server: OnceLock<Box<Meters>>,
    client: OnceLock<Box<Meters>>,
}

/// What [`Track`] holds of a call.
#[derive(Debug)]
pub struct TrackPermit {
    asked: Asked,
    place: Place,
    /// The gRPC method, of what says that it is gRPC.
    method: Option<Place>,
    counted: InFlight,
    /// Boxed, and only there if somebody listens: permits are copied along with their calls.
    span: Option<Box<Span>>,
    kept: Option<Box<Kept>>,
    request_bytes: Option<BytesRead>,
    server_timing: bool,
    response_time: bool,
    connect: bool,
    lasting: bool,
    /// The head of the response shows that somebody implements the gRPC method.
    implemented: bool,
}

impl Track {
    /// A tracker with the defaults.
    pub fn named(name: impl Into<Name>) -> Self {
        Track::from_settings(Track::builder(name).defaults())
    }

    /// Settings to start from, for a service of that name.
    pub fn builder(name: impl Into<Name>) -> TrackBuilder {
        TrackBuilder::new(name.into())
    }

    pub(super) fn from_settings(settings: Settings) -> Self {
        let places = Interner::new(settings.max_places());
        // First, so that they are told from others whatever else comes.
        for (route, _) in &settings.given.slow_routes {
            places.number(route);
        }
        Track {
            core: Arc::new(Core {
                id: TrackerId::new(&settings.given.name),
                places,
                error_types: Interner::new(MAX_ERROR_TYPES),
                server: OnceLock::new(),
                client: OnceLock::new(),
                settings,
            }),
            side: Side::Server,
        }
    }

    /// The same tracker for calls that go out: metrics and spans are a client's.
    ///
    /// [`observe`](crate::observe()) does it where it has to; in a tuple of one's own under
    /// [`GuardLayer::client`](crate::GuardLayer::client) it must be said.
    #[must_use]
    pub fn client_side(mut self) -> Self {
        self.side = Side::Client;
        self
    }

    /// Returns what tracks the same where nothing is known of HTTP.
    pub(crate) fn operation(&self) -> Operation {
        let given = self.given();
        let operation = operation(given.name.clone()).errors(given.errors.clone());
        match given.slow {
            Some(slow) => operation.slow(slow.warning).critical(slow.critical),
            None => operation,
        }
    }

    fn given(&self) -> &TrackBuilder {
        &self.core.settings.given
    }

    fn labeller(&self) -> Labeller<'_> {
        Labeller {
            side: self.side,
            given: self.given(),
            places: &self.core.places,
            error_types: &self.core.error_types,
        }
    }

    #[inline]
    fn meters(&self) -> &Meters {
        let meters = match self.side {
            Side::Server => &self.core.server,
            Side::Client => &self.core.client,
        };
        let settings = &self.core.settings;
        let make = || Box::new(Meters::new(&settings.given, settings.max_places()));
        meters.get_or_init(make)
    }

    fn rules(&self) -> Rules {
        let given = self.given();
        Rules {
            side: self.side,
            https: given.https,
            classic: given.naming == Naming::Classic,
        }
    }

    /// A server's scheme is that of its settings: what a request says of it is the caller's choice.
    fn active(&self, asked: Asked) -> ActiveKey {
        let https = match self.side {
            Side::Server => self.given().https,
            Side::Client => asked.https,
        };
        ActiveKey {
            method: asked.method,
            https,
        }
    }

    fn asked<B>(&self, request: &Request<B>, wire: Wire) -> Asked {
        let https = match request.uri().scheme_str() {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => self.given().https,
        };
        Asked::of(self.side, request, https, wire.is_grpc())
    }

    /// The method of what says that it is gRPC. Whether it is, shows at the head of the answer.
    fn method<B>(&self, request: &Request<B>, wire: Wire) -> Option<Place> {
        let grpc = wire.is_grpc();
        grpc.then(|| Place::of_grpc(request, &self.core.places))
    }

    /// Returns where the call goes as far as HTTP can tell.
    fn place<B>(&self, request: &mut Request<B>) -> Place {
        let (places, tracker) = (&self.core.places, self.core.id.on(self.side));
        if self.side == Side::Server {
            return Place::of_route(request, tracker, places);
        }
        match RouteSlot::pass(request.extensions_mut(), tracker, false) {
            Passage::Again => Place::Repeated,
            _ => Place::of_server(request, self.given().server_address.as_deref(), places),
        }
    }

    /// The number of the place, now that the call is over.
    fn resolve(&self, permit: &TrackPermit, end: &End<'_>) -> Option<u16> {
        let place = match &permit.method {
            Some(method) if permit.asked.grpc => method,
            _ => &permit.place,
        };
        // Somebody implements it. Those who are turned away on the way there may have made it up.
        let is_real = || permit.implemented || end.grpc_code() == Some(GrpcCode::OK);
        place.number(&self.core.places, is_real)
    }

    fn known_route(&self, place: &Place) -> Option<&str> {
        match place {
            Place::Known(number) if self.side == Side::Server => {
                Some(self.core.places.text(*number))
            }
            _ => None,
        }
    }

    /// What the line will need, if anybody listens.
    fn keep<B>(&self, request: &Request<B>) -> Option<Box<Kept>> {
        let given = self.given();
        // No `enabled!`: it would cost the next event of the handler its place in some filtered layers (tokio-rs/tracing
        // issue 2519).
        let heard = given.access_log && Level::ERROR <= LevelFilter::current();
        let path = || request.uri().path_and_query().cloned();
        let keep = || Kept {
            path: given.log_path.then(path).flatten(),
            headers: Kept::headers(&self.core.settings.log_headers, request.headers()),
            skipped: given.skip.as_ref().is_some_and(|skip| skip.holds(request)),
        };
        heard.then(|| Box::new(keep()))
    }

    fn slow(&self, place: Option<&str>, elapsed: Duration) -> Option<Slow> {
        let settings = &self.core.settings;
        let own = place.and_then(|place| settings.slow_routes.get(place));
        own.or(settings.given.slow.as_ref())?.judge(elapsed)
    }

    fn count_in(&self, asked: Asked) -> InFlight {
        let make = |key: &ActiveKey| self.labeller().active(key);
        let count = || self.meters().active.count_in(&self.active(asked), make);
        quietly(count).unwrap_or_default()
    }

    fn count_out(&self, permit: &mut TrackPermit) {
        let counted = mem::take(&mut permit.counted);
        let active = &self.meters().active;
        active.count_out(&self.active(permit.asked), counted);
    }

    fn measure(&self, permit: &TrackPermit, facts: &Facts, end: &End<'_>, elapsed: Duration) {
        let listener = Listener::now();
        if listener == Listener::Nobody {
            return;
        }
        let (meters, labeller) = (self.meters(), self.labeller());
        let ended = EndKey {
            place: facts.place,
            grpc: facts.asked.grpc,
            outcome: end.outcome(),
        };
        let counter = |key: &EndKey| labeller.end(key);
        let ends = &meters.ends;
        ends.with(listener, &ended, counter, |counter| counter.increment(1));
        let key = CallKey::new(self.rules(), facts, is_failed(end));
        let series = |key: &CallKey| labeller.call(key);
        meters.calls.with(listener, &key, series, |series| {
            series.duration.record(elapsed.as_secs_f64());
            if let Some(total) = &series.total {
                total.increment(1);
            }
            let times = [
                (&series.time_to_head, end.time_to_head()),
                (&series.busy, end.busy()),
                (&series.readiness, end.readiness_wait()),
            ];
            for (histogram, time) in times {
                if let (Some(histogram), Some(time)) = (histogram, time) {
                    histogram.record(time.as_secs_f64());
                }
            }
            if let Some(histogram) = &series.response_size {
                histogram.record(end.response_bytes() as f64);
            }
            let counted = permit.request_bytes.as_ref().and_then(BytesRead::get);
            if let (Some(histogram), Some(bytes)) = (&series.request_size, counted) {
                histogram.record(bytes as f64);
            }
        });
    }

    #[cold]
    fn count_slow(&self, slow: Slow, place: Option<u16>) {
        let key = SlowKey { place, slow };
        let make = |key: &SlowKey| self.labeller().slow(key);
        let count = |counter: &Counter| counter.increment(1);
        self.meters().slow.with(Listener::now(), &key, make, count);
    }

    #[cold]
    fn count_error(&self, error_type: &str) {
        if self.given().naming != Naming::Classic {
            return;
        }
        let key = ErrorKey(self.core.error_types.number(error_type));
        let make = |key: &ErrorKey| self.labeller().error(key);
        let count = |counter: &Counter| counter.increment(1);
        self.meters()
            .errors
            .with(Listener::now(), &key, make, count);
    }

    #[cold]
    fn failed(&self, fault: &Fault<'_>, place: Option<&str>) -> ErrorRecord {
        let record = fault.record().with_service(self.given().name.as_str());
        match place {
            Some(place) => record.with_route(place),
            None => record,
        }
    }

    fn is_heard(&self, permit: &TrackPermit, end: &End<'_>, slow: Option<Slow>) -> bool {
        let Some(kept) = &permit.kept else {
            return false;
        };
        slow.is_some() || !is_good(end) || !kept.skipped && self.is_sampled()
    }

    /// Returns whether the journey that the call belongs to is in the log.
    fn is_sampled(&self) -> bool {
        let sample = self.given().sample;
        if sample >= 1.0 {
            return true;
        }
        let of_journey = Context::peek(|context| Some(share(context?.correlation_id())));
        of_journey.unwrap_or_else(fastrand::f64) < sample
    }
}

/// Returns whether an error, and no status, says that there was too much to do.
fn is_overload_by_error(end: &End<'_>) -> bool {
    end.outcome() == Outcome::Overload && end.status().is_none() && end.error().is_some()
}

/// Returns whether nobody has to look at the call: the caller got what it asked for, was wrong itself, or has gone.
fn is_good(end: &End<'_>) -> bool {
    let by_outcome = matches!(
        end.outcome(),
        Outcome::Success | Outcome::Ignored | Outcome::Cancelled
    );
    let is_bad =
        |status: StatusCode| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    by_outcome && !end.status().is_some_and(is_bad)
}

/// Returns whether somebody has to see that the call failed, however many other series there are.
fn is_failed(end: &End<'_>) -> bool {
    end.outcome().is_error() || end.status().is_some_and(|status| status.is_server_error())
}

impl Guard for Track {
    type Permit = TrackPermit;

    fn wants(&self) -> Wants {
        Wants {
            busy: self.given().busy,
            readiness: self.given().readiness,
        }
    }

    #[inline]
    fn enter<R>(&self, permit: &mut TrackPermit, poll: impl FnOnce() -> R) -> R {
        match &permit.span {
            None => poll(),
            Some(span) => span.in_scope(poll),
        }
    }

    fn head(&self, permit: &mut TrackPermit, head: &mut Head<'_>) {
        if permit.is_repeated() {
            return;
        }
        permit.asked.grpc = head.wire.is_grpc();
        permit.lasting = !permit.asked.grpc && lasts(permit.connect, head);
        // Nobody's answer to a made-up method: that has its status in the head, or is no gRPC at all.
        permit.implemented = permit.asked.grpc
            && head.status == StatusCode::OK
            && Wire::of_content_type(head.headers).is_grpc()
            && !head.headers.contains_key("grpc-status");
        // A refusal came over no connection.
        if self.side == Side::Client && head.outcome != Outcome::Rejected {
            permit.asked.set_version(head.version);
        }
        let judges_head = permit.asked.grpc && self.core.settings.has_slow();
        if permit.kept.is_some() || self.given().time_to_head || judges_head {
            head.now.now();
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

    fn settle(&self, mut permit: TrackPermit, end: &End<'_>) {
        if permit.is_repeated() {
            return;
        }
        quietly(|| self.count_out(&mut permit));
        permit.asked.grpc = end.wire().is_grpc();
        let elapsed = end.elapsed().unwrap_or_default();
        let fault = Fault::of(end, self.side.statuses());
        let error = ErrorLabel::of(fault.as_ref(), end, &self.core.error_types);
        let facts = Facts {
            asked: permit.asked,
            place: self.resolve(&permit, end),
            status: end.status().map(|status| status.as_u16()),
            code: end.grpc_code(),
            error,
            lasting: permit.lasting,
        };
        quietly(|| self.measure(&permit, &facts, end, elapsed));

        let place = facts.place.map(|number| self.core.places.text(number));
        // Nothing on the wire tells a gRPC stream, which may last, from one answer: that comes together with the head.
        let took = match permit.asked.grpc {
            true => end.time_to_head().unwrap_or(elapsed),
            false => elapsed,
        };
        let slow = match permit.lasting {
            true => None,
            false => self.slow(place, took),
        };
        if let Some(slow) = slow {
            quietly(|| self.count_slow(slow, facts.place));
        }
        let is_error = end.outcome().is_error();
        // The line says why as well where no status does.
        let is_told = is_error || is_overload_by_error(end);
        let told = fault.as_ref().filter(|_| is_told);
        let record = told.map(|fault| self.failed(fault, place));
        if let Some(record) = record.as_ref().filter(|_| is_error) {
            quietly(|| self.count_error(record.kind()));
        }
        let errors = self.given().errors.as_ref().filter(|_| is_error);
        let group = errors.and_then(|errors| quietly(|| errors.record(record.clone()?).into())?);
        if self.is_heard(&permit, end, slow) {
            let server = place.filter(|_| self.side == Side::Client && !permit.asked.grpc);
            let line = Line {
                service: self.given().name.as_str(),
                side: self.side,
                method: method_name(permit.asked.method),
                version: permit.asked.version(),
                kept: permit.kept.as_deref(),
                route: place.filter(|_| server.is_none()),
                server: server.or(self.given().told_server(self.side, permit.asked.grpc)),
                status: facts.status,
                grpc_code: facts.code.map(GrpcCode::as_str),
                outcome: end.outcome(),
                elapsed,
                time_to_head: end.time_to_head(),
                busy: end.busy(),
                readiness: end.readiness_wait(),
                response_bytes: end.response_bytes(),
                request_bytes: permit.request_bytes.as_ref().and_then(BytesRead::get),
                slow,
                error_type: fault.as_ref().map(Fault::kind),
                record: record.as_ref(),
                group,
            };
            if quietly(|| line.emit()).is_some() {
                end.set_reported(|| tracing::enabled!(target: ACCESS_TARGET, Level::ERROR));
            }
        }
        let error_type = fault.as_ref().map(Fault::kind);
        quietly(move || {
            let known = permit.method.as_ref().unwrap_or(&permit.place);
            let known =
                self.known_route(known).is_some() && permit.method.is_some() == permit.asked.grpc;
            let late = place.filter(|_| !known);
            if let Some(span) = &permit.span {
                span::close(span, self.side, &facts, end, late, error_type);
            }
            drop(permit);
        });
    }
}

impl<B> Admit<Request<B>> for Track {
    fn admit(&self, request: &mut Request<B>, now: &Moment) -> Result<TrackPermit, Rejection> {
        now.now();
        let given = self.given();
        let asked = self.asked(request, now.wire());
        let place = self.place(request);
        if matches!(place, Place::Repeated) {
            return Ok(TrackPermit::repeated(asked));
        }
        let method = self.method(request, now.wire());
        let holds = |ask: &Option<_>| {
            let ask: &Option<crate::context::Predicate> = ask;
            ask.as_ref().is_some_and(|ask| ask.holds(request))
        };
        let (server_timing, response_time) =
            (holds(&given.server_timing), holds(&given.response_time));
        let route = self.known_route(method.as_ref().unwrap_or(&place));
        let span = quietly(|| span::open(given, self.side, asked, request, route)).flatten();
        if let (Some(span), Some(hook)) = (&span, &given.on_span) {
            quietly(|| hook.run(span));
        }
        Ok(TrackPermit {
            counted: self.count_in(asked),
            span,
            kept: quietly(|| self.keep(request)).flatten(),
            request_bytes: given
                .body_sizes
                .then(|| RequestBytes::of(request.extensions_mut(), self.side)),
            connect: request.method() == Method::CONNECT,
            asked,
            place,
            method,
            server_timing,
            response_time,
            lasting: false,
            implemented: false,
        })
    }
}

impl TrackPermit {
    /// Makes the permit of a tracker that has nothing to do.
    #[cold]
    fn repeated(asked: Asked) -> Self {
        TrackPermit {
            asked,
            place: Place::Repeated,
            method: None,
            counted: InFlight::default(),
            span: None,
            kept: None,
            request_bytes: None,
            server_timing: false,
            response_time: false,
            connect: false,
            lasting: false,
            implemented: false,
        }
    }

    fn is_repeated(&self) -> bool {
        matches!(self.place, Place::Repeated)
    }
}
