//! `GET api/v1/live` and `api/v1/events`: the same frames over WebSocket and as server-sent events.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
    },
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    ApiResult, Problem, params::Params, sections::overview_of, state::ApiState, status::greeting,
};
use crate::ops::{
    Identity,
    core::Core,
    push::{Channel, Channels, EVERY, Seat, UpdateKind, Viewer, unknown_channel},
};

/// The longest message of a viewer.
const MAX_MESSAGE: usize = 4 * 1_024;
/// How long a viewer may take for one frame.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// How often a silent connection is tried, below the usual idle limits of proxies.
const PING: Duration = Duration::from_secs(15);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(45);
const DEFAULT_EVERY: u64 = 2;

const TOO_SLOW: u16 = 4408;
const TOO_MANY: &str = "all places for viewers are taken";

pub(super) async fn socket(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let viewer = viewer(&state, &identity, &uri)?;
    let upgrade = upgrade.map_err(|_| {
        Problem::invalid(
            "upgrade",
            "this is a WebSocket; api/v1/events has the same as server-sent events",
        )
    })?;
    let seat = seat(&state)?;
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(async move |socket| serve(&state.core, socket, viewer, seat).await))
}

pub(super) async fn events(
    State(state): State<ApiState>,
    Extension(identity): Extension<Identity>,
    uri: Uri,
) -> ApiResult<Response> {
    let mut viewer = viewer(&state, &identity, &uri)?;
    let seat = seat(&state)?;
    let hello = hello(&state.core, &mut viewer);
    let frames = stream::unfold(
        (Some(hello), viewer, seat, state.core),
        async |(hello, mut viewer, mut seat, core)| {
            let frame = match hello {
                Some(hello) => hello,
                None => next_frame(&core, &mut viewer, &mut seat).await,
            };
            let event = Ok::<_, Infallible>(Event::default().data(frame));
            Some((event, (None, viewer, seat, core)))
        },
    );
    let mut response = Sse::new(frames)
        .keep_alive(KeepAlive::new().interval(PING))
        .into_response();
    // Or nginx collects the frames of a while.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn viewer(state: &ApiState, identity: &Identity, uri: &Uri) -> ApiResult<Viewer> {
    let params = Params::parse(uri, &["channels", "every"])?;
    let channels = match params.text("channels") {
        Some(names) => {
            let parsed = Channels::parse(names.split(',').filter(|name| !name.is_empty()));
            parsed.map_err(|name| Problem::invalid("channels", unknown_channel(name)))?
        }
        None => Channels::ALL,
    };
    let every = params.number("every", EVERY, DEFAULT_EVERY)?;
    Ok(Viewer::new(
        greeting(&state.core, identity),
        channels,
        every,
    ))
}

fn seat(state: &ApiState) -> ApiResult<Seat> {
    let seat = state.core.hub.join();
    seat.ok_or_else(|| Problem::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY))
}

/// Returns the first frame.
fn hello(core: &Core, viewer: &mut Viewer) -> String {
    let now = SystemTime::now();
    let update = core.present(now);
    if viewer.wants(Channel::Metrics) {
        overview_of(core, &update, now);
    }
    viewer.hello(&update)
}

/// Waits for the next frame. Cancel safe: an update that was taken is in the viewer.
async fn next_frame(core: &Core, viewer: &mut Viewer, seat: &mut Seat) -> String {
    loop {
        let frame = match seat.next().await {
            Some(update) => viewer.on_update(&update),
            // It has lost some, and begins anew.
            None => Some(hello(core, viewer)),
        };
        if let Some(frame) = frame {
            return frame;
        }
    }
}

/// Serves a viewer until it goes, is too slow, or is silent for too long.
async fn serve(core: &Core, mut socket: WebSocket, mut viewer: Viewer, mut seat: Seat) {
    let hello = hello(core, &mut viewer);
    if !send(&mut socket, Message::text(hello)).await {
        return;
    }
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            frame = next_frame(core, &mut viewer, &mut seat) => Message::text(frame),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard = Instant::now();
                    let update = core.present(SystemTime::now());
                    Message::text(viewer.on_message(&text, &update))
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE {
                    return;
                }
                Message::Ping(Default::default())
            }
        };
        if !send(&mut socket, message).await {
            return;
        }
    }
}

/// Sends a message, and returns whether the viewer took it in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    match timeout(SEND_LIMIT, socket.send(message)).await {
        Ok(sent) => sent.is_ok(),
        Err(_) => {
            let close = Message::Close(Some(CloseFrame {
                code: TOO_SLOW,
                reason: Utf8Bytes::from_static("too slow"),
            }));
            // It takes nothing, so this is at most put into its buffer.
            let _ = timeout(Duration::ZERO, socket.send(close)).await;
            false
        }
    }
}

/// Tells all viewers at once that something was changed.
pub(super) fn push_change(core: &Core) {
    if core.hub.has_viewers() {
        core.send_update(UpdateKind::Change, SystemTime::now());
    }
}
