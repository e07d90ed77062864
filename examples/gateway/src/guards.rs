//! The guards: the crate's own, and three small ones that show how little a guard takes.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tower_keep::call::{CallClock, CallEnd};
use tower_keep::context::Correlate;
use tower_keep::guard::Admit;
use tower_keep::protocol::Server;
use tower_keep::timeout::Deadline;
use tower_keep::track::{RouteSlot, TrackSettings};
use tower_keep::{ConfigError, Guard, GuardLayer, Rejection, Track};

use super::demo_upstream;
use super::policy::GATEWAY;
use super::report::Window;
use super::resilience::TIME_LEFT;

/// The path that [`PackedState`] rejects.
pub const GATE: &str = "/gate";

/// Outermost first. What only the demonstration needs may be missing.
type Inbound = (
    (Correlate, Track),
    ((Option<Routes>, Watch), (Deadline, Option<Gate>)),
);

/// The tracker of the calls that come in.
///
/// # Errors
///
/// A setting that makes no sense.
pub fn track(settings: &TrackSettings) -> Result<Track, ConfigError> {
    Track::builder(GATEWAY)
        .body_sizes(true)
        .log_headers(["user-agent"])
        .settings(settings)
        .build()
}

/// Round every call that comes in, up to the last frame of its response.
///
/// # Errors
///
/// A setting that makes no sense.
pub fn inbound(
    track: Track,
    window: &Arc<Window>,
    demonstration: bool,
) -> Result<GuardLayer<Inbound, Server>, ConfigError> {
    let observe = (Correlate::default(), track);
    let deadline = Deadline::builder("deadline")
        .timeout_header(TIME_LEFT)
        .build()?;
    let admission = (deadline, demonstration.then_some(Gate));
    let routes = (demonstration.then_some(Routes), Watch(Arc::clone(window)));
    Ok(GuardLayer::server((observe, (routes, admission))))
}

/// Tells the line a second of each call.
#[derive(Clone)]
pub struct Watch(Arc<Window>);

impl Guard for Watch {
    type Permit = ();

    fn on_end(&self, (): (), end: &CallEnd<'_>) {
        self.0
            .ended(end.outcome(), end.elapsed().unwrap_or_default());
    }
}

impl<Req> Admit<Req> for Watch {
    fn admit(&self, _: &mut Req, now: &CallClock) -> Result<(), Rejection> {
        // Asked for here, or there would be no `elapsed` at the end.
        now.now();
        self.0.began();
        Ok(())
    }
}

/// Stands in for a router: names the demonstration's paths. A path that anybody can make up is no label, so
/// calls to an upstream of one's own have none.
pub struct Routes;

impl Guard for Routes {
    type Permit = ();

    fn on_end(&self, (): (), _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Routes {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<(), Rejection> {
        if let Some(route) = demo_upstream::route(request.uri().path()) {
            RouteSlot::set(request.extensions(), route);
        }
        Ok(())
    }
}

/// Rejects one path, as a limiter would.
pub struct Gate;

impl Guard for Gate {
    type Permit = ();

    fn on_end(&self, (): (), _: &CallEnd<'_>) {}
}

impl<B> Admit<Request<B>> for Gate {
    fn admit(&self, request: &mut Request<B>, _: &CallClock) -> Result<(), Rejection> {
        if request.uri().path() != GATE {
            return Ok(());
        }
        Err(Rejection::rate_limited("gate")
            .with_reason("closed for the demonstration")
            .with_retry_after(Duration::from_secs(1)))
    }
}
